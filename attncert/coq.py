"""A certificate of the sup norm as one Coq file, which Coq (8.16) and CoqInterval (4.6) prove on their own.

The file begins with `softmax.v`: a branch and bound, and the proof that its answer `true` entails a claim. Then it
states the claim in plain terms, from the exact weights,

    Theorem certified : forall x : R, 0 <= x <= 1 -> Rabs (f x - attention x) <= 1 / 20.

(or `refuted`, with the point), and Coq proves it by evaluating that procedure. Of the evidence nothing is believed: a
paving only tells how much finer one side of the domain has to be cut than the other.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from importlib import resources

from attncert.certificates.claim import SupError
from attncert.certificates.condition import Condition
from attncert.certificates.document import Document
from attncert.certificates.errors import InputError, InvalidCertificate
from attncert.certificates.evidence import Both, Counterexample, Paving
from attncert.certificates.matrix import row_entry
from attncert.certificates.statement import Statement
from attncert.certificates.target import Instruction, Target, run
from attncert.verifier.reduction import ReducedHead, reduce_head
from attncert.verifier.tree import AXES

MAX_NODES = 5000
"""Most nodes of a target that is written out without sharing."""

MAX_BITS = 8192
"""Most bits of a numerator or denominator: Coq reads numbers in time quadratic in their length."""

MAX_POWER = 100
"""Greatest absolute value of an integer exponent: Coq writes it in unary."""

DEPTH = 80
"""How often a box is halved in a row at most; a false claim fails there."""

STEEP = 4
"""Order 2 is tried on boxes on which no score varies by more than this."""

GUARD_BITS = 32
"""Bits beyond those that the kernel needs, where double precision is not enough."""

MAX_PRECISION = 100_000
"""Most bits that the kernel needs, by the certificate format."""

NEGLIGIBLE, TOLERABLE = Fraction(1, 2**12), Fraction(1, 2**4)
"""Parts of the tolerance that rounding in double precision may cost: surely few enough, and perhaps."""


@dataclass(frozen=True)
class Term:
    """A real expression: as Coq's text, in brackets unless it is an atom, and as data of the procedure."""

    text: str
    data: str
    nodes: int


def file_name_problem(name: str) -> str:
    """What is wrong with the name of a Coq file; empty if nothing is."""
    return "" if re.fullmatch("[A-Za-z_][A-Za-z_0-9']*[.]v", name) else "coqc wants a name such as head.v"


def theorem(document: Document) -> str:
    """The Coq file of a proved or refuted claim about the sup norm.

    Raises InputError for other claims, without evidence, for more than two entries that vary, and for targets and
    conditions that it cannot state.
    """
    statement, evidence = document.statement, document.evidence
    _tolerance(statement)
    if isinstance(evidence, Both):
        evidence = evidence.paving
    if not isinstance(evidence, Paving | Counterexample):
        raise InputError("there is no paving to go by: `attncert verify FILE` adds one")
    variables = _Variables(statement)
    heads = reduce_head(statement.attention)
    if any(head.slopes for head in heads):
        raise InputError("heads whose values depend on the input cannot be exported to Coq")
    rows, columns = statement.function.shape
    entries = [(r, j) for j in range(columns) for r in range(rows)]
    if isinstance(evidence, Counterexample):
        if evidence.entry not in entries or evidence.point not in statement.domain:
            raise InvalidCertificate("the counterexample is not a point of the domain and an entry of the target")
        entries = [evidence.entry]
    elif len(evidence.trees) != columns:
        raise InvalidCertificate("the evidence does not have a split tree for each output column")
    targets = _terms(statement.function, variables)
    parts = [_preamble(statement, variables), resources.files("attncert").joinpath("softmax.v").read_text()]
    names = [_Names("" if len(entries) == 1 else f"_{r}_{j}") for r, j in entries]
    for name, (r, j) in zip(names, entries, strict=True):
        parts.append(_definitions(name, variables, targets[r * columns + j], _reduced(heads[j], r, variables)))
    conditions = [comparison for c in statement.conditions for comparison in _comparisons(c, variables)]
    if isinstance(evidence, Counterexample):
        parts.append(_refutation(names[0], statement, variables, conditions, evidence))
    else:
        for name, (r, j) in zip(names, entries, strict=True):
            tokens = _reduced(heads[j], r, variables)
            parts.append(_proof(name, statement, variables, conditions, tokens, evidence, evidence.trees[j]))
        if len(names) > 1:
            parts.append(_conjunction(names, statement, variables, conditions))
    return "\n".join(parts)


