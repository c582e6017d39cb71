"""The front door for Python: construct_head, verify, certify, and the certificate as a handle.

Data flow one way: statement -> construct -> verify -> certificate -> check.
"""

from __future__ import annotations

import math
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_CEILING, ROUND_FLOOR, Context, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

from attncert.certificates.claim import (
    Indicator,
    LpError,
    Partition,
    SupError,
    error_claim,
    parse_indicator,
    parse_tolerance,
)
from attncert.certificates.condition import Condition, parse_condition, require_points
from attncert.certificates.deadline import NEVER, Deadline, OutOfTime
from attncert.certificates.document import Document
from attncert.certificates.domain import Box, parse_domain, union_condition
from attncert.certificates.errors import InputError, InvalidClaim, InvalidDomain
from attncert.certificates.evidence import Both, Breach, Counterexample, Enlarged, Integral, Paving
from attncert.certificates.numbers import fraction_to_mpf, mpf_to_fraction, parse_exact
from attncert.certificates.statement import SEARCHABLE, Statement, require_searchable
from attncert.certificates.target import InputSpace, Target, parse_target, variables_used
from attncert.construct.best_values import Fitting, Scores
from attncert.construct.embedding import with_values
from attncert.construct.indicator import indicator_candidates
from attncert.construct.methods import Task, candidates, paper, require_method
from attncert.construct.partition import partition_head
from attncert.construct.rounding import Format, format_named, rounded_candidates, rounded_head
from attncert.construct.sized import heads_of_size
from attncert.construct.uniform import Candidate
from attncert.shares import in_processes
from attncert.size import parse_size
from attncert.verifier import kernel
from attncert.verifier.bound import enclose_error
from attncert.verifier.boxes import Progress
from attncert.verifier.dual import least_error
from attncert.verifier.journal import Journal, read_document, remove
from attncert.verifier.outcome import Outcome
from attncert.verifier.prove import require_proof
from attncert.verifier.prove import verify as search_evidence
from attncert.verifier.reduction import reduce_head, single_head
from attncert.verifier.regions import partition_of
from attncert.verifier.singular import require_integrable

ProgressCallback = Callable[[Progress], None]

PRECISION_RANGE = (24, 100_000)

GAPS = (Fraction(1, 10**9), Fraction(10**6))
"""Least and greatest relative gap of an enclosure that may be asked for."""

HEAD_NOTES = ("method", "grid", "beta", "precision", "dtype")
"""Notes about a head, whatever is claimed of it."""

CLOSE = {"inf": "0.01", "p": "0.05"}
"""The relative gap to which the error of a head with a given number of tokens is enclosed, by its norm."""

FAR_BELOW, MODEST = Fraction(1, 10**16), 20_000
"""What is tried of an error that seems to be 0: a claim that much smaller, in so many boxes."""

MAX_TOKENS = 1_000_000
"""Most tokens for which the smallest error can be asked for."""

MAX_POWER = 1000
"""Greatest p of an L_p norm."""


class Certificate(Document):
    """A certificate: statement, evidence and notes, with `load`, `save` and `check`."""

    def check(self, limits: kernel.Limits | None = None, jobs: int = 1) -> kernel.Finding:
        """Let the kernel re-prove the claim (or its refutation) from the certificate alone; `jobs` processes share it.

        Raises kernel.Rejected with the reason when the evidence does not prove the statement.
        """
        return kernel.check_bytes(self.to_bytes(), limits or kernel.Limits(), jobs, in_processes)

    @classmethod
    def from_journal(cls, path: str | Path) -> Self:
        """The certificate, still without evidence, that an interrupted search was to prove (see `verify`).

        Raises InputError when the journal cannot be read.
        """
        return cls.from_bytes(read_document(Path(path)).encode("ascii"))

    @property
    def statement_sha256(self) -> str:
        """The digest of the statement."""
        return self.statement.sha256


@dataclass(frozen=True)
class Result:
    """An answer about one claim.

    verdict: `proved` (the kernel re-proved the claim), `verified` (the verifier did, the kernel was not asked),
    `refuted` (a violation was proved, in the sup norm at `point`), `undecided`. error_lower and error_upper enclose the
    norm of the error (or the measure of the layer), as decimal strings rounded outward; None where nothing is known.
    boxes counts those examined by the verifier. `witness` is the certificate that proves the lower end of an enclosure
    (see `bound`). `journal` is the file from which an undecided search can be resumed or, beside a decided claim, one
    that may be deleted once the certificate is saved.
    """

    verdict: str
    error_lower: str | None
    error_upper: str | None
    tokens: int
    boxes: int
    seconds: float
    statement_sha256: str
    detail: str
    certificate: Certificate | None = field(repr=False)
    notes: Mapping[str, Any] = field(default_factory=dict)
    point: tuple[str, ...] | None = None
    interrupted: bool = False
    witness: Certificate | None = field(default=None, repr=False)
    journal: Path | None = None

    def __bool__(self) -> bool:
        """Refuse to guess: a verdict has more than two values."""
        raise TypeError("a result is proved, verified, refuted or undecided: compare its verdict")


