"""Soundness from outside: random claims, true and false, against sixty digits.

No bound that the engine or the kernel gives may be on the wrong side of an error that was computed with many digits,
and no claim known to be false may be verified or proved, whatever evidence comes along.
"""

from __future__ import annotations

import math
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction

import pytest
from heads import (
    Point,
    bytes_of,
    error_at,
    errors_at,
    grid_statement,
    inside,
    kernel_says,
    number_of,
    points_of,
    random_statement,
    statement_of,
    with_tolerance,
)

from attncert.certificates.domain import Box, parse_box
from attncert.certificates.evidence import Counterexample, Paving
from attncert.certificates.statement import Statement
from attncert.verifier import prove_sup as prove
from attncert.verifier.prove import Outcome, verify

AXES = "0123456789abcdefghijklmnopqrstuvwxyz"
LEAVES = ".-:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ"  # to be proved, outside the domain, to be proved with Taylor models
UNSEEN = ("undefined", "point")
"""What the kernel says of a violation so near to a jump or a pole that it cannot tell them apart with its bits."""

Spied = list[tuple[int, Point, float]]


@pytest.fixture
def lower_bounds(monkeypatch: pytest.MonkeyPatch) -> Spied:
    """What `proved_error` was asked and answered: the entry, the point, the bound."""
    found: Spied = []
    original = prove.proved_error

    def spy(target: object, entry: int, row: int, head: object, point: Sequence[float]) -> float:
        bound: float = original(target, entry, row, head, point)  # type: ignore[arg-type]
        found.append((entry, tuple(Fraction(x) for x in point), bound))
        return bound

    monkeypatch.setattr(prove, "proved_error", spy)
    return found


# ---------------------------------------------------------------------------------------------------------------------
# Random claims


def check_random_claim(seed: int, lower_bounds: Spied) -> str:
    """Draw a head, a target and a tolerance near the error; return what the engine and the kernel said."""
    rnd = random.Random(f"claim {seed}")
    statement = random_statement(rnd)
    points = [x for x in points_of(statement.domain, 8, rnd) if inside(statement, x)]
    errors = [error_at(statement, x) for x in points]
    largest = max((error for error in errors if error is not None), default=Fraction(0))
    tolerance = Fraction(1, 10)
    if 0 < largest < 10**9:
        factor = rnd.choice(["0.5", "0.95", "1.001", "1.1", "1.5", "3", "10"])
        tolerance = Fraction(f"{float(largest * Fraction(factor)):.6g}") or tolerance
    statement = with_tolerance(statement, tolerance)
    lower_bounds.clear()
    outcome = verify(statement, max_boxes=1000)
    said = kernel_says(bytes_of(statement, outcome.evidence))
    check_outcome(statement, outcome, said)
    for error in errors:
        check_error(outcome, said, error)
    for entry, x, bound in lower_bounds:
        error = errors_at(statement, x)[entry]
        assert bound <= 0 or (error is not None and Fraction(bound) <= error + Fraction(1, 10**38))
        if inside(statement, x):
            check_error(outcome, said, error)
    return f"{outcome.verdict}, kernel: {said}"


def check_outcome(statement: Statement, outcome: Outcome, said: str) -> None:
    """What was said fits together, and the kernel agrees, or sees less."""
    assert outcome.error_lower <= outcome.error_upper
    if outcome.verdict == "verified":
        assert isinstance(outcome.evidence, Paving)
        assert Fraction(outcome.error_lower) <= outcome.evidence.bound <= statement.claim.tolerance
        assert outcome.evidence.bound <= Fraction(outcome.error_upper)
        empty = outcome.evidence.leaves == 0
        # Where the conditions exclude all, nothing is there to prove.
        assert said in (["tree"] if empty else ["proved", "undefined"])
    elif outcome.verdict == "refuted":
        assert isinstance(outcome.evidence, Counterexample)
        assert inside(statement, outcome.evidence.point)
        r, j = outcome.evidence.entry
        error = errors_at(statement, outcome.evidence.point)[r * statement.target.shape[1] + j]
        assert error is not None
        assert error > statement.claim.tolerance
        assert error + Fraction(1, 10**38) >= Fraction(outcome.error_lower)
        assert said in ("refuted", *UNSEEN)
    else:
        assert outcome.evidence is None
        assert said == "evidence"