# --- numbers, variables, expressions -------------------------------------------------------------------------------


def _number(x: Fraction) -> str:
    """A rational as Coq's text, an operand of any operation."""
    numerator, denominator = _digits(x)
    text = numerator if x.denominator == 1 else f"{numerator} / {denominator}"
    return text if x.denominator == 1 and x >= 0 else f"({text})"


def _pair(x: Fraction) -> str:
    numerator, denominator = _digits(x)
    return f"({numerator}, {denominator}%positive)"


def _digits(x: Fraction) -> tuple[str, str]:
    if max(x.numerator.bit_length(), x.denominator.bit_length()) > MAX_BITS:
        raise InputError(f"a number of the statement is too long for Coq: more than {MAX_BITS} bits")
    return str(x.numerator), str(x.denominator)


class _Variables:
    """The entries of the input that vary, at most two; the others are constants."""

    def __init__(self, statement: Statement) -> None:
        self.sides = statement.domain.sides
        self.free = tuple(k for k, (lo, hi) in enumerate(self.sides) if lo < hi)
        if not 1 <= len(self.free) <= 2:
            raise InputError(f"only heads of one or two entries that vary can be exported, not {len(self.free)}")
        for side in self.sides:
            for end in side:
                _digits(end)
        self.names = tuple("x" if len(self.sides) == 1 else f"x{k}" for k in self.free)

    @property
    def arguments(self) -> str:
        return " ".join(self.names)

    @property
    def binder(self) -> str:
        return f"({self.arguments} : R)"

    @property
    def point(self) -> str:
        """The two coordinates of the procedure."""
        return " ".join([*self.names, "0"][:2])

    def term(self, index: int) -> Term:
        if index not in self.free:
            return _constant(self.sides[index][0])
        place = self.free.index(index)
        return Term(self.names[place], ("EX", "EY")[place], 1)

    def bounds(self) -> list[str]:
        sides = (self.sides[k] for k in self.free)
        return [f"{_number(lo)} <= {x} <= {_number(hi)}" for x, (lo, hi) in zip(self.names, sides, strict=True)]


def _constant(value: Fraction) -> Term:
    numerator, denominator = _digits(value)
    return Term(_number(value), f"(ECst ({numerator}) {denominator})", 1)


def _bracketed(text: str, data: str, *parts: Term) -> Term:
    nodes = 1 + sum(part.nodes for part in parts)
    if nodes > MAX_NODES:
        raise InputError(f"the target is too large for Coq: more than {MAX_NODES} operations, written out")
    return Term(f"({text})", data, nodes)