_NOTHING = Result("undecided", None, None, 0, 0, 0.0, "", "stopped before a head was constructed", None)


def _merit(result: Result) -> tuple[int, float]:
    """What makes one answer better than another: its verdict, then how small an error it leaves possible."""
    rank = ("proved", "verified", "undecided", "refuted").index(result.verdict)
    return rank + (result is _NOTHING), float(result.error_upper or math.inf)


def construct_head(
    target: str,
    *,
    domain: str,
    tolerance: str | Fraction | int,
    norm: str = "inf",
    attention: str = "self",
    shape: str | None = None,
    where: Sequence[str] = (),
    method: str = "auto",
    precision: int = 106,
    max_value: str | Fraction | int | None = None,
    dtype: str | None = None,
    apriori: bool = False,
) -> Certificate:
    """Emit a head and the claim, without evidence. Arguments as for `certify`."""
    request = _request(target, domain, tolerance, norm, attention, shape, where, method, precision, max_value, dtype)
    return request.certificate(next(request.candidates(apriori, NEVER)))


def verify(
    certificate: Certificate,
    *,
    proof: str = "paving",
    budget: float | None = None,
    jobs: int = 1,
    memory: str | int | None = None,
    journal: str | Path | None = None,
    resume: bool = False,
    check: bool = True,
    progress: ProgressCallback | None = None,
) -> Result:
    """Find evidence for or against the claim of a certificate, and let the kernel check it (unless `check` is false).

    proof: how an error in the sup norm is proved: `"paving"`, `"regions"` (by regions enlarged by a margin of scores,
    the paper's way, which can only prove, and only for heads that are sharp enough) or `"both"`, which then have to
    agree. budget: seconds after which the answer is `undecided`, with the best bounds; none means no limit. jobs:
    threads.
    memory: bytes, or an amount such as `"500MiB"`, that the search for a paving may use beside the head. An interrupt
    (KeyboardInterrupt) during the search also ends it as `undecided`.

    journal: a file that records a search for a paving that takes longer than half a second, so that one that was
    stopped, by whatever means, can be resumed: with `resume` it goes on from that file to the same evidence. Without
    `resume` a journal that is there is replaced. Searches for other evidence keep no journal.

    Raises InvalidDomain when the conditions of the domain are proved to leave nothing of it, InputError for a proof
    that does not fit the claim and a journal that cannot be resumed.
    """
    require_proof(proof, certificate.statement.claim)
    require_points(certificate.statement.conditions, certificate.statement.domain)
    return _verify(
        certificate,
        deadline=Deadline.after(budget),
        jobs=jobs,
        memory=_memory(memory),
        journal=_journal(certificate, journal, proof, resume=resume),
        proof=proof,
        check=check,
        progress=progress,
    )


def certify(
    target: str,
    *,
    domain: str,
    tolerance: str | Fraction | int | None = None,
    tokens: int | None = None,
    norm: str = "inf",
    attention: str = "self",
    shape: str | None = None,
    where: Sequence[str] = (),
    method: str = "auto",
    proof: str = "paving",
    precision: int = 106,
    max_value: str | Fraction | int | None = None,
    dtype: str | None = None,
    apriori: bool = False,
    budget: float | None = None,
    jobs: int = 1,
    memory: str | int | None = None,
    journal: str | Path | None = None,
    check: bool = True,
    progress: ProgressCallback | None = None,
) -> Result:
    """Construct a head whose error on the domain is at most the tolerance, prove it, and let the kernel check that.

    target: an expression such as `"sin(2*pi*x)"`. domain: a box such as `"[0,1]^2"`, or a union, `"[0,1] | [2,3]"`.
    where: conditions such as `"x0**2 + x1**2 <= 1"`, only points that satisfy all of them count. tolerance: an exact
    number such as `"0.05"` (a string: a float is refused, as it would not be the number that was written). tokens: in
    its place, the most tokens; the smallest error that can be proved with them becomes the tolerance. norm:
    `"inf"`, or p >= 1 for the L_p norm, in which the target may jump and have integrable singularities. attention:
    `"self"`, or `"cross"` for a target in `K[i,j]` and `Q[i,j]`. shape: `"DxN"` for a matrix input, `"DxN,DxN"` for K
    and Q; the domain lists the entries row by row, those of K before those of Q. method: `"uniform"` is the paper's
    grid; in the sup norm `"affine"`, with values affine in the input, and `"spectral"` need few tokens for smooth
    targets; `"adaptive"` refines where the error is; `"auto"` proves the head with the fewest tokens of all.
    max_value: a bound on the values of the tokens, with `"auto"`, `"affine"` or `"spectral"`. precision: bits of them;
    `"spectral"` takes more where the tolerance needs them. dtype: `"float64"` or `"float32"` rounds every weight to
    that format, and what was rounded is certified. apriori: exactly the grid and inverse temperature of the a-priori
    bound; otherwise the coarsest grid that can be proved. proof: as for `verify`; with `"regions"` and `"both"` the
    heads that are tried are sharp grids. budget, jobs, memory, journal, check: as for `verify`; a search that was
    stopped goes on with
    `verify(Certificate.from_journal(journal), journal=journal, resume=True)`.

    Raises InputError (a ValueError), with one clear line, for input that makes no claim or fits no construction.
    """
    if (tolerance is None) == (tokens is None):
        raise InputError("give either a tolerance or a number of tokens")
    if tokens is not None and not 1 <= tokens <= MAX_TOKENS:
        raise InputError(f"the number of tokens must lie between 1 and {MAX_TOKENS:,}")
    tolerance = Fraction(1) if tolerance is None else tolerance
    request = _request(target, domain, tolerance, norm, attention, shape, where, method, precision, max_value, dtype)
    require_proof(proof, request.claim)
    deadline, sharp = Deadline.after(budget), proof != "paving"
    settings = _Settings(jobs, _memory(memory), None if journal is None else Path(journal), check, progress, proof)
    if tokens is not None:
        if apriori or sharp:
            what = "the a-priori bound" if apriori else "a proof by regions"
            raise InputError(f"{what} starts from a tolerance: it does not go with a number of tokens")
        return _smallest_error(request, tokens, deadline, settings)
    return _first_proved(request.candidates(apriori, deadline, sharp), request.certificate, deadline, settings)