def check_error(outcome: Outcome, said: str, error: Fraction | None) -> None:
    """An error that was measured (None: the target has no value there) is within every bound that was given."""
    if error is None:
        assert outcome.verdict != "verified"
        assert said != "proved"
        assert math.isinf(outcome.error_upper)
        return
    assert math.isinf(outcome.error_upper) or error <= Fraction(outcome.error_upper)
    if isinstance(outcome.evidence, Paving):
        assert error <= outcome.evidence.bound


def check_random_claims(seeds: range, lower_bounds: Spied) -> None:
    said = Counter(check_random_claim(seed, lower_bounds) for seed in seeds)
    assert said["verified, kernel: proved"] > 0.3 * len(seeds), said
    assert said["undecided, kernel: evidence"] < 0.5 * len(seeds), said
    unseen = [f"{verdict}, kernel: {reason}" for verdict in ("verified", "refuted") for reason in UNSEEN]
    assert sum(said[what] for what in unseen) <= 0.03 * len(seeds), said


@pytest.mark.parametrize("seeds", [range(start, start + 20) for start in range(0, 80, 20)], ids=str)
def test_bounds_on_random_claims_are_true(seeds: range, lower_bounds: Spied) -> None:
    check_random_claims(seeds, lower_bounds)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [range(start, start + 100) for start in range(1000, 1800, 100)], ids=str)
def test_bounds_on_many_random_claims_are_true(seeds: range, lower_bounds: Spied) -> None:
    check_random_claims(seeds, lower_bounds)


# ---------------------------------------------------------------------------------------------------------------------
# False claims


def worst_point(statement: Statement, rnd: random.Random) -> tuple[Point, Fraction]:
    """Where the error is large, and the error there."""
    points = [x for x in points_of(statement.domain, 8, rnd) if inside(statement, x)]
    outcome = verify(with_tolerance(statement, Fraction(1, 10**9)), max_boxes=200)
    if isinstance(outcome.evidence, Counterexample):
        points.append(outcome.evidence.point)
    errors = [(error_at(statement, x) or Fraction(0), x) for x in points]
    error, x = max(errors, key=lambda pair: pair[0], default=(Fraction(0), ()))
    return x, error


def best_paving(statement: Statement, error: Fraction) -> Paving | None:
    """Evidence for the least of a few true claims that the engine can prove."""
    for factor in ("1.01", "1.2", "2", "6"):
        evidence = verify(with_tolerance(statement, error * Fraction(factor)), max_boxes=800).evidence
        if isinstance(evidence, Paving):
            return evidence
    return None


def deepened(tree: str, box: Box, x: Point, levels: int) -> str:
    """The tree with the leaf where x lies split again and again around x."""
    sides, at = list(box.sides), 0
    while tree[at] not in LEAVES:
        above = _halve(sides, AXES.index(tree[at]), x)
        at = _end(tree, at + 1) if above else at + 1
    chain, ends = "", ""
    for level in range(levels):
        axis = level % len(sides)
        above = _halve(sides, axis, x)
        chain += AXES[axis] + ("." if above else "")
        ends += "" if above else "."
    return tree[:at] + chain + "." + ends + tree[at + 1 :]


def _halve(sides: list[tuple[Fraction, Fraction]], axis: int, x: Point) -> bool:
    """Keep the half of the box where x lies; tell whether it is the upper one."""
    lo, hi = sides[axis]
    middle = (lo + hi) / 2
    above = x[axis] > middle
    sides[axis] = (middle, hi) if above else (lo, middle)
    return above


def _end(tree: str, at: int) -> int:
    """The place behind the subtree that starts at a place."""
    open_nodes = 1
    while open_nodes:
        open_nodes += -1 if tree[at] in LEAVES else 1
        at += 1
    return at