class _Algebra:
    """The target language in Coq's terms; what has no counterpart is refused. See `target.run`."""

    def __init__(self, variables: _Variables) -> None:
        self.variables = variables

    def __getattr__(self, op: str) -> object:
        raise InputError(f"a target with `{op.rstrip('_')}` cannot be exported to Coq")

    def const(self, value: Fraction) -> Term:
        return _constant(value)

    def var(self, index: int) -> Term:
        return self.variables.term(index)

    def pi(self) -> Term:
        return Term("PI", "EPi", 1)

    def e(self) -> Term:
        return self.exp(_constant(Fraction(1)))

    def neg(self, a: Term) -> Term:
        return _bracketed(f"- {a.text}", f"(ENeg {a.data})", a)

    def add(self, a: Term, b: Term) -> Term:
        return _bracketed(f"{a.text} + {b.text}", f"(EAdd {a.data} {b.data})", a, b)

    def sub(self, a: Term, b: Term) -> Term:
        return _bracketed(f"{a.text} - {b.text}", f"(ESub {a.data} {b.data})", a, b)

    def mul(self, a: Term, b: Term) -> Term:
        return _bracketed(f"{a.text} * {b.text}", f"(EMul {a.data} {b.data})", a, b)

    def div(self, a: Term, b: Term) -> Term:
        return _bracketed(f"{a.text} / {b.text}", f"(EDiv {a.data} {b.data})", a, b)

    def _function(self, name: str, constructor: str, a: Term) -> Term:
        return _bracketed(f"{name} {a.text}", f"({constructor} {a.data})", a)

    def exp(self, a: Term) -> Term:
        return self._function("exp", "EExp", a)

    def log(self, a: Term) -> Term:
        return self._function("ln", "ELn", a)

    def sqrt(self, a: Term) -> Term:
        return self._function("sqrt", "ESqrt", a)

    def abs(self, a: Term) -> Term:
        return self._function("Rabs", "EAbs", a)

    def sin(self, a: Term) -> Term:
        return self._function("sin", "ESin", a)

    def cos(self, a: Term) -> Term:
        return self._function("cos", "ECos", a)

    def atan(self, a: Term) -> Term:
        return self._function("atan", "EAtan", a)

    def tan(self, a: Term) -> Term:
        return self.div(self.sin(a), self.cos(a))

    def sinh(self, a: Term) -> Term:
        return self.div(self.sub(self.exp(a), self.exp(self.neg(a))), _constant(Fraction(2)))

    def cosh(self, a: Term) -> Term:
        return self.div(self.add(self.exp(a), self.exp(self.neg(a))), _constant(Fraction(2)))

    def sigmoid(self, a: Term) -> Term:
        one = _constant(Fraction(1))
        return self.div(one, self.add(one, self.exp(self.neg(a))))

    def tanh(self, a: Term) -> Term:
        """tanh a = 2 sigmoid(2 a) - 1."""
        two = _constant(Fraction(2))
        return self.sub(self.mul(two, self.sigmoid(self.mul(two, a))), _constant(Fraction(1)))

    def ipow(self, a: Term, n: int) -> Term:
        if abs(n) > MAX_POWER:
            raise InputError(f"a power with the exponent {n} is too large for Coq; the limit is {MAX_POWER}")
        power = _bracketed(f"{a.text} ^ {abs(n)}", f"(EPow {a.data} {abs(n)})", a)
        return power if n >= 0 else self.div(_constant(Fraction(1)), power)

    def rpow(self, a: Term, q: Fraction) -> Term:
        """Powers of the square root where q is a multiple of 1/2; others are exp(q ln a), for a > 0."""
        if q.denominator == 2:
            root = self.sqrt(a)
            return root if q == Fraction(1, 2) else self.ipow(root, q.numerator)
        return self.pow(a, _constant(q))

    def pow(self, a: Term, b: Term) -> Term:
        return self.exp(self.mul(b, self.log(a)))


def _terms(target: Target, variables: _Variables) -> list[Term]:
    return run(target, _Algebra(variables))


@dataclass(frozen=True)
class _Comparison:
    """A condition a <= b, or a < b where it is strict."""

    strict: bool
    left: Term
    right: Term

    @property
    def text(self) -> str:
        return f"{self.left.text} {'<' if self.strict else '<='} {self.right.text}"

    @property
    def data(self) -> str:
        return f"(ESub {self.left.data} {self.right.data})"


def _comparisons(condition: Condition, variables: _Variables) -> Iterator[_Comparison]:
    """The comparisons that a condition joins by `and`; raises InputError for other conditions."""
    tape = condition.indicator.tape
    waiting = [tape[condition.indicator.outputs[0]].args[0]]
    while waiting:
        op, args, _ = tape[waiting.pop()]
        if op == "and_":
            waiting += reversed(args)
        elif op in ("less", "less_equal"):
            left, right = (_slot(tape, slot, variables) for slot in args)
            yield _Comparison(op == "less", left, right)
        else:
            raise InputError(
                f"the condition {condition.source!r} cannot be exported to Coq: it uses `{op.rstrip('_')}`"
            )


