"""Export to Coq: the file states the certificate's claim exactly, and Coq proves it if it is true, and only then."""

from __future__ import annotations

import random
import re
import shutil
import subprocess
from collections.abc import Sequence
from fractions import Fraction
from importlib import resources
from pathlib import Path

import mpmath
import pytest
from heads import (
    attention_of,
    errors_at,
    grid_statement,
    inside,
    points_of,
    random_statement,
    statement_of,
    with_tolerance,
)

import attncert
from attncert.certificates.claim import SupError
from attncert.certificates.document import Document
from attncert.certificates.domain import parse_box
from attncert.certificates.errors import InputError
from attncert.certificates.evidence import Counterexample, Evidence, Paving
from attncert.certificates.statement import Statement
from attncert.certificates.target import InputSpace, parse_target
from attncert.cli import main
from attncert.coq import theorem
from attncert.verifier.reduction import reduce_head

Number = mpmath.mpf | Fraction


def paving(statement: Statement) -> Paving:
    """Evidence that proves nothing: of a paving the export takes hints only."""
    assert isinstance(statement.claim, SupError)
    return Paving(statement.claim.tolerance, 77, 40, (".",) * statement.attention.output_shape[1])


def exported(statement: Statement, evidence: Evidence | None = None) -> str:
    return theorem(Document(statement, evidence or paving(statement)))


def line(target: str = "sin(2*pi*x)", tokens: int = 3, tolerance: str = "1/2", **more: object) -> Statement:
    return grid_statement(target, "[0,1]", [tokens], 8, Fraction(tolerance), **more)  # type: ignore[arg-type]


# --- a reader of the claim's text ------------------------------------------------------------------------------------


class Reader:
    """Evaluates the definitions in a file: real expressions of Coq, to sixty digits, rationals exactly."""

    FUNCTIONS = {  # noqa: RUF012
        "exp": mpmath.exp,
        "ln": mpmath.log,
        "sqrt": mpmath.sqrt,
        "Rabs": abs,
        "sin": mpmath.sin,
        "cos": mpmath.cos,
        "atan": mpmath.atan,
    }

    def __init__(self, text: str) -> None:
        self.claim = text[text.index("(* The claim. *)") :]
        self.definitions: dict[str, tuple[list[str], list[str]]] = {}
        for name, variables, body in re.findall(
            r"Definition (\w+) \(([\w ]+) : R\) : R :=\s(.*?)\.\n", self.claim, re.S
        ):
            self.definitions[name] = (variables.split(), re.findall(r"\w+|[-+*/^()]", body))

    def value(self, name: str, *arguments: Fraction) -> Number:
        variables, tokens = self.definitions[name]
        scope: dict[str, Number] = dict(zip(variables, arguments, strict=True))
        value, rest = self.sum(tokens, scope)
        assert rest == []
        return value

    def sum(self, tokens: list[str], scope: dict[str, Number]) -> tuple[Number, list[str]]:
        value, tokens = self.product(tokens, scope)
        while tokens[:1] in (["+"], ["-"]):
            other, rest = self.product(tokens[1:], scope)
            value = combined(tokens[0], value, other)
            tokens = rest
        return value, tokens

    def product(self, tokens: list[str], scope: dict[str, Number]) -> tuple[Number, list[str]]:
        value, tokens = self.power(tokens, scope)
        while tokens[:1] in (["*"], ["/"]):
            other, rest = self.power(tokens[1:], scope)
            value = combined(tokens[0], value, other)
            tokens = rest
        return value, tokens

    def power(self, tokens: list[str], scope: dict[str, Number]) -> tuple[Number, list[str]]:
        if tokens[0] == "-":
            value, tokens = self.power(tokens[1:], scope)
            return -value, tokens
        value, tokens = self.call(tokens, scope)
        if tokens[:1] == ["^"]:
            return value ** int(tokens[1]), tokens[2:]
        return value, tokens

    def call(self, tokens: list[str], scope: dict[str, Number]) -> tuple[Number, list[str]]:
        name, rest = tokens[0], tokens[1:]
        if name in self.FUNCTIONS:
            value, rest = self.call(rest, scope)
            return self.FUNCTIONS[name](mpf(value)), rest
        if name in self.definitions:
            arguments = []
            for _ in self.definitions[name][0]:
                value, rest = self.call(rest, scope)
                arguments.append(value)
            return self.value(name, *arguments), rest
        if name == "(":
            value, rest = self.sum(rest, scope)
            assert rest[0] == ")"
            return value, rest[1:]
        if name == "PI":
            return +mpmath.pi, rest
        return scope[name] if name in scope else Fraction(int(name)), rest