def attacks(statement: Statement, evidence: Paving | None, bound: Fraction, x: Point) -> Iterator[Paving]:
    """Evidence for another bound, and finer, at any precision and with any k: none of it proves a false claim."""
    columns = statement.target.shape[1]
    yield Paving(bound, 96, 40, (".",) * columns)
    yield Paving(bound, 96, 40, (";",) * columns)
    yield Paving(bound, 32, 1, tuple(deepened(".", statement.domain, x, 45) for _ in range(columns)))
    if evidence is not None:
        finer = tuple(deepened(tree, statement.domain, x, 30) for tree in evidence.trees)
        yield replace(evidence, bound=bound)
        yield replace(evidence, bound=bound, trees=tuple(tree.replace(".", "-") for tree in finer))
        yield replace(evidence, bound=bound, trees=tuple(tree.replace(".", "<") for tree in finer))
        for precision, silence in ((32, evidence.silence), (evidence.precision, 2), (300, 2000)):
            yield Paving(bound, precision, silence, finer)


FACTORS = ("0.999999", "0.999", "0.99", "0.9")


def check_false_claims(seed: int) -> Counter[str]:
    rnd = random.Random(f"false {seed}")
    statement = random_statement(rnd)
    x, error = worst_point(statement, rnd)
    said: Counter[str] = Counter()
    if not Fraction(1, 10**20) < error < 10**9:
        return said
    evidence = best_paving(statement, error)
    for factor in FACTORS:
        claim = with_tolerance(statement, error * Fraction(factor))
        outcome = verify(claim, max_boxes=500)
        assert outcome.verdict != "verified"
        assert Fraction(outcome.error_lower) <= error * 2**20
        assert math.isinf(outcome.error_upper) or Fraction(outcome.error_upper) >= error
        said["claims"] += 1
        said[outcome.verdict] += 1
        if outcome.verdict == "refuted":
            said[f"refutation: {kernel_says(bytes_of(claim, outcome.evidence))}"] += 1
        for attack in attacks(claim, evidence, claim.claim.tolerance, x):
            said[f"attack: {kernel_says(bytes_of(claim, attack))}"] += 1
        assert said["attack: proved"] == 0
        point = Counterexample(x, _entry_of_largest(claim, x), 256)
        said[f"point: {kernel_says(bytes_of(claim, point))}"] += 1
        with_room = with_tolerance(claim, error * Fraction("1.000001"))
        assert kernel_says(bytes_of(with_room, point)) in UNSEEN
    return said


def _entry_of_largest(statement: Statement, x: Point) -> tuple[int, int]:
    errors = [error or Fraction(0) for error in errors_at(statement, x)]
    return divmod(errors.index(max(errors)), statement.target.shape[1])


def check_many_false_claims(seeds: range, least: int) -> None:
    said: Counter[str] = Counter()
    for seed in seeds:
        said += check_false_claims(seed)
    assert said["claims"] >= least, said
    assert said["refuted"] > 0.3 * said["claims"], said
    assert said["attack: leaf"] > 0.99 * sum(said[what] for what in said if what.startswith("attack")), said
    assert said["attack: leaf"] > 2 * said["claims"], said
    assert said["refutation: refuted"] > 0.9 * said["refuted"], said
    assert said["point: refuted"] > 0.8 * said["claims"], said


@pytest.mark.parametrize("seeds", [range(start, start + 8) for start in range(0, 32, 8)], ids=str)
def test_false_claims_are_never_proved(seeds: range) -> None:
    check_many_false_claims(seeds, 15)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [range(start, start + 40) for start in range(1000, 1240, 40)], ids=str)
def test_many_false_claims_are_never_proved(seeds: range) -> None:
    check_many_false_claims(seeds, 120)


# ---------------------------------------------------------------------------------------------------------------------
# Needles: a violation in a region so small that no sample meets it


TOKENS = 12


def face_near(place: str) -> Fraction:
    """The face between two cells of the grid that is nearest to a place, or one of the two nearest."""
    return Fraction(round(number_of(place) * TOKENS), TOKENS)