def bound(
    certificate: Certificate,
    *,
    gap: str | Fraction = "0.01",
    budget: float | None = None,
    jobs: int = 1,
    memory: str | int | None = None,
    check: bool = True,
    progress: ProgressCallback | None = None,
) -> Result:
    """Enclose the true error of the head in a certificate: error_lower <= norm of the error <= error_upper.

    gap: upper <= (1 + gap) lower is aimed at, an exact number in a string, or a Fraction. The verdict is `proved` when
    the kernel checked both ends and they are that close, `verified` when it was not asked, else `undecided`, with the
    best enclosure found. The tolerance that the certificate claims plays no part; its evidence is not used. In the
    result, `certificate` claims error_upper and proves it, and `witness` refutes the tolerance error_lower (for an L_p
    norm the evidence of `certificate` proves both ends).

    Raises InputError (a ValueError), with one clear line, for a claim that is not about an error.
    """
    if isinstance(gap, float):
        raise InputError("give the gap as a string such as '0.01', or a Fraction: a float is not exact")
    asked = parse_exact(gap) if isinstance(gap, str) else Fraction(gap)
    if not GAPS[0] <= asked <= GAPS[1]:
        raise InputError("the gap must lie between 1e-9 and 1e6")
    started = time.monotonic()
    statement, deadline = certificate.statement, Deadline.after(budget)
    require_points(statement.conditions, statement.domain)
    found = enclose_error(statement, asked, deadline=deadline, jobs=jobs, progress=progress, memory=_memory(memory))
    notes = dict(certificate.notes)
    upper = witness = None
    if found.evidence is not None and found.upper is not None:
        upper = Certificate(_claiming(statement, found.upper), found.evidence, notes)
    if found.witness is not None:
        witness = Certificate(_claiming(statement, found.lower), found.witness, notes)
    detail, verdict = found.detail, "verified" if found.reached else "undecided"
    ends: dict[str, Fraction | None] = {"lower": found.lower, "upper": found.upper}
    if check:
        for end, part, wanted in (("upper", upper, "proved"), ("lower", witness, "refuted")):
            said, line = (wanted, "") if part is None else _ask_kernel(part)
            if said != wanted:
                verdict, ends[end] = "undecided", None
                detail = f"for the {end} end: {line}"
        if verdict == "verified":
            verdict, detail = "proved", f"{detail}; the kernel checked both ends"
    return Result(
        verdict=verdict,
        error_lower=decimal(ends["lower"], ROUND_FLOOR),
        error_upper=decimal(ends["upper"], ROUND_CEILING),
        tokens=found.tokens,
        boxes=found.boxes,
        seconds=time.monotonic() - started,
        statement_sha256=certificate.statement_sha256,
        detail=detail,
        certificate=upper if ends["upper"] is not None else None,
        witness=witness if ends["lower"] is not None else None,
        notes=certificate.notes,
        point=None if found.witness is None else tuple(map(str, found.witness.point)),
        interrupted=found.interrupted,
    )


def _claiming(statement: Statement, tolerance: Fraction) -> Statement:
    """The same statement with another tolerance."""
    assert not isinstance(statement.claim, Indicator | Partition)
    return replace(statement, claim=replace(statement.claim, tolerance=tolerance), spelling=None)