def _slot(tape: Sequence[Instruction], slot: int, variables: _Variables) -> Term:
    """The value of a slot of a tape."""
    algebra = _Algebra(variables)
    values: dict[int, Term] = {}
    needed = {slot}
    for k in range(slot, -1, -1):
        if k in needed:
            needed.update(tape[k].args)
    for k in sorted(needed):
        op, args, payload = tape[k]
        operands = [values[a] for a in args]
        values[k] = getattr(algebra, op)(*operands, *([] if payload is None else [payload]))
    return values[slot]


# --- heads ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Token:
    keys: tuple[Fraction, ...]
    bias: Fraction
    value: Fraction


def _reduced(head: ReducedHead, row: int, variables: _Variables) -> list[_Token]:
    """The tokens for one row of the output, with constant entries of the input joined to the biases."""
    fixed = [(k, lo) for k, (lo, hi) in enumerate(variables.sides) if lo == hi]
    return [
        _Token(
            keys=tuple(row_entry(head.keys[k], i) for k in variables.free),
            bias=row_entry(head.biases, i) + sum(row_entry(head.keys[k], i) * lo for k, lo in fixed),
            value=row_entry(head.values[row], i),
        )
        for i in range(head.tokens)
    ]


# --- the file ------------------------------------------------------------------------------------------------------


class _Names:
    """The names of an entry's definitions."""

    def __init__(self, suffix: str) -> None:
        self.target, self.attention, self.score = f"f{suffix}", f"attention{suffix}", f"score{suffix}"
        self.expr, self.head, self.proved = f"target{suffix}", f"head{suffix}", f"certified{suffix}"


def _preamble(statement: Statement, variables: _Variables) -> str:
    entries = ", ".join(
        f"{name} is {statement.space.variable_name(k)}" for name, k in zip(variables.names, variables.free, strict=True)
    )
    return (
        f"(* attncert: the statement {statement.sha256}\n"
        f"     target     {statement.function.source}\n"
        f"     domain     {statement.domain}; {entries}\n"
        "   The theorem is the last one; `Print Assumptions` tells what it rests on. *)\n"
    )


def _definitions(name: _Names, variables: _Variables, target: Term, tokens: Sequence[_Token]) -> str:
    """The target, the scores and the head in plain terms, the same as data, and that they agree."""
    binder, arguments = variables.binder, variables.arguments
    lines = ["(* The claim. *)", "", f"Definition {name.target} {binder} : R := {target.text}.", ""]
    for i, token in enumerate(tokens):
        terms = [f"{_number(key)} * {x}" for key, x in zip(token.keys, variables.names, strict=True)]
        lines.append(f"Definition {name.score}_{i} {binder} : R := {' + '.join([*terms, _number(token.bias)])}.")
    weights = [f"exp ({name.score}_{i} {arguments})" for i in range(len(tokens))]
    values = [f"{weight} * {_number(token.value)}" for weight, token in zip(weights, tokens, strict=True)]
    lines += ["", f"Definition {name.attention} {binder} : R :="]
    lines += ["  (" + "\n   + ".join(values) + ")", "  / (" + "\n     + ".join(weights) + ").", ""]
    data = []
    for token in tokens:
        x, y = [*map(_pair, token.keys), None][:2]
        second = "None" if y is None else f"(Some {y})"
        data.append(f"Datum {x} {second} {_pair(token.bias)} {_pair(token.value)}")
    lines += ["(* The same as data, and the proof. *)", "", f"Definition {name.expr} : expr := {target.data}.", ""]
    lines += [f"Definition {name.head} : list datum := [", "  " + ";\n  ".join(data), "]%Z.", ""]
    lines += [
        f"Lemma {name.target}_is {binder} : {name.target} {arguments} = eval {name.expr} {variables.point}.",
        "Proof. reflexivity. Qed.",
        "",
        f"Lemma {name.attention}_is {binder} : {name.attention} {arguments} = mean_of {name.head} {variables.point}.",
        "Proof. reflexivity. Qed.",
        "",
    ]
    return "\n".join(lines)