def hidden_token(place: str, width: str, beta: str, value: str, tolerance: str) -> Statement:
    """A grid head for x on [0,1] with one more token, best only within width/2 of the face near `place`.

    At the face both neighbours, h apart, score the same. The token has the mean of their slopes, 2 beta p, so beside
    the face it loses beta h a unit of x to the better neighbour: it wins on p -+ width/2, by a bonus of beta h width/2.
    """
    b, p, h = Fraction(beta), face_near(place), Fraction(1, TOKENS)
    anchors = [Fraction(2 * i + 1, 2 * TOKENS) for i in range(TOKENS)]
    keys = [2 * b * c for c in [*anchors, p]]
    at_face = b * (p * p - h * h / 4)  # the neighbours' score: beta (p^2 - (p - c)^2)
    biases = [*(-b * c * c for c in anchors), at_face - 2 * b * p * p + b * h * number_of(width) / 2]
    return statement_of("x", "[0,1]", [keys], biases, [[*anchors, Fraction(value)]], tolerance)


WIDTHS = ["1e-3", "1e-6", "1e-9", "1e-12"]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("value", ["3", "-0.5", "0.8"])
@pytest.mark.parametrize("place", ["0.25", "0.6", "0.93"])
def test_a_token_far_off_in_a_tiny_region_is_never_proved(place: str, value: str, width: str) -> None:
    """With beta so large that the region is sharp: the error in its middle is |value - x|."""
    beta = str(Fraction(2000) / number_of(width))
    statement = hidden_token(place, width, beta, value, "0.1")
    middle = (face_near(place),)
    error = error_at(statement, middle)
    assert error is not None
    assert error > Fraction(1, 10)
    inside = statement.attention([[face_near(place) + number_of(width) / 4]], precision=100)[0, 0]
    outside = statement.attention([[face_near(place) + number_of(width)]], precision=100)[0, 0]
    assert abs(inside - float(Fraction(value))) < 0.01
    assert abs(outside - float(face_near(place))) < 0.1
    never_proved(statement, middle, without_needle=hidden_token(place, width, beta, str(face_near(place)), "0.1"))


def never_proved(
    statement: Statement, x: Point, refuted: str = "refuted", without_needle: Statement | None = None
) -> None:
    """Neither the engine nor the kernel with the best evidence at hand takes the claim, which is false at x.

    The best evidence is a proof of the same claim `without_needle`, as it is and with finer boxes around x.
    Last, the kernel is shown the point. It encloses targets on a small box around it, so a jump there is no refutation.
    """
    error = error_at(statement, x)
    assert error is not None
    assert inside(statement, x)
    assert error > statement.claim.tolerance
    outcome = verify(statement, max_boxes=4000)
    assert outcome.verdict != "verified"
    assert math.isinf(outcome.error_upper) or Fraction(outcome.error_upper) >= error
    if outcome.verdict == "refuted":
        assert kernel_says(bytes_of(statement, outcome.evidence)) == "refuted"
    bound = statement.claim.tolerance
    evidence = best_paving(statement, error)
    for attack in attacks(statement, evidence, bound, x):
        assert kernel_says(bytes_of(statement, attack)) != "proved"
    if without_needle is not None:
        clean = verify(without_needle).evidence
        assert isinstance(clean, Paving)
        assert kernel_says(bytes_of(without_needle, clean)) == "proved"
        for levels in (0, 20, 50):
            finer = tuple(deepened(tree, statement.domain, x, levels) for tree in clean.trees)
            for attack in (replace(clean, trees=finer), replace(clean, trees=finer, bound=bound, precision=200)):
                assert kernel_says(bytes_of(statement, attack)) in ("leaf", "undefined")
    point = Counterexample(x, _entry_of_largest(statement, x), 400)
    assert kernel_says(bytes_of(statement, point)) == refuted


@pytest.mark.parametrize(
    "target",
    [
        "max(x, 1 - abs(x - 0.37712345678901234)*1e9)",
        "x + where(abs(x - 0.37712345678901234) < 1e-13, 1, 0)",
        "x + where(abs(x - 0.37712345678901234) > 1e-13, 0, 1)",
        "x + where(not (x < 0.37712345678901234 or x > 0.3771234567891), 1, 0)",
        "x + exp(-((x - 0.37712345678901234)*1e8)**2)",
        "x + 1e-30/(1e-30 + (x - 0.37712345678901234)**2)",
        "where(x < 0.37712345678901234, x, where(x > 0.37712345678901234, x, 2))",
        "x + sign(abs(x - 0.37712345678901234)) - 1",
        "x + max(0, floor(1 - abs(x - 0.37712345678901234)))",
    ],
)
def test_a_spike_of_the_target_is_never_overlooked(target: str) -> None:
    statement = grid_statement(target, "[0,1]", [40], 10**6, "0.1")
    isolated = any(word in target for word in ("sign", "floor", "not", "2))"))
    without_needle = grid_statement("x", "[0,1]", [40], 10**6, "0.1")
    x = (Fraction("0.37712345678901234"),)
    never_proved(statement, x, "point" if isolated else "refuted", without_needle)