def certify_indicator(
    *,
    domain: str,
    grid: str | Sequence[int],
    delta: str | Fraction,
    measure: str | Fraction,
    where: Sequence[str] = (),
    precision: int = 106,
    dtype: str | None = None,
    apriori: bool = False,
    budget: float | None = None,
    jobs: int = 1,
    memory: str | int | None = None,
    check: bool = True,
    progress: ProgressCallback | None = None,
) -> Result:
    """Construct a head for a uniform partition, prove that its softmax is nearly an indicator, and check that.

    The partition has the cells of `grid`, such as `"8x8"`; the values of the head are the numbers of the regions. It is
    about as little sharp as it can be, so that outside a set of at most the given measure the softmax column differs
    by at most delta, in the 1-norm, from the one-hot vector of the region. delta and measure are exact numbers in
    strings, or Fractions. apriori: exactly the inverse temperatures of the a-priori bound. Other arguments, such as
    dtype, as for `certify`; in the result error_upper bounds the measure of the layer.

    Raises InputError (a ValueError), with one clear line, for input that makes no claim.
    """
    box, members = parse_domain(domain)
    space = InputSpace((box.dimension, 1))
    if len(members) > 1:
        where = (union_condition(members, space.variable_name), *where)
    if isinstance(delta, float) or isinstance(measure, float):
        raise InvalidClaim("give delta and measure as strings such as '0.05', or Fractions: a float is not exact")
    claim = parse_indicator(str(delta), str(measure))
    _require_precision(precision)
    require_searchable(box, claim.measure)
    if claim.delta < SEARCHABLE[0]:
        raise InvalidClaim("delta must be at least 1e-100")
    if any(lo == hi for lo, hi in box.sides):
        raise InvalidDomain("a measure needs a domain whose sides all have positive length")
    counts = _grid(grid, box.dimension)
    conditions = tuple(parse_condition(condition, space) for condition in where)
    deadline = Deadline.after(budget)

    def certificate(candidate: Candidate) -> Certificate:
        return Certificate(Statement(None, box, candidate.attention, claim, conditions), None, candidate.notes)

    heads = indicator_candidates(
        space, box, counts, claim, precision=precision, apriori_only=apriori, conditions=conditions
    )
    if dtype is not None:
        heads = rounded_candidates(heads, format_named(dtype))
    settings = _Settings(jobs, _memory(memory), None, check, progress)
    return _first_proved(heads, certificate, deadline, settings)


@dataclass(frozen=True)
class _Settings:
    """How to search, for every candidate alike."""

    jobs: int
    memory: int | None
    journal: Path | None
    check: bool
    progress: ProgressCallback | None
    proof: str = "paving"

    def satisfied_by(self, result: Result) -> bool:
        """Tell whether the claim is proved as asked for."""
        evidence = None if result.certificate is None else result.certificate.evidence
        return result.verdict in ("proved", "verified") and (self.proof != "both" or isinstance(evidence, Both))


def certify_partition(
    *,
    domain: str,
    grid: str | Sequence[int],
    dtype: str | None = None,
    budget: float | None = None,
    check: bool = True,
    progress: ProgressCallback | None = None,
) -> Result:
    """Construct a head whose regions are the cells of a grid, prove that they are, and let the kernel check that.

    The claim declares for each cell the tokens of the cells that share a face with it, and the ball around it: on the
    region no other token wins, the regions cover the domain, meet on faces only, and each lies in its ball. The weights
    are exact rationals; with `dtype` they are rounded, and where that changes them the regions that are declared are
    those of the rounded head. domain: a box. grid: such as `"8x8"`. In the result `boxes` counts the regions.

    Raises InputError (a ValueError), with one clear line, for input that makes no claim.
    """
    box, members = parse_domain(domain)
    if len(members) > 1:
        raise InvalidDomain("a claim of kind 'partition' is about a box, not a union")
    _require_sides(box)
    require_searchable(box, Fraction(1))
    head, claim, notes = partition_head(InputSpace((box.dimension, 1)), box, _grid(grid, box.dimension))
    certificate = Certificate(Statement(None, box, head, claim), None, notes)
    if dtype is not None:
        rounded = rounded_head(head, format_named(dtype))
        notes = {**notes, "dtype": dtype}
        certificate = Certificate(Statement(None, box, rounded, claim), None, notes)
        if rounded != head:  # its regions are no longer exactly the cells: declare what they are
            return certify_regions(certificate, budget=budget, check=check, progress=progress)
    return _prove_partition(certificate, Deadline.after(budget), check=check, progress=progress)


