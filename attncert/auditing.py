"""Audits: somebody's weights against somebody's bound.

A claim file names a target, a domain, a bound and a weights file. The error of that head is enclosed between proved
ends; the claim is then proved, refuted or undecided, with a certificate that the kernel accepts for what was decided.

A claim is `tolerance = t`, the error is at most t, or `at_least = a`, it is at least a ("cannot be better than"). What
decides them, where u is proved as an upper end and the evidence for a lower end l in the sup norm proves more than l at
a point, and in an L_p norm at least l:

    tolerance = t    proved by u <= t    refuted by l >= t (in an L_p norm by l > t)
    at_least = a     proved by l >= a    refuted by u < a
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from decimal import ROUND_CEILING, ROUND_FLOOR
from fractions import Fraction
from functools import partial
from pathlib import Path

from attncert.api import GAPS, Certificate, ProgressCallback, Result, bound, decimal, pose, verify
from attncert.certificates.claim import LpError, SupError, error_claim
from attncert.certificates.deadline import Deadline
from attncert.certificates.errors import InputError, InvalidAttention, InvalidClaim, InvalidWeights
from attncert.certificates.evidence import Counterexample, Evidence, Integral, Paving
from attncert.certificates.numbers import format_exact, parse_exact
from attncert.certificates.statement import Statement
from attncert.demands import UserClaim, proved_ends
from attncert.reports import spell
from attncert.verifier import kernel
from attncert.weights import load_head

MOMENT = 0.001
"""Seconds of a search for which no time is left."""


@dataclass(frozen=True)
class Audit:
    """An answer about a claim file.

    verdict: `proved` (the kernel re-proved the claim), `verified` (the verifier did, the kernel was not asked),
    `refuted` or `undecided`. error_lower and error_upper bracket the smallest tolerance that holds: decimal strings
    rounded outward, None where nothing is known. `point` maps the variables of the target to the exact place where the
    error is more than error_lower, in the sup norm.

    certificate: what decides the claim or, if undecided, the claim without evidence. It states the bound of the claim
    where it can: a refutation of `at_least`, and what decides `at_least` in an L_p norm, states the upper end.
    tightest: proves the upper end of the bracket. unused: the tensors of the weights file that play no part.
    """

    verdict: str
    claim: str
    error_lower: str | None
    error_upper: str | None
    point: Mapping[str, str] | None
    tokens: int
    boxes: int
    seconds: float
    statement_sha256: str
    detail: str
    weights: str
    unused: tuple[str, ...]
    certificate: Certificate = field(repr=False)
    tightest: Certificate | None = field(default=None, repr=False)
    interrupted: bool = False

    def __bool__(self) -> bool:
        """Refuse to guess: a verdict has more than two values."""
        raise TypeError("an audit is proved, verified, refuted or undecided: compare its verdict")


def audit(
    path: str | Path,
    *,
    gap: str | Fraction = "0.01",
    budget: float | None = None,
    jobs: int = 1,
    memory: str | int | None = None,
    check: bool = True,
    progress: ProgressCallback | None = None,
) -> Audit:
    """Decide the claim in a claim file about the weights that it names, and bracket the smallest tolerance that holds.

    gap: upper <= (1 + gap) lower is aimed at for the bracket, and a smaller one where the claim lies inside it. budget,
    jobs, memory, check: as for `verify`. Claim files, weights files and their conventions are those of docs/audit.md.

    Raises InputError (a ValueError), with one clear line, for a claim file or weights that cannot be read exactly, or
    do not fit together.
    """
    started = time.monotonic()
    case, deadline = _read(path), Deadline.after(budget)
    asked = case.certificate(case.statement)
    enclose = partial(bound, asked, jobs=jobs, memory=memory, check=check, progress=progress)
    decide = partial(verify, asked, jobs=jobs, memory=memory, check=check, progress=progress)
    found: list[Certificate] = []
    decided, boxes = None, 0
    try:
        for result, proofs in _searches(enclose, decide, gap, deadline, case.least):
            boxes += result.boxes
            found += proofs
            decided = case.decide(found, check)
            if decided is not None or result.interrupted or deadline.passed():
                break
    except InvalidAttention as error:
        raise InvalidClaim(f"{path}: {error}") from None
    lower, upper = _lower(found), _upper(found)
    verdict, certificate, said = decided or ("undecided", asked, f"the bracket leaves it open; {result.detail}")
    return Audit(
        verdict=verdict,
        claim=case.words,
        error_lower="0" if lower is None else decimal(lower.number, ROUND_FLOOR),
        error_upper=None if upper is None else decimal(upper.number, ROUND_CEILING),
        point=None if lower is None else case.place(lower.evidence),
        tokens=result.tokens,
        boxes=boxes,
        seconds=time.monotonic() - started,
        statement_sha256=certificate.statement_sha256,
        detail=said,
        weights=case.weights,
        unused=case.unused,
        certificate=certificate,
        tightest=None if upper is None else case.certificate(case.claiming(upper.number), upper.evidence),
        interrupted=result.interrupted,
    )


def _searches(
    enclose: Callable[..., Result],
    decide: Callable[..., Result],
    gap: str | Fraction,
    deadline: Deadline,
    least: Fraction | None,
) -> Iterator[tuple[Result, list[Certificate]]]:
    """An enclosure of the error, then the claim itself, and the certificates that prove something.

    `least`: the claim is that an error in the sup norm is at least that. To refute it takes an upper end below it, so
    that closer enclosures come between. Each gets half of the time that is left.
    """

    def enclosure(gap: str | Fraction) -> tuple[Result, list[Certificate]]:
        left = deadline.left()
        result = enclose(gap=gap, budget=None if left is None else max(left / 2, MOMENT))
        return result, [part for part in (result.certificate, result.witness) if part is not None]

    result, proofs = enclosure(gap)
    yield result, proofs
    while least is not None and result.verdict != "undecided" and (lower := _lower(proofs)) is not None:
        closer = (least - lower.number) / lower.number / 2
        if closer < GAPS[0]:
            break
        result, proofs = enclosure(closer)
        yield result, proofs
    left = deadline.left()
    result = decide(budget=None if left is None else max(left, MOMENT))
    yield result, [result.certificate] if result.certificate is not None and result.verdict != "undecided" else []


@dataclass(frozen=True)
class _End:
    """What evidence proves of the error: that it is at most a number; or, of the other end, more than it.

    In an L_p norm the lower end is at least the number.
    """

    number: Fraction
    evidence: Evidence


def _upper(found: list[Certificate]) -> _End | None:
    """The least upper end that was proved."""
    ends = []
    for certificate in found:
        match certificate.evidence:
            case Paving(bound=number) | Integral(upper=number) as evidence:
                ends.append(_End(number, evidence))
    return min(ends, key=lambda end: end.number, default=None)


def _lower(found: list[Certificate]) -> _End | None:
    """The greatest lower end that was proved."""
    ends = []
    for certificate in found:
        match certificate.evidence, certificate.statement.claim:
            case Counterexample() as evidence, SupError(tolerance=number):
                ends.append(_End(number, evidence))
            case Integral(lower=number) as evidence, _:
                ends.append(_End(number, evidence))
    return max(ends, key=lambda end: end.number, default=None)


@dataclass(frozen=True)
class _Case:
    """A claim and the head that it is about."""

    claim: UserClaim
    statement: Statement
    weights: str
    unused: tuple[str, ...]

    def certificate(self, statement: Statement, evidence: Evidence | None = None) -> Certificate:
        """A certificate that says where the weights came from."""
        return Certificate(statement, evidence, {"weights": self.weights})

    def claiming(self, tolerance: Fraction) -> Statement:
        """The statement that the error is at most a tolerance."""
        claim = self.statement.claim
        assert isinstance(claim, SupError | LpError)
        return replace(self.statement, claim=replace(claim, tolerance=tolerance))

    @property
    def least(self) -> Fraction | None:
        """The number in a claim that the error in the sup norm is at least that."""
        return self.claim.number if not self.claim.below and isinstance(self.statement.claim, SupError) else None

    @property
    def words(self) -> str:
        """The claim, for people."""
        side = "at most" if self.claim.below else "at least"
        norm = "error" if self.claim.norm == "inf" else f"L_{self.claim.norm} norm of the error"
        return f"the {norm} is {side} {format_exact(self.claim.number)}"

    def place(self, evidence: Evidence) -> dict[str, str] | None:
        """The point of a counterexample, in the variables of the target."""
        if not isinstance(evidence, Counterexample):
            return None
        return {self.statement.space.variable_name(k): format_exact(x) for k, x in enumerate(evidence.point)}

    def verdict(self, lower: Fraction | None, upper: Fraction | None, *, strict: bool) -> str | None:
        """What two ends decide, None if nothing; `strict`: the error is more than the lower end."""
        number = self.claim.number
        low = lower is not None and lower >= number
        if self.claim.below:
            if upper is not None and upper <= number:
                return "proved"
            return "refuted" if low and (strict or lower != number) else None
        if low:
            return "proved"
        return "refuted" if upper is not None and upper < number else None

    def decide(self, found: list[Certificate], check: bool) -> tuple[str, Certificate, str] | None:
        """The verdict that evidence gives, with the certificate for it and what it says; None while it is open.

        With `check` the verdict is drawn again from what the kernel proves of that very certificate.
        """
        strict = isinstance(self.statement.claim, SupError)
        upper, lower = _upper(found), _lower(found)
        numbers = [None if end is None else end.number for end in (lower, upper)]
        verdict = self.verdict(*numbers, strict=strict)
        if verdict is None:
            return None
        end = upper if self.claim.below == (verdict == "proved") else lower
        assert end is not None
        if isinstance(end.evidence, Integral):
            tolerance = self.claim.number if self.claim.below else end.evidence.upper
        else:
            tolerance = end.number if end is upper and not self.claim.below else self.claim.number
        certificate = self.certificate(self.claiming(tolerance), end.evidence)
        side = "at most" if end is upper else "more than" if strict else "at least"
        said = f"the error is {side} {spell(end.number)}"
        if place := self.place(end.evidence):
            said += " at " + ", ".join(f"{name} = {spell(parse_exact(x))}" for name, x in place.items())
        if not check:
            return "verified" if verdict == "proved" else verdict, certificate, said
        try:
            finding = certificate.check()
        except kernel.Rejected:
            return None
        ends = proved_ends(certificate.statement, finding)
        if self.verdict(*ends, strict=strict) != verdict:
            return None
        return verdict, certificate, f"{said}; the kernel checked {finding.obligations} obligations"


def _read(path: str | Path) -> _Case:
    """Read a claim file and the weights that it names."""
    claim = UserClaim.load(path)
    if claim.source is None:
        raise InvalidClaim(f"{path}: the claim names no weights: attention needs the key 'weights'")
    try:
        about = error_claim(claim.norm, claim.number)
        kind = claim.kind or "self"
        space, target, conditions = pose(
            claim.target, claim.domain, claim.members, about, kind, claim.shape, claim.conditions
        )
        head = load_head(claim.source, space)
        statement = Statement(target, claim.domain, head.attention, about, conditions)
    except InvalidWeights:
        raise
    except InputError as error:
        raise InvalidClaim(f"{path}: {error}") from None
    return _Case(claim, statement, claim.source.weights.name, head.unused)