@pytest.mark.parametrize("exponent", [20, 40, 60, 200])
def test_a_difference_of_scores_below_double_precision_counts(exponent: int) -> None:
    """Two tokens that float64 cannot tell apart share the weight in floats; in truth one of them has all of it."""
    large = Fraction(2) ** exponent * 2**60
    keys, biases = [[large, large + Fraction(2) ** exponent]], [0, 0]
    statement = statement_of("0", "[1,2]", keys, biases, [[1, -1]], "0.5")
    never_proved(statement, (Fraction(3, 2),))


@pytest.mark.parametrize("beta", ["1e2", "1e8", "1e16", "1e30"])
def test_a_bias_off_by_little_moves_a_face(beta: str) -> None:
    """The face between two values lies a little beside the jump of the target, by less than any sample sees."""
    b = number_of(beta)
    shift = Fraction(1, 10**7) if b < 10**9 else Fraction(1, 10**14)
    face = Fraction(1, 2) + shift
    statement = statement_of("where(x <= 0.5, 0, 1)", "[0,1]", [[0, b]], [0, -b * face], [[0, 1]], "0.4")
    x = (Fraction(1, 2) + shift / 2,)
    never_proved(statement, x)


def test_a_region_that_only_touches_a_corner_counts() -> None:
    """On [0,1/3]^2 a wrong token wins only within 1e-10 of the corner (1/3, 1/3), which is no double."""
    b = Fraction(10) ** 14
    corner = Fraction(1, 3)
    bias = -b * (2 * corner - Fraction(1, 10**10))
    statement = statement_of("0", "[0,1/3]^2", [[0, b], [0, b]], [0, bias], [[0, 1]], "0.5")
    without_needle = statement_of("0", "[0,1/3]^2", [[0, b], [0, b]], [0, bias], [[0, 0]], "0.5")
    never_proved(statement, (corner, corner), without_needle=without_needle)


def test_a_violation_on_a_fixed_side_counts() -> None:
    b = Fraction(10) ** 12
    statement = statement_of(
        "0", "[1/3,1/3]x[0,1]", [[0, b], [0, 0]], [0, -b * Fraction(333333, 10**6)], [[0, 1]], "0.5"
    )
    never_proved(statement, (Fraction(1, 3), Fraction(1, 2)))


def test_silent_tokens_with_huge_values_count() -> None:
    """A token 40 bits below the best weighs 2^-40, but its value is 2^40: it may not be dropped for nothing."""
    gap = Fraction(28)  # e^-28 is about 2^-40
    statement = statement_of("0", "[0,1]", [[0, 0]], [0, -gap], [[0, 2**40]], "0.5")
    never_proved(statement, (Fraction(1, 2),))


def test_many_silent_tokens_count() -> None:
    """Each of 4096 tokens weighs 2^-20; together they move the head by 2^-8."""
    count = 4096
    gap = Fraction(20) * Fraction(6931471805, 10**10)
    statement = statement_of("0", "[0,1]", [[0] * (count + 1)], [0, *[-gap] * count], [[0, *[1] * count]], "0.0035")
    never_proved(statement, (Fraction(1, 2),))


def test_the_needles_are_needles() -> None:
    """Without the extra token or spike the same claims are proved, so that nothing but the needle stands in the way."""
    clean = grid_statement("x", "[0,1]", [12], 10**6, "0.1")
    outcome = verify(clean, max_boxes=4000)
    assert outcome.verdict == "verified"
    assert kernel_says(bytes_of(clean, outcome.evidence)) == "proved"
    harmless = hidden_token("0.25", "1e-6", "2e9", "0.25", "0.1")
    outcome = verify(harmless, max_boxes=4000)
    assert outcome.verdict == "verified"
    assert parse_box("[0,1]") == harmless.domain