def certify_regions(
    certificate: Certificate,
    *,
    budget: float | None = None,
    check: bool = True,
    progress: ProgressCallback | None = None,
) -> Result:
    """Compute the regions of the head in a certificate, whatever it claims, and prove that they partition its box.

    The claim of the result declares for each token that wins somewhere its facets, and the ball around its bounding
    box. Arguments and result as for `certify_partition`; `undecided` without a certificate when the budget ends first.

    Raises InputError (a ValueError), with one clear line, for a domain that is not a box, or a head outside the
    supported family.
    """
    statement, deadline = certificate.statement, Deadline.after(budget)
    if statement.conditions:
        raise InvalidDomain("a claim of kind 'partition' is about a box: conditions do not go with it")
    _require_sides(statement.domain)
    started = time.monotonic()
    try:
        claim = partition_of(statement.attention, statement.domain, deadline)
    except (OutOfTime, KeyboardInterrupt) as stop:
        interrupted = isinstance(stop, KeyboardInterrupt)
        detail = "stopped before the regions were known"
        return replace(_NOTHING, detail=detail, interrupted=interrupted, seconds=time.monotonic() - started)
    made = {name: certificate.notes[name] for name in HEAD_NOTES if name in certificate.notes}
    found = Certificate(Statement(None, statement.domain, statement.attention, claim), None, made)
    result = _prove_partition(found, deadline, check=check, progress=progress)
    return replace(result, seconds=time.monotonic() - started)


def _prove_partition(
    certificate: Certificate, deadline: Deadline, *, check: bool, progress: ProgressCallback | None
) -> Result:
    return _verify(certificate, deadline=deadline, jobs=1, memory=None, journal=None, check=check, progress=progress)


def _require_sides(box: Box) -> None:
    if any(lo == hi for lo, hi in box.sides):
        raise InvalidDomain("regions need a domain whose sides all have positive length")


def _first_proved(
    candidates: Iterator[Candidate],
    certificate: Callable[[Candidate], Certificate],
    deadline: Deadline,
    settings: _Settings,
) -> Result:
    """The result of the first candidate whose claim is proved, else the best."""
    started = time.monotonic()
    boxes = 0
    best, left = _NOTHING, None
    try:
        for candidate in candidates:
            wanted = certificate(candidate)
            result = _verify(
                wanted,
                deadline=deadline,
                jobs=settings.jobs,
                memory=settings.memory,
                journal=_journal(wanted, settings.journal, settings.proof),
                proof=settings.proof,
                check=settings.check,
                progress=settings.progress,
                max_boxes=None if candidate.is_last else candidate.boxes + 40 * candidate.attention.tokens,
            )
            boxes += result.boxes
            best, left = min(result, best, key=_merit), result.journal
            if deadline.passed() or result.interrupted or settings.satisfied_by(result):
                break
    except OutOfTime:
        pass
    except KeyboardInterrupt:
        best = replace(best, interrupted=True)
    return replace(best, boxes=boxes, seconds=time.monotonic() - started, journal=left)


def fit(
    certificate: Certificate,
    *,
    gap: str | Fraction = "0.01",
    precision: int = 106,
    dtype: str | None = None,
    budget: float | None = None,
    jobs: int = 1,
    memory: str | int | None = None,
    check: bool = True,
    progress: ProgressCallback | None = None,
) -> Result:
    """Give the head in a certificate the best values for its keys and biases, and certify the error that it then has.

    Values that depend on the input go on doing so, on the same entries of it. The values are those of a linear program,
    rounded to `precision` bits or to `dtype`; the new claim is the upper end of an enclosure of the error to the
    relative `gap` (see `bound`). The note `optimum` holds a proved lower bound on
    the error over all values with these keys and biases, and the ratio of the two (docs/theory.md, section 16). That
    bound is the verifier's; the kernel checks both ends of the enclosure.

    Raises InputError (a ValueError), with one clear line, for a claim that is not about an error in the sup norm, and
    for heads whose values cannot be replaced.
    """
    statement = certificate.statement
    if not isinstance(statement.claim, SupError):
        raise InvalidClaim("the best values are found in the sup norm: the certificate claims something else")
    _require_precision(precision)
    number = None if dtype is None else format_named(dtype)
    started, deadline = time.monotonic(), Deadline.after(budget)
    require_points(statement.conditions, statement.domain)
    columns, tokens = reduce_head(statement.attention), statement.attention.tokens
    scores = [Scores(column.keys, column.biases) for column in columns]
    known = columns[0].slopes
    fitting = Fitting(statement.function, statement.domain, scores, tokens, statement.conditions, deadline, list(known))
    fits = [
        fitting.best(row, values, {k: rows[row] for k, rows in known.items()})
        for row, values in enumerate(columns[0].values)
    ]

    def rounded(numbers: Sequence[Fraction]) -> list[Fraction]:
        return [mpf_to_fraction(fraction_to_mpf(number, precision)) for number in numbers]

    head = with_values(
        single_head(statement.attention),
        [rounded(each.values) for each in fits],
        {k: [rounded(each.slopes[k]) for each in fits] for k in known},
    )
    notes = {**certificate.notes, "values": "fitted", "sampled_error": f"{max(each.error for each in fits):.6g}"}
    if number is not None:
        head, notes = rounded_head(head, number), notes | {"dtype": number.name}
    found = bound(
        Certificate(replace(statement, attention=head, spelling=None), None, notes),
        gap=gap,
        budget=None if deadline.at is None else max(deadline.at - time.monotonic(), 0.001),
        jobs=jobs,
        memory=memory,
        check=check,
        progress=progress,
    )
    least = max(
        (least_error(statement, row, places, deadline) for row, each in enumerate(fits) for places in each.places),
        default=Fraction(0),
    )
    lower = decimal(least, ROUND_FLOOR) or "0"
    notes = notes | {"optimum": {"least": lower}}
    if found.error_upper is not None and float(lower) > 0:
        notes["optimum"]["ratio"] = f"{float(Fraction(found.error_upper) / Fraction(lower)):.6g}"
    notes.pop("apriori", None)
    if found.certificate is not None:
        claim = found.certificate.statement.claim
        assert isinstance(claim, SupError)
        notes["paper"] = paper(Task(statement.function, statement.domain, claim, statement.conditions))
        fitted = replace(found.certificate, notes=notes)
        found = replace(found, verdict="proved" if check else "verified", certificate=fitted)
    return replace(found, notes=notes, witness=None, point=None, seconds=time.monotonic() - started)