def mpf(x: Number) -> mpmath.mpf:
    return mpmath.mpf(x.numerator) / x.denominator if isinstance(x, Fraction) else x


def combined(sign: str, a: Number, b: Number) -> Number:
    if not (isinstance(a, Fraction) and isinstance(b, Fraction)):
        a, b = mpf(a), mpf(b)
    return a + b if sign == "+" else a - b if sign == "-" else a * b if sign == "*" else a / b


# --- what the file says ----------------------------------------------------------------------------------------------


def test_the_theorem_stands_in_plain_terms() -> None:
    text = exported(statement_of("x0*x1", "[0,1]x[-1/3,2]", [[1, 2], [0, -3]], ["1/3", 0], [[4, "-1/7"]], "1/20"))
    for part in (
        "Definition f (x0 x1 : R) : R := (x0 * x1).",
        "Definition score_0 (x0 x1 : R) : R := 1 * x0 + 0 * x1 + (1 / 3).",
        "Definition score_1 (x0 x1 : R) : R := 2 * x0 + (-3) * x1 + 0.",
        "(exp (score_0 x0 x1) * 4\n   + exp (score_1 x0 x1) * (-1 / 7))\n"
        "  / (exp (score_0 x0 x1)\n     + exp (score_1 x0 x1)).",
        "Theorem certified : forall (x0 x1 : R),\n  0 <= x0 <= 1 ->\n  (-1 / 3) <= x1 <= 2 ->\n"
        "  Rabs (f x0 x1 - attention x0 x1) <= (1 / 20).",
    ):
        assert part in text


def assert_same(statement: Statement, text: str, points: Sequence[tuple[Fraction, ...]]) -> None:
    """The file's |f - attention| is the statement's, by the head's own matrices multiplied out to sixty digits."""
    reader = Reader(text)
    rows, columns = statement.function.shape
    free = [k for k, (lo, hi) in enumerate(statement.domain.sides) if lo < hi]
    for point in points:
        if not inside(statement, point):
            continue
        for n, error in enumerate(errors_at(statement, point)):
            if error is None:
                continue
            suffix = "" if rows * columns == 1 else f"_{n // columns}_{n % columns}"
            place = [point[k] for k in free]
            with mpmath.workprec(220):
                f, t = (mpf(reader.value(f"{name}{suffix}", *place)) for name in ("f", "attention"))
                assert abs(abs(f - t) - mpf(error)) <= (1 + abs(f) + abs(t)) * mpmath.mpf(10) ** -45


NO_COUNTERPART = ("max", "min", "where(", "sign", "floor", "erf", "not ", "or ")


@pytest.mark.parametrize("seed", range(60))
def test_definitions_have_the_error_of_the_statement_at_every_point(seed: int) -> None:
    rnd = random.Random(f"coq {seed}")
    statement = random_statement(rnd)
    try:
        text = exported(statement)
    except InputError:
        refused = [op for op in NO_COUNTERPART if op in statement.text]
        refused += [str(k) for head in reduce_head(statement.attention) for k in head.slopes]
        assert refused or statement.domain.dimension > 2 or all(lo == hi for lo, hi in statement.domain.sides)
        return
    assert_same(statement, text, points_of(statement.domain, 6, rnd))


TARGETS = ["-x", "e*x - pi", "x**(3/2) - x**2.5", "(x + 2)**-3", "(x + 1)**x"]
TARGETS += [f"(x + 1)**({b})" for b in ("-1/2", "-3/2", "1/3")]
TARGETS += [f"{name}(x + 1/3)" for name in ("exp", "log", "sqrt", "abs", "sin", "cos", "tan", "atan")]
TARGETS += [f"2*{name}(x - 1/3) - x/3" for name in ("tanh", "sigmoid", "sinh", "cosh", "abs", "exp")]


@pytest.mark.parametrize("target", TARGETS)
def test_every_function_has_its_meaning(target: str) -> None:
    statement = line(target)
    assert_same(statement, exported(statement), points_of(statement.domain, 6, random.Random(target)))


def test_entries_of_a_matrix_stand_in_their_places() -> None:
    target = "[[X[0,0], 2 + X[0,0]*X[0,1], 3], [4, 5 - X[0,1], 6]]"
    box, keys = parse_box("[0,1]^2"), [[1, 2, -1], [0, 1, 5]]
    head = attention_of((1, 2), keys, [1, 2, 3], [[1, 2, 3], [4, 5, 6]], columns=(0, 1, 2), factors=[1, 2, 3])
    statement = Statement(parse_target(target, InputSpace((1, 2))), box, head, SupError(Fraction(1)))
    assert_same(statement, exported(statement), points_of(box, 6, random.Random(target)))