def _hypotheses(variables: _Variables, conditions: Sequence[_Comparison]) -> str:
    return "".join(f"{text} ->\n  " for text in [*variables.bounds(), *(c.text for c in conditions)])


def _error(name: _Names, variables: _Variables) -> str:
    return f"Rabs ({name.target} {variables.arguments} - {name.attention} {variables.arguments})"


def _inequality(name: _Names, statement: Statement, variables: _Variables) -> str:
    return f"{_error(name, variables)} <= {_number(_tolerance(statement))}"


def _excess(name: _Names, statement: Statement, variables: _Variables) -> str:
    return f"{_number(_tolerance(statement))} < {_error(name, variables)}"


def _tolerance(statement: Statement) -> Fraction:
    if not isinstance(statement.claim, SupError):
        raise InputError("only claims about the sup norm (kind error, norm inf) can be exported to Coq")
    return statement.claim.tolerance


def _proof(
    name: _Names,
    statement: Statement,
    variables: _Variables,
    conditions: Sequence[_Comparison],
    tokens: Sequence[_Token],
    evidence: Paving,
    tree: str,
) -> str:
    tolerance = _tolerance(statement)
    sides = [statement.domain.sides[k] for k in variables.free]
    weights = _weights(tree, variables)
    ends = [_pair(end) for side in [*sides, (Fraction(0), Fraction(0))][:2] for end in side]
    names = [f"H{k}" for k in range(len(sides) + len(conditions))]
    second = "exact H1" if len(sides) == 2 else "split; apply Rle_refl"
    held = "repeat (apply Forall_cons; [simpl; lra |]); apply Forall_nil"

    def attempt(module: str, precision: str, evaluate: str) -> str:
        numbers = f"{DEPTH} {_silence(tokens, tolerance)} {weights[0]} {weights[1]} {STEEP}"
        return (
            f"apply ({module}.proves_correct {precision} {numbers} [{'; '.join(c.data for c in conditions)}]%Z\n"
            f"      {name.expr} {name.head} {_pair(tolerance)}%Z {' '.join(f'{end}%Z' for end in ends)});\n"
            f"    [{evaluate} | exact H0 | {second} | {held}]"
        )

    once, again = "vm_cast_no_check (eq_refl true)", "vm_compute; reflexivity"
    double, long = ("Machine", "(PrimitiveFloat.PtoP 53)"), ("Long", _precision(evidence))
    noise = _rounding(tokens, sides) * _spread(tokens, tolerance) / tolerance
    if noise <= NEGLIGIBLE:
        proof = attempt(*double, once)
    elif noise <= TOLERABLE:  # long numbers take a hundred times longer: only if double precision has failed
        proof = f"first [{attempt(*double, again)}\n  | {attempt(*long, again)}]"
    else:
        proof = attempt(*long, once)
    return "\n".join(
        [
            f"Theorem {name.proved} : forall {variables.binder},\n  {_hypotheses(variables, conditions)}"
            f"{_inequality(name, statement, variables)}.",
            "Proof.",
            f"  intros {variables.arguments} {' '.join(names)}; rewrite {name.target}_is, {name.attention}_is.",
            f"  {proof}.",
            "Qed.",
            "",
        ]
    )


def _precision(evidence: Paving | Counterexample) -> str:
    return f"(Binary.PtoP {min(max(evidence.precision, 32), MAX_PRECISION) + GUARD_BITS})"


def _rounding(tokens: Sequence[_Token], sides: Sequence[tuple[Fraction, Fraction]]) -> Fraction:
    """About how much the scores' rounding in double precision changes a weight, relative to the weight."""
    reach = [max(abs(lo), abs(hi)) for lo, hi in sides]
    score = max(
        abs(token.bias) + sum(abs(key) * x for key, x in zip(token.keys, reach, strict=True)) for token in tokens
    )
    return (score + 32) / 2**50