def _smallest_error(request: _Request, tokens: int, deadline: Deadline, settings: _Settings) -> Result:
    """The head with at most that many tokens whose error has the least proved bound, which its certificate claims."""
    started = time.monotonic()
    best, boxes = _NOTHING, 0
    for candidate in heads_of_size(request.task(deadline), request.method, tokens):
        if best.error_upper is not None and request.number is None and float(best.error_upper) <= candidate.estimate:
            break
        found = bound(
            request.certificate(candidate),
            gap=CLOSE["p" if isinstance(request.claim, LpError) else "inf"],
            budget=None if deadline.at is None else max(deadline.at - time.monotonic(), 0.001),
            jobs=settings.jobs,
            memory=settings.memory,
            check=settings.check,
            progress=settings.progress,
        )
        boxes += found.boxes
        if found.certificate is not None:
            found = _much_smaller(found, deadline, settings)
        best = min(replace(found, witness=None, point=None), best, key=_merit)
        if deadline.passed() or found.interrupted:
            break
    best = replace(best, boxes=boxes, seconds=time.monotonic() - started)
    if best.certificate is None:
        return best
    claim = best.certificate.statement.claim
    assert isinstance(claim, SupError | LpError)
    theory = "apriori" if best.notes["method"] == "uniform" else "paper"
    notes = {**best.notes, "tokens_asked": tokens, theory: paper(replace(request.task(deadline), claim=claim))}
    return replace(best, notes=notes, certificate=replace(best.certificate, notes=notes))


def _much_smaller(found: Result, deadline: Deadline, settings: _Settings) -> Result:
    """The enclosure as an answer; where no error was found at all, a claim far below it if that can be proved."""
    assert found.certificate is not None
    if found.error_lower == "0":
        claim = found.certificate.statement.claim
        assert isinstance(claim, SupError | LpError)
        wanted = Certificate(_claiming(found.certificate.statement, claim.tolerance * FAR_BELOW), None, found.notes)
        result = _verify(
            wanted,
            deadline=deadline,
            jobs=settings.jobs,
            memory=settings.memory,
            journal=None,
            check=settings.check,
            progress=settings.progress,
            max_boxes=MODEST,
        )
        if result.verdict in ("proved", "verified"):
            return result
    return replace(found, verdict="proved" if settings.check else "verified")


def paper_tokens(
    target: str,
    *,
    domain: str,
    tolerance: str | Fraction,
    norm: str = "inf",
    attention: str = "self",
    shape: str | None = None,
    where: Sequence[str] = (),
) -> str | None:
    """How many tokens the paper's construction takes a priori, in words; None where that is not known in seconds."""
    request = _request(target, domain, tolerance, norm, attention, shape, where, "uniform", 106, None, None)
    tokens = paper(request.task(NEVER)).get("tokens")
    return None if tokens is None else str(tokens)


@dataclass(frozen=True)
class _Request:
    """What the user asked for, parsed."""

    target: Target
    box: Box
    claim: SupError | LpError
    space: InputSpace
    conditions: tuple[Condition, ...]
    precision: int
    method: str
    max_value: Fraction | None
    number: Format | None

    def task(self, deadline: Deadline, apriori: bool = False, sharp: bool = False) -> Task:
        return Task(
            self.target,
            self.box,
            self.claim,
            self.conditions,
            self.precision,
            self.max_value,
            apriori_only=apriori,
            number=self.number,
            sharp=sharp,
            deadline=deadline,
        )

    def candidates(self, apriori: bool, deadline: Deadline, sharp: bool = False) -> Iterator[Candidate]:
        return candidates(self.task(deadline, apriori, sharp), self.method)

    def certificate(self, candidate: Candidate) -> Certificate:
        statement = Statement(self.target, self.box, candidate.attention, self.claim, self.conditions)
        return Certificate(statement, None, {**candidate.notes, "sampled_error": f"{candidate.estimate:.6g}"})


