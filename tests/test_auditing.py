"""Audits: what is said of true and of false claims, by which certificate, and what the kernel says of that."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import FrozenInstanceError
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import attncert
from attncert.auditing import Audit, audit
from attncert.certificates.errors import InvalidClaim, InvalidWeights
from attncert.certificates.evidence import Counterexample, Integral, Paving
from attncert.certificates.statement import canonical
from attncert.demands import UserClaim
from attncert.verifier import kernel

ROOT = Path(__file__).parent.parent

STEP = {"keys": [[-10], [10]], "biases": [0, 0], "values": [[1], [-1]]}
"""T(x) = -tanh(10 x), exactly."""


def claim_file(folder: Path, claim: Mapping[str, str], head: Mapping[str, Any] = STEP, **table: Any) -> Path:
    (folder / "w.json").write_text(json.dumps(head))
    lines = [f"{name} = {json.dumps(value)}" for name, value in claim.items()]
    lines += [
        "[attention]",
        *(f"{name} = {json.dumps(value)}" for name, value in {"weights": "w.json", **table}.items()),
    ]
    path = folder / "claim.toml"
    path.write_text("\n".join(lines))
    return path


def audited(folder: Path, bound: str, target: str = "-0.9*tanh(10*x)", norm: str = "inf", **options: Any) -> Audit:
    side, number = bound.split()
    name = {"<=": "tolerance", ">=": "at_least"}[side]
    return audit(claim_file(folder, {"target": target, "domain": "[-1,1]", "norm": norm, name: number}), **options)


def gate(folder: Path, found: Audit) -> str | None:
    """What `check --claim` says of the certificate, once it is saved and loaded: None if it proves the claim."""
    certificate = attncert.Certificate.from_bytes(found.certificate.to_bytes())
    return UserClaim.load(folder / "claim.toml").unmet(certificate.statement, certificate.check())


# The largest error is 0.1 tanh(10), at both ends: 4e-9 below 0.1.
@pytest.mark.parametrize(
    ("bound", "verdict", "said", "evidence"),
    [
        ("<= 0.11", "proved", "proved", Paving),
        ("<= 0.1", "undecided", None, None),  # true by 4e-9 only: too close for a search in float64
        ("<= 0.09", "refuted", "refuted", Counterexample),
        (">= 0.09", "proved", "refuted", Counterexample),
        (">= 0.11", "refuted", "proved", Paving),
        ("<= 0.10001", "proved", "proved", Paving),
        (">= 0.0999999", "proved", "refuted", Counterexample),
        (">= 0.1000001", "refuted", "proved", Paving),
    ],
)
def test_both_kinds_of_claim(
    bound: str, verdict: str, said: str | None, evidence: type[Any] | None, tmp_path: Path
) -> None:
    found = audited(tmp_path, bound, budget=1 if said is None else None)
    assert found.verdict == verdict
    assert Fraction(found.error_lower or 0) < Fraction("0.1") < Fraction(found.error_upper or 0)
    assert found.point in ({"x": "1"}, {"x": "-1"})
    if evidence is None:
        with pytest.raises(kernel.Rejected):
            found.certificate.check()
        return
    assert found.certificate.check().verdict == said
    assert isinstance(found.certificate.evidence, evidence)
    assert (gate(tmp_path, found) is None) == (verdict == "proved")
    assert found.tightest is not None
    assert found.tightest.check().verdict == "proved"


@pytest.mark.parametrize(
    ("bound", "verdict"), [("<= 0.2", "proved"), ("<= 0.13", "refuted"), (">= 0.13", "proved"), (">= 0.2", "refuted")]
)
def test_both_kinds_of_claim_in_l2(bound: str, verdict: str, tmp_path: Path) -> None:
    """The norm is about 0.1341."""
    found = audited(tmp_path, bound, norm="2")
    assert found.verdict == verdict
    assert found.point is None
    assert isinstance(found.certificate.evidence, Integral)
    assert (gate(tmp_path, found) is None) == (verdict == "proved")
    assert Fraction(found.error_lower or 0) < Fraction("0.1342") < Fraction(found.error_upper or 0) < Fraction("0.136")


def test_the_bracket_is_as_narrow_as_asked(tmp_path: Path) -> None:
    found = audited(tmp_path, "<= 1", gap="1e-5")
    assert found.error_lower is not None
    assert found.error_upper is not None
    assert Fraction(found.error_upper) <= Fraction(found.error_lower) * Fraction("1.00001")


def test_a_head_without_error(tmp_path: Path) -> None:
    found = audited(tmp_path, "<= 1e-11", target="-tanh(10*x)")
    assert (found.verdict, found.error_lower, found.point) == ("proved", "0", None)
    assert audited(tmp_path, ">= 1e-6", target="-tanh(10*x)").verdict == "refuted"


@settings(max_examples=12, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    value=st.fractions(min_value=-2, max_value=2, max_denominator=64),
    target=st.fractions(min_value=-2, max_value=2, max_denominator=64),
    margin=st.sampled_from([Fraction(-1, 10**6), Fraction(0), Fraction(1, 10**6)]),
    side=st.sampled_from(["<=", ">="]),
)
def test_no_false_claim_is_proved_and_no_true_one_refuted(
    value: Fraction, target: Fraction, margin: Fraction, side: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """All values equal: the error is the same everywhere and known exactly, so that claims may miss it by little."""
    error = abs(value - target)
    number = error * (1 + margin)
    if number <= 0:
        return
    folder = tmp_path_factory.mktemp("constant")
    weights = {**STEP, "values": [[str(value)], [str(value)]]}
    name = "tolerance" if side == "<=" else "at_least"
    claim = {"target": f"({target}) + 0*x", "domain": "[-1,1]", name: str(number)}
    found = audit(claim_file(folder, claim, weights), budget=0.3)
    true = error <= number if side == "<=" else error >= number
    assert found.verdict in ("proved" if true else "refuted", "undecided")
    if margin:
        assert found.verdict != "undecided"


def test_a_claim_on_a_union_with_conditions_and_two_inputs(tmp_path: Path) -> None:
    weights = {"keys": [[1, 0], [0, 1]], "biases": [0, 0], "values": [[1, 0], [0, 1]]}
    (tmp_path / "w.json").write_text(json.dumps(weights))
    (tmp_path / "claim.toml").write_text(
        'target = "[sigmoid(x0-x1), sigmoid(x1-x0) + 0.01*x0]"\ndomain = "[0,1]^2 | [2,3]^2"\n'
        'where = ["x0 <= 2.5"]\ntolerance = "0.026"\nattention = { weights = "w.json" }\n'
    )
    found = audit(tmp_path / "claim.toml")
    assert found.verdict == "proved"
    assert gate(tmp_path, found) is None
    assert set(found.point or {}) == {"x0", "x1"}
    assert Fraction(found.error_lower or 0) <= Fraction("0.025") <= Fraction(found.error_upper or 0) < Fraction("0.026")


def test_the_gate_notices_other_weights(tmp_path: Path) -> None:
    found = audited(tmp_path, "<= 0.11")
    assert gate(tmp_path, found) is None
    (tmp_path / "w.json").write_text(json.dumps({**STEP, "biases": [0, "1e-30"]}))
    assert gate(tmp_path, found) == "the head is not the one in w.json"
    (tmp_path / "w.json").unlink()
    assert "No such file" in (gate(tmp_path, found) or "")


# --- forms -----------------------------------------------------------------------------------------------------------


def matrices(certificate: attncert.Certificate) -> dict[str, Any]:
    """The matrices of a head under their names in weights files."""
    head = certificate.statement.attention
    sides = {"": head.keys_side} if head.kind == "self" else {"_K": head.keys_side, "_Q": head.queries_side}
    named = {name: getattr(head, name) for name in ("W_K", "W_Q", "W_V", "W_O")}
    for end, side in sides.items():
        named[f"R{end}"] = side.R
        for h, (P, Q) in enumerate(side.linear):
            named |= {f"P_{h}{end}": P, f"Q_{h}{end}": Q}
    return {
        name: [[str(dict(M.row_items(i)).get(j, Fraction(0))) for j in range(M.shape[1])] for i in range(M.shape[0])]
        for name, M in named.items()
    }


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("sin(2*pi*x)", {"domain": "[0,1]"}),
        ("sin(K[0,0] + 2*Q[0,0])", {"domain": "[0,1]^2", "attention": "cross"}),
        ("[[X[0,0]*X[0,1], X[1,1]], [X[0,0], X[1,0]]]", {"domain": "[0,1]^4", "shape": "2x2"}),
    ],
)
@pytest.mark.parametrize("whole", [False, True])
def test_full_matrices_and_whole_certificates(
    target: str, options: dict[str, str], whole: bool, tmp_path: Path
) -> None:
    made = attncert.construct_head(target, tolerance="0.3", **options)  # type: ignore[arg-type]
    claim = {"target": target, "domain": options["domain"], "tolerance": "0.3"}
    claim |= {"shape": options["shape"]} if "shape" in options else {}
    weights = json.loads(made.to_bytes()) if whole else matrices(made)
    found = audit(claim_file(tmp_path, claim, weights, kind=options.get("attention", "self")))
    assert found.verdict == "proved"
    head = found.certificate.statement.attention
    if whole:
        assert canonical(head.to_json()) == canonical(made.statement.attention.to_json())
    assert matrices(found.certificate) == matrices(made)


def test_reduced_heads_with_slopes(tmp_path: Path) -> None:
    """One token with the value 1 + 2 x0 - x1, another, silent one with 7."""
    weights = {
        "keys": [[0, 0], [0, 0]],
        "biases": [0, -100],
        "values": [1, 7],
        "slopes": [[[2, -1]], [[0, 0]]],
    }
    claim = {"target": "1 + 2*x0 - x1", "domain": "[0,1]^2", "tolerance": "1e-9"}
    with pytest.raises(InvalidWeights, match=r"'values' has shape \(2\), but \(N, d_o\) = \(2, any\) is needed"):
        audit(claim_file(tmp_path, claim, weights))
    assert audit(claim_file(tmp_path, claim, {**weights, "values": [[1], [7]]})).verdict == "proved"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"keys": [[1, 2], [3, 4]]}, r"'keys' has shape \(2, 2\), but \(N, m\) = \(any, 1\) is needed"),
        ({"biases": [0]}, r"'biases' has shape \(1\), but \(N,\) = \(2\) is needed"),
        ({"values": [[1], [2], [3]]}, r"'values' has shape \(3, 1\)"),
        ({"values": None}, "the tensor 'values' is missing; the file has keys, biases"),
        ({"keys": []}, r"'keys' has shape \(0\)"),
        ({"slope": [[[1]], [[1]]]}, "the tensor 'slope' has no meaning here"),
        ({"values": [[1, 2], [3, 4]]}, r"the target has shape \(1, 1\), but the head's output has \(2, 1\)"),
    ],
)
def test_reduced_heads_that_do_not_fit(change: Mapping[str, Any], said: str, tmp_path: Path) -> None:
    weights = {name: entry for name, entry in {**STEP, **change}.items() if entry is not None}
    claim = {"target": "x", "domain": "[-1,1]", "tolerance": "1"}
    with pytest.raises((InvalidWeights, InvalidClaim), match=said) as caught:
        audit(claim_file(tmp_path, claim, weights))
    assert str(caught.value).startswith(str(tmp_path))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"W_O": None}, "the tensor 'W_O' is missing"),
        ({"W_O": [[1], [1]]}, "does not select a column"),
        ({"Q_0": None}, "the tensor 'Q_0' is missing"),
        ({"Q_0": [[1, 1], [1, 1]]}, r"'Q_0' has shape \(2, 2\), but for an input of n columns"),
        ({"W_K": [[1]]}, r"W_K has shape \(1, 1\), but"),
        ({"R_K": [[1]]}, "the tensor 'R_K' has no meaning here"),
    ],
)
def test_matrices_that_do_not_fit(change: Mapping[str, Any], said: str, tmp_path: Path) -> None:
    weights = {"P_0": [[1], [0]], "Q_0": [[1, 1]], "R": [[0, 0], [1, 1]], "W_O": [[1], [0]]}
    weights |= {"W_K": [[0, 1]], "W_Q": [[0, 1]], "W_V": [[1, 0]]}
    claim = {"target": "x", "domain": "[-1,1]", "tolerance": "1"}
    assert audit(claim_file(tmp_path, claim, weights)).verdict == "proved"
    with pytest.raises(InvalidWeights, match=said):
        audit(claim_file(tmp_path, claim, {n: e for n, e in {**weights, **change}.items() if e is not None}))


def test_a_head_of_another_shape(tmp_path: Path) -> None:
    weights = json.loads(attncert.construct_head("x0*x1", domain="[0,1]^2", tolerance="0.3").to_bytes())
    claim = {"target": "x", "domain": "[0,1]", "tolerance": "1"}
    with pytest.raises(
        InvalidWeights, match="the head takes an input of shape 2 x 1, but the claim is about one of 1 x 1"
    ):
        audit(claim_file(tmp_path, claim, weights))


# --- claim files -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("", "the claim names no weights"),
        ('kind = "self"', "the claim names no weights"),
        ('prefix = "a"', "the key 'weights' is missing in attention"),
        ("weights = 3", "weights in attention is a string"),
        ('weights = "w.json"\nprefx = "a"', "unknown key 'prefx' in attention"),
        ('weights = "w.json"\nform = "onnx"', "unknown form 'onnx'"),
        ('weights = "w.json"\nform = "reduced"\nscale = "1"', "scale goes with weights of the form torch, not reduced"),
        ('weights = "w.json"\nembedding = "e"', "embedding goes with weights of the form torch, not reduced"),
        ('weights = "w.json"\nscale = 0.5', "scale in attention is a string"),
        ('weights = "w.json"\nscale = "half"', "not an exact number: 'half'"),
        ('weights = "w.json"\noutputs = []', "outputs is a list of positions"),
        ('weights = "w.json"\noutputs = [-1]', "outputs is a list of positions"),
        ('weights = "w.json"\nkey = "x"', "attention.key is a table"),
        (
            'weights = "w.json"\nkey = { tokens = "x" }',
            "attention.key is a table with some of the keys input, embedding",
        ),
        ('weights = "w.json"\nkey = { input = "no" }', "input in attention is true or false"),
        (
            'weights = "w.json"\nkey = { input = false }',
            "attention.key: tokens without the input are those of a context",
        ),
        ('weights = "none.npz"', "none.npz: No such file"),
        ('weights = "w.json"\ndtype = "int8"', "dtype is float16, float32 or float64"),
    ],
)
def test_claim_files_that_say_nothing_clear(table: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "w.json").write_text(json.dumps(STEP))
    path = tmp_path / "claim.toml"
    path.write_text(f'target = "x"\ndomain = "[0,1]"\ntolerance = "1"\n[attention]\n{table}\n')
    with pytest.raises((InvalidClaim, InvalidWeights), match=said) as caught:
        audit(path)
    assert str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("claim", "said"),
    [
        ({"target": "sin("}, "column"),
        ({"target": "y"}, "unknown variable 'y'"),
        ({"domain": "[0,1"}, "domain"),
        ({"tolerance": "0"}, "must be positive"),
        ({"tolerance": "1e-200"}, "between 1e-100 and 1e100"),
        ({"norm": "1/2"}, "p"),
        ({"norm": "2000"}, "not supported"),
        ({"shape": "1x2"}, "the domain has 1 sides"),
        ({"at_least": "1"}, "a tolerance, or at_least, and not both"),
    ],
)
def test_claims_that_are_none(claim: dict[str, str], said: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidClaim, match=said) as caught:
        audit(claim_file(tmp_path, {"target": "x", "domain": "[-1,1]", "tolerance": "1", **claim}))
    assert str(caught.value).startswith(f"{tmp_path}/claim.toml: ")


def test_the_claim_files_of_the_documentation(tmp_path: Path) -> None:
    """Each is read, and those whose weights are at hand are proved."""
    text = (ROOT / "docs" / "audit.md").read_text()
    blocks = re.findall(r"^```toml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) == 4
    (tmp_path / "step.json").write_text(json.dumps(STEP))
    for weights in (ROOT / "examples" / "trained").glob("*.pt"):
        shutil.copy(weights, tmp_path)
    verdicts = []
    for k, block in enumerate(blocks):
        path = tmp_path / f"{k}.toml"
        path.write_text(
            block if "target" in block else f'target = "sin(2*pi*x)"\ndomain = "[0,1]"\ntolerance = "0.01"\n{block}'
        )
        claim = UserClaim.load(path)
        assert claim.source is not None
        if claim.source.weights.exists():
            verdicts.append(audit(path).verdict)
    assert verdicts == ["proved"] * 3


# --- the answer ------------------------------------------------------------------------------------------------------


def test_an_answer_is_frozen_and_is_no_truth_value(tmp_path: Path) -> None:
    found = audited(tmp_path, "<= 1")
    with pytest.raises(TypeError, match="compare its verdict"):
        bool(found)
    with pytest.raises(FrozenInstanceError):
        found.verdict = "proved"  # type: ignore[misc]
    assert (found.claim, found.weights, found.tokens) == ("the error is at most 1", "w.json", 2)
    assert attncert.audit is audit


def test_without_the_kernel_nothing_is_proved(tmp_path: Path) -> None:
    assert audited(tmp_path, "<= 1", check=False).verdict == "verified"
    assert audited(tmp_path, ">= 0.01", check=False).verdict == "verified"
    assert audited(tmp_path, "<= 0.01", check=False).verdict == "refuted"


def test_what_the_kernel_rejects_decides_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def reject(*_: object) -> None:
        raise kernel.Rejected("leaf", "tampered")

    monkeypatch.setattr(kernel, "check_bytes", reject)
    for bound in ("<= 1", "<= 0.01", ">= 0.01", ">= 1"):
        found = audited(tmp_path, bound)
        assert (found.verdict, found.error_upper, found.tightest) == ("undecided", None, None)
        assert found.certificate.evidence is None


def test_float32_weights_of_numpy(tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", **{name: np.array(entry, "f4") * np.float32(0.1) for name, entry in STEP.items()})
    claim = {"target": "-0.1*tanh(x)", "domain": "[-1,1]", "tolerance": "1e-6"}
    found = audit(claim_file(tmp_path, claim, STEP, weights="w.npz"))
    assert found.verdict == "proved"
    assert Fraction(found.error_lower or 0) > Fraction(1, 10**9)  # 0.1 in float32 is not 1/10, and nothing hides that