def test_weights_are_exact() -> None:
    keys, biases, values = [["1/3", "-22/7"]], [Fraction(1, 2**60), 5], [[2, "1/9"]]
    reader = Reader(exported(statement_of("x", "[0,1]", keys, biases, values, 1)))
    for i in range(2):
        assert reader.value(f"score_{i}", Fraction(0)) == Fraction(biases[i])
        assert reader.value(f"score_{i}", Fraction(1)) == Fraction(biases[i]) + Fraction(keys[0][i])


def test_every_definition_and_comment_is_closed_and_nothing_is_assumed() -> None:
    text = exported(line())
    assert text.count("(*") == text.count("*)")
    bare = re.sub(r"\(\*.*?\*\)", "", text, flags=re.S)
    for opening, closing in ("()", "[]"):
        assert bare.count(opening) == bare.count(closing)
    assert len(re.findall(r"\bProof\b", bare)) == len(re.findall(r"\bQed\b", bare))
    assert not re.search(r"\b(Admitted|admit|Axiom|Parameter|Conjecture|Abort|Hypotheses|Unset|bypass_check)\b", bare)


def test_another_tolerance_is_another_theorem() -> None:
    one, other = exported(line(tolerance="1/2")), exported(line(tolerance="1/3"))
    assert "<= (1 / 2)." in one
    assert "<= (1 / 3)." in other
    assert "(1 / 2)." not in other


def test_conditions_are_hypotheses() -> None:
    text = exported(
        grid_statement("x0", "[0,1]^2", [2, 2], 4, 1, conditions=["x0**2 + x1**2 <= 1 and x0 > 1/4", "0 < x1 < 1"])
    )
    assert "  ((x0 ^ 2) + (x1 ^ 2)) <= 1 ->\n  (1 / 4) < x0 ->\n  0 < x1 ->\n  x1 < 1 ->\n  Rabs" in text, text[
        text.index("Theorem certified") :
    ]


def test_several_entries_and_entries_that_do_not_vary() -> None:
    text = exported(statement_of("[x0 + x2, x1]", "[0,1]x[2,2]x[-1,1]", [[1], [2], [3]], [4], [[5], [6]], 1))
    assert "Definition f_0_0 (x0 x2 : R) : R := (x0 + x2)." in text
    assert "Definition f_1_0 (x0 x2 : R) : R := 2." in text
    assert "Definition score_0_0_0 (x0 x2 : R) : R := 1 * x0 + 3 * x2 + 8." in text
    assert "Rabs (f_0_0 x0 x2 - attention_0_0 x0 x2) <= 1\n  /\\ Rabs (f_1_0 x0 x2 - attention_1_0 x0 x2) <= 1." in text


def test_a_refutation_names_its_point() -> None:
    text = exported(line(tolerance="1/100"), Counterexample((Fraction(1, 3),), (0, 0), 64))
    assert "Theorem refuted : exists x : R,\n  0 <= x <= 1\n  /\\ (1 / 100) < Rabs (f x - attention x)." in text
    assert "exists (1 / 3)." in text