def _request(
    target: str,
    domain: str,
    tolerance: str | Fraction | int,
    norm: str,
    attention: str,
    shape: str | None,
    where: Sequence[str],
    method: str,
    precision: int,
    max_value: str | Fraction | int | None,
    dtype: str | None,
) -> _Request:
    _require_precision(precision)
    number = None if dtype is None else format_named(dtype)
    if isinstance(tolerance, float):
        raise InvalidClaim("give the tolerance as a string such as '0.05', or a Fraction: a float is not exact")
    claim = error_claim(norm, parse_tolerance(tolerance) if isinstance(tolerance, str) else Fraction(tolerance))
    require_method(method, claim, bounded=max_value is not None)
    box, members = parse_domain(domain)
    space, parsed, conditions = pose(target, box, members, claim, attention, shape, where)
    return _Request(parsed, box, claim, space, conditions, precision, method, _largest_value(max_value), number)


def pose(
    target: str,
    box: Box,
    members: Sequence[Box],
    claim: SupError | LpError,
    attention: str,
    shape: str | None,
    where: Sequence[str],
) -> tuple[InputSpace, Target, tuple[Condition, ...]]:
    """The input, the target and the conditions of a claim about an error on a box, or on the union of `members`.

    Raises InputError, with one clear line, for what makes no claim that can be decided.
    """
    space = _input_space(target, box, attention, shape)
    if len(members) > 1:
        where = (union_condition(members, space.variable_name), *where)
    if isinstance(claim, LpError):
        if claim.power > MAX_POWER:
            raise InvalidClaim(f"an L_p norm with p above {MAX_POWER} is not supported")
        if any(lo == hi for lo, hi in box.sides):
            raise InvalidDomain("an L_p norm needs a domain whose sides all have positive length")
    require_searchable(box, claim.tolerance)
    conditions = tuple(parse_condition(condition, space) for condition in where)
    parsed = parse_target(target, space)
    if isinstance(claim, LpError):
        require_integrable(parsed, box, claim.power, conditions)
    return space, parsed, conditions


def _largest_value(max_value: str | Fraction | int | None) -> Fraction | None:
    """The bound on the values of the tokens, for constructions whose values may be large."""
    if max_value is None:
        return None
    largest = parse_exact(max_value) if isinstance(max_value, str) else Fraction(max_value)
    if not 0 < largest <= 10**300:
        raise InputError("the bound on the values must be positive and at most 1e300")
    return largest


def _require_precision(precision: int) -> None:
    if not PRECISION_RANGE[0] <= precision <= PRECISION_RANGE[1]:
        raise InputError(f"the precision must lie between {PRECISION_RANGE[0]} and {PRECISION_RANGE[1]} bits")


def _grid(grid: str | Sequence[int], dimension: int) -> tuple[int, ...]:
    """The cells for each side: `8x8`, or the numbers."""
    parts = [part.strip() for part in re.split("[xX]", grid)] if isinstance(grid, str) else [str(n) for n in grid]
    if not parts or not all(re.fullmatch("[1-9][0-9]{0,8}", part) for part in parts):
        raise InputError(f"the grid {grid!r} is not of the form 8x8: a positive number of cells for each side")
    if len(parts) != dimension:
        raise InputError(f"the grid {grid!r} gives {len(parts)} numbers, but the domain has {dimension} sides")
    return tuple(map(int, parts))


def _input_space(target: str, box: Box, attention: str, shape: str | None) -> InputSpace:
    """The shape of X, or of K and Q: as given (`2x3`, or `2x3,1x1`), else a column, or the entries the target names."""
    shapes = [_shape(part) for part in shape.split(",")] if shape is not None else []
    if attention == "self":
        shapes = shapes or [(box.dimension, 1)]
        if len(shapes) != 1:
            raise InputError(f"self-attention has one input: give one shape DxN, not {shape!r}")
        space = InputSpace(shapes[0])
    elif attention == "cross":
        shapes = shapes or [_smallest_shape(target, "K"), _smallest_shape(target, "Q")]
        if len(shapes) != 2:
            raise InputError(f"cross-attention has two inputs: give the shapes of K and Q as DxN,DxN, not {shape!r}")
        space = InputSpace(shapes[0], shapes[1])
    else:
        raise InputError(f"unknown attention {attention!r}; this version knows: self, cross")
    if space.size != box.dimension:
        inputs = " and ".join(f"{d}x{n}" for d, n in space.shapes)
        raise InvalidDomain(f"the domain has {box.dimension} sides, but an input of shape {inputs} has {space.size}")
    return space


def _shape(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"\s*([1-9][0-9]{0,5})\s*[xX]\s*([1-9][0-9]{0,5})\s*", text)
    if match is None:
        raise InputError(f"the shape {text!r} is not of the form DxN, such as 2x3")
    return int(match[1]), int(match[2])