def _spread(tokens: Sequence[_Token], tolerance: Fraction) -> Fraction:
    """A bound on |f - v| for all tokens, if the claim holds."""
    values = [token.value for token in tokens]
    return max(values) - min(values) + tolerance


def _silence(tokens: Sequence[_Token], tolerance: Fraction) -> int:
    """Tokens that score this much less than the best on a box are dropped.

    Together they cost at most 2^-14 of the tolerance.
    """
    share = len(tokens) * _spread(tokens, tolerance) / tolerance * 2**14
    return math.ceil((share.numerator.bit_length() - share.denominator.bit_length() + 1) * math.log(2))


def _weights(tree: str, variables: _Variables) -> tuple[int, int]:
    """What a unit of length along each axis is worth where boxes are halved along the longer side.

    That is 1 over the typical (geometric mean) width of the paving's leaves, up to a factor.
    """
    levels = dict.fromkeys(variables.free, 0)
    waiting, sums, leaves = [levels], dict(levels), 0
    for mark in tree:
        if not waiting:
            break
        levels = waiting.pop()
        axis = AXES.find(mark)
        if axis >= 0:
            child = {k: level + (k == axis) for k, level in levels.items()}
            waiting += [child, child]
        else:
            leaves += 1
            sums = {k: total + levels[k] for k, total in sums.items()}
    if waiting or not leaves:
        raise InvalidCertificate("a split tree of the evidence is incomplete")
    worth = []
    for k, total in sums.items():
        width = variables.sides[k][1] - variables.sides[k][0]
        worth.append(total / leaves - width.numerator.bit_length() + width.denominator.bit_length())
    exponents = [min(8.0, power - min(worth)) for power in worth]
    return round(16 * 2 ** exponents[0]), round(16 * 2 ** exponents[-1])


def _conjunction(
    names: Sequence[_Names], statement: Statement, variables: _Variables, conditions: Sequence[_Comparison]
) -> str:
    claims = "\n  /\\ ".join(_inequality(name, statement, variables) for name in names)
    proofs = " | ".join(f"now apply {name.proved}" for name in names)
    return (
        f"Theorem certified : forall {variables.binder},\n  {_hypotheses(variables, conditions)}{claims}.\n"
        f"Proof. intros; repeat split; [{proofs}]. Qed.\n"
    )


def _refutation(
    name: _Names,
    statement: Statement,
    variables: _Variables,
    conditions: Sequence[_Comparison],
    evidence: Counterexample,
) -> str:
    prec = _precision(evidence)
    place = [evidence.point[k] for k in variables.free]
    point = " ".join(f"{_pair(x)}%Z" for x in [*place, Fraction(0)][:2])
    facts = [*variables.bounds(), *(c.text for c in conditions), _excess(name, statement, variables)]
    proofs = ["lra"] * len(place)
    for condition in conditions:
        step, test = ("Rminus_lt", "below_0") if condition.strict else ("Rminus_le", "at_most_0")
        proofs.append(f"apply {step}, (Long.{test}_correct {prec} {condition.data} {point}); vm_compute; reflexivity")
    claim = f"{name.expr} {name.head} {_pair(_tolerance(statement))}%Z {point}"
    signs = [
        f"apply (Long.refutes_correct {prec} {sign} {claim}); vm_compute; reflexivity" for sign in ("true", "false")
    ]
    return "\n".join(
        [
            f"Theorem refuted : exists {variables.arguments} : R,",
            "  " + "\n  /\\ ".join(facts) + ".",
            "Proof.",
            f"  exists {', '.join(map(_number, place))}.",
            *(f"  split; [{proof} |]." for proof in proofs),
            f"  rewrite {name.target}_is, {name.attention}_is.",
            f"  first [{signs[0]}\n        | {signs[1]}].",
            "Qed.",
            "",
        ]
    )