def doubled(depth: int) -> str:
    """A target whose steps are shared: 2^depth operations when written out."""
    text = "x"
    for _ in range(depth):
        text = f"({text})*({text})"
    return text


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("max(x, 0)", "`max`"),
        ("where(x < 1/2, 0, 1)", "`less`"),
        ("sign(x)", "`sign`"),
        ("erf(x)", "`erf`"),
        ("x**101", "exponent 101"),
        (doubled(13), "too large"),
        ("x + " + "1" * 3000, "too long"),
    ],
)
def test_targets_without_a_counterpart_are_refused(target: str, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        exported(line(target))


def test_other_claims_are_refused() -> None:
    wide = grid_statement("x0*x1*x2", "[0,1]^3", [2, 2, 2], 4, 1)
    with pytest.raises(InputError, match="one or two entries that vary"):
        exported(wide)
    with pytest.raises(InputError, match="one or two entries that vary"):
        exported(statement_of("x", "[1,1]", [[1]], [0], [[1]], 1))
    with pytest.raises(InputError, match="no paving"):
        theorem(Document(line()))
    with pytest.raises(InputError, match="uses `or`"):
        exported(grid_statement("x0", "[0,1]^2", [2, 2], 4, 1, conditions=["x0 < x1 or x0 > 1/2"]))
    jump = attncert.certify("sign(x)", domain="[-1,1]", norm="1", tolerance="0.5").certificate
    assert jump is not None
    with pytest.raises(InputError, match="sup norm"):
        theorem(jump)


@pytest.mark.parametrize(
    "evidence",
    [
        Paving(Fraction(1, 2), 64, 40, ("0.",)),
        Paving(Fraction(1, 2), 64, 40, ("",)),
        Paving(Fraction(1, 2), 64, 40, ()),
        Counterexample((Fraction(2),), (0, 0), 64),
        Counterexample((Fraction(0), Fraction(0)), (0, 0), 64),
        Counterexample((Fraction(0),), (0, 1), 64),
    ],
)
def test_damaged_evidence_is_refused(evidence: Evidence) -> None:
    with pytest.raises(InputError, match=r"split tree|counterexample"):
        exported(line(), evidence)


def test_small_tolerances_are_computed_with_more_bits() -> None:
    assert "Long.proves_correct" not in exported(line(tolerance="1e-6"))
    text = exported(line(tolerance="1e-11"))
    assert "first [apply (Machine.proves" in text
    assert "| apply (Long.proves" in text
    assert "Machine.proves_correct" not in exported(line(tolerance="1e-14"))


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def run(*arguments: object) -> tuple[int, str, str]:
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    result = attncert.certify("x", domain="[0,1]", tolerance="0.1", method="uniform")
    assert result.certificate is not None
    result.certificate.save(tmp_path / "c.json")
    code, out, err = run("export", tmp_path / "c.json", "--to", "coq", "-o", tmp_path / "c.v")
    assert (code, err) == (0, "")
    assert out.endswith(f"coqc {tmp_path / 'c.v'}\n")
    assert (tmp_path / "c.v").read_text() == theorem(result.certificate)
    for name in ("c.v", "my-proof.v", "proof.txt"):  # there already; no module name; no Coq file
        code, out, err = run("export", tmp_path / "c.json", "--to", "coq", "-o", tmp_path / name)
        assert (code, out, err.count("\n")) == (2, "", 1)
    code, out, err = run(
        "certify", "--claim", "partition", "--grid", "2", "--domain", "[0,1]", "-o", tmp_path / "p.json"
    )
    code, out, err = run("export", tmp_path / "p.json", "--to", "coq", "-o", tmp_path / "p.v")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert not (tmp_path / "p.v").exists()


# --- what Coq says ---------------------------------------------------------------------------------------------------

PROCEDURE = resources.files("attncert").joinpath("softmax.v").read_text()

REALS = ("ClassicalDedekindReals.", "FunctionalExtensionality.", "Classical_Prop.")
MACHINE_NUMBERS = ("PrimFloat.", "FloatAxioms.", "PrimInt63.", "Uint63.")


@pytest.fixture(scope="module")
def coqc(tmp_path_factory: pytest.TempPathFactory) -> str:
    command = shutil.which("coqc")
    if command is None:
        pytest.skip("coqc is not installed (Debian: coq, libcoq-interval): nothing was proved in Coq")
    file = tmp_path_factory.mktemp("coq") / "probe.v"
    file.write_text("From Interval Require Import Tactic.\n")
    if subprocess.run([command, file], capture_output=True, check=False).returncode:
        pytest.skip("CoqInterval is not installed (Debian: libcoq-interval): nothing was proved in Coq")
    return command


@pytest.fixture(scope="module")
def compiled(coqc: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the procedure, compiled once: a file that imports it has only its claim to prove."""
    folder = tmp_path_factory.mktemp("softmax")
    (folder / "softmax.v").write_text(PROCEDURE)
    subprocess.run([coqc, "softmax.v"], cwd=folder, check=True)
    return folder


def importing(text: str) -> str:
    assert PROCEDURE in text
    opening = re.findall(r"^(?:From|Import|Open) .*$", PROCEDURE, re.M)
    return text.replace(PROCEDURE, "\n".join([*opening, "Require Import softmax.\n"]))


def coq_says(coqc: str, folder: Path, text: str) -> subprocess.CompletedProcess[str]:
    (folder / "claim.v").write_text(text)
    command = [coqc, "-Q", ".", "", "claim.v"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600, check=False)


def accepted(coqc: str, folder: Path, text: str) -> str:
    said = coq_says(coqc, folder, text)
    assert (said.returncode, said.stderr) == (0, ""), said.stderr
    return said.stdout


def rejected(coqc: str, folder: Path, text: str, place: str) -> None:
    """Coq stops at the step that starts with `place`, and nowhere else."""
    said = coq_says(coqc, folder, text)
    assert said.returncode
    number = int(re.search(r"line (\d+), characters", said.stderr).group(1))  # type: ignore[union-attr]
    assert text.splitlines()[number - 1].strip().startswith(place), said.stderr


def certificate(target: str, domain: str, tolerance: str) -> attncert.Certificate:
    result = attncert.certify(target, domain=domain, tolerance=tolerance, method="uniform")
    assert result.verdict == "proved"
    assert result.certificate is not None
    return result.certificate


@pytest.mark.slow
def test_coq_proves_a_head_of_one_input_and_assumes_nothing_else(coqc: str, tmp_path: Path) -> None:
    proved = certificate("sin(2*pi*x)", "[0,1]", "0.098")
    assert proved.statement.attention.tokens >= 32
    out = accepted(coqc, tmp_path, theorem(proved) + "Print Assumptions certified.\n")
    axioms = re.findall(r"^(\S+)", out.split("Axioms:", 1)[1], re.M)
    assert axioms
    assert all(axiom.startswith(REALS + MACHINE_NUMBERS) for axiom in axioms), axioms


@pytest.mark.slow
def test_coq_proves_a_head_of_two_inputs(coqc: str, tmp_path: Path) -> None:
    proved = certificate("exp(-(x0**2+x1**2))*cos(3*x0*x1)", "[0,1]^2", "0.05")
    assert proved.statement.attention.tokens == 64
    accepted(coqc, tmp_path, theorem(proved))


@pytest.mark.slow
def test_coq_proves_entries_kinks_and_conditions(coqc: str, compiled: Path) -> None:
    result = attncert.certify(
        "[tanh(2*x0)*x1, abs(x0-x1)]",
        domain="[-1,1]^2",
        where=["x0**2 + x1**2 < 1"],
        tolerance="0.3",
        method="uniform",
    )
    assert result.certificate is not None
    accepted(coqc, compiled, importing(theorem(result.certificate)))


@pytest.mark.slow
def test_coq_refutes_and_does_not_prove_what_is_refuted(coqc: str, compiled: Path) -> None:
    """The tolerances lie on both sides of the true error, a hundredth of a percent apart."""
    target = "exp(x0*x1)"
    bound = attncert.bound(
        attncert.certify(
            target, domain="[-1,1]^2", where=["x0**2 + x1**2 <= 1"], tolerance="0.2", method="uniform"
        ).certificate,
        gap="1e-3",
    )
    assert bound.certificate is not None
    assert bound.witness is not None
    false = bound.witness
    accepted(coqc, compiled, importing(theorem(false)))
    assert bound.certificate.evidence is not None
    true = with_tolerance(bound.certificate.statement, bound.certificate.evidence.bound)  # type: ignore[union-attr]
    accepted(coqc, compiled, importing(exported(true, bound.certificate.evidence)))
    rejected(coqc, compiled, importing(exported(false.statement, bound.certificate.evidence)), "Qed.")


@pytest.mark.slow
def test_coq_rejects_files_that_say_one_thing_and_compute_another(coqc: str, compiled: Path) -> None:
    text = importing(theorem(certificate("x**2", "[0,1]", "0.2")))
    accepted(coqc, compiled, text)
    place = text.index("Definition score_0")
    rejected(coqc, compiled, text[:place] + text[place:].replace("* x +", "* x + 1 +", 1), "Proof. reflexivity")
    rejected(coqc, compiled, text.replace("R := (x ^ 2).", "R := (x ^ 3)."), "Proof. reflexivity")
    rejected(coqc, compiled, text.replace("  0 <= x <= 1 ->", "  0 <= x <= 2 ->"), "[vm_cast_no_check")
    rejected(coqc, compiled, text.replace("attention x) <= (1 / 5)", "attention x) <= (1 / 6)"), "apply (Machine")


@pytest.mark.slow
@pytest.mark.parametrize("beta", ["1e3", "1e320"])
def test_coq_proves_nothing_from_overflow(coqc: str, compiled: Path, beta: str) -> None:
    """Heads far from their target, whose scores are beyond double precision."""
    statement = grid_statement("x", "[0,1]", [2], Fraction(beta), Fraction(1, 20))
    text = exported(statement).replace("Long.proves_correct", "Machine.proves_correct")
    text = re.sub(r"proves_correct \(Binary.PtoP \d+\)", "proves_correct (PrimitiveFloat.PtoP 53)", text)
    rejected(coqc, compiled, importing(text), "Qed.")