def _smallest_shape(target: str, letter: str) -> tuple[int, int]:
    """The smallest matrix that has every entry of that letter in the target, at least 1 x 1."""
    names = [re.fullmatch(rf"{letter}\[([0-9]{{1,6}}),([0-9]{{1,6}})\]", name) for name in variables_used(target)]
    places = [(int(name[1]), int(name[2])) for name in names if name]
    return 1 + max((i for i, _ in places), default=0), 1 + max((j for _, j in places), default=0)


def _verify(
    certificate: Certificate,
    *,
    deadline: Deadline,
    jobs: int,
    memory: int | None,
    journal: Journal | None,
    check: bool,
    progress: ProgressCallback | None,
    max_boxes: int | None = None,
    proof: str = "paving",
) -> Result:
    started = time.monotonic()
    try:
        outcome = search_evidence(
            certificate.statement,
            proof=proof,
            deadline=deadline,
            jobs=jobs,
            progress=progress,
            max_boxes=max_boxes,
            estimate=_number_in(certificate.notes, "sampled_error"),
            memory=memory,
            journal=journal,
        )
    finally:
        if journal is not None:
            journal.close()
    complete = replace(certificate, evidence=outcome.evidence)
    verdict: str = outcome.verdict
    detail = outcome.detail
    if check and outcome.evidence is not None:
        try:
            verdict, said = _ask_kernel(complete)
            detail = said if verdict == "undecided" else f"{detail}; {said}"
        except KeyboardInterrupt:
            verdict, detail = "undecided", "interrupted while the kernel checked the evidence"
            outcome = replace(outcome, interrupted=True, resumable=True)
    result = _result(complete, outcome, verdict, detail, time.monotonic() - started)
    if journal is None or not journal.begun:
        return result
    if verdict == "undecided" and not outcome.resumable:
        remove(journal.path)
        return result
    if verdict == "undecided" and journal.failure is not None:
        result = replace(result, detail=f"{detail}; {journal.failure}")
    return replace(result, journal=journal.path)


def _journal(
    certificate: Certificate, path: str | Path | None, proof: str = "paving", *, resume: bool = False
) -> Journal | None:
    """The journal of a search, new or to be resumed; None where there is to be none."""
    statement = certificate.statement
    kept = path is not None and isinstance(statement.claim, SupError) and proof != "regions"
    if resume and not kept:
        raise InputError("only a search for a paving in the sup norm keeps a journal from which it could be resumed")
    if path is None or not kept:
        return None
    if resume:
        return Journal.resume(Path(path), statement.sha256)
    return Journal.new(
        Path(path), statement.sha256, lambda: replace(certificate, evidence=None).to_bytes().decode("ascii")
    )


def _memory(memory: str | int | None) -> int | None:
    """An amount of memory in bytes."""
    if isinstance(memory, str):
        return parse_size(memory)
    if memory is not None and memory < 1:
        raise InputError(f"{memory} bytes is no amount of memory")
    return memory


def _ask_kernel(certificate: Certificate) -> tuple[str, str]:
    """The verdict of the kernel, and what it did."""
    try:
        finding = certificate.check()
    except kernel.Rejected as rejection:
        return "undecided", f"the kernel rejected the evidence: {rejection}"
    return finding.verdict, f"the kernel checked {finding.obligations} obligations"


def _result(certificate: Certificate, outcome: Outcome, verdict: str, detail: str, seconds: float) -> Result:
    evidence = certificate.evidence
    lower, upper = _fraction(outcome.error_lower), _fraction(outcome.error_upper)
    if isinstance(evidence, Paving | Enlarged | Both):
        upper = evidence.bound
    elif isinstance(evidence, Integral):
        lower, upper = evidence.lower, evidence.upper
    return Result(
        verdict=verdict,
        error_lower=decimal(lower, ROUND_FLOOR),
        error_upper=decimal(upper, ROUND_CEILING),
        tokens=outcome.tokens,
        boxes=outcome.boxes,
        seconds=seconds,
        statement_sha256=certificate.statement_sha256,
        detail=detail,
        certificate=certificate,
        notes=certificate.notes,
        point=tuple(map(str, evidence.point)) if isinstance(evidence, Counterexample | Breach) else None,
        interrupted=outcome.interrupted,
    )


def _number_in(notes: Mapping[str, Any], key: str) -> float | None:
    """A number that a note spells; notes are hints, so anything else is no number."""
    try:
        number = float(notes[key])
    except (KeyError, TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _fraction(x: float) -> Fraction | None:
    return Fraction(x) if math.isfinite(x) else None


def decimal(x: Fraction | None, rounding: str) -> str | None:
    """Nine significant decimal digits, rounded outward."""
    if x is None:
        return None
    context = Context(prec=9, rounding=rounding)
    digits = context.divide(Decimal(x.numerator), Decimal(x.denominator))
    return str(digits.normalize(context)) if digits else "0"
