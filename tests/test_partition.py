"""Claims of kind `partition`: multipliers, Z3 in its process, regions that are found, proved and refuted; the doors."""

from __future__ import annotations

import json
import random
import time
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import combinations
from pathlib import Path

import pytest
from heads import attention_of, bytes_of, cross_of, kernel_says
from partitions import (
    affine_scores,
    area,
    at,
    cells_of_a_grid,
    difference,
    failures,
    planar_cells,
    root_up,
    sites,
    solved,
    telling_points,
)

import attncert
from attncert.certificates.attention import Attention
from attncert.certificates.claim import Partition, Region, claim_from_json
from attncert.certificates.condition import parse_condition
from attncert.certificates.deadline import Deadline, OutOfTime
from attncert.certificates.domain import Box, parse_box
from attncert.certificates.errors import InputError, InvalidAttention, InvalidCertificate, InvalidClaim, InvalidDomain
from attncert.certificates.evidence import Breach, Regions, evidence_from_json
from attncert.certificates.statement import Statement, statement_from_json
from attncert.certificates.target import InputSpace
from attncert.cli import main
from attncert.pictures import polygons
from attncert.smtlib import scripts
from attncert.verifier import solver
from attncert.verifier.farkas import minimise, multipliers, proves, round_to
from attncert.verifier.prove import verify
from attncert.verifier.regions import partition_of
from attncert.verifier.solver import Solver

ONE = parse_box("[0,1]")


def declared(attention: Attention, domain: str) -> Statement:
    box = parse_box(domain)
    return Statement(None, box, attention, partition_of(attention, box))


def assert_proved(statement: Statement) -> None:
    outcome = verify(statement)
    assert outcome.verdict == "verified", outcome
    assert kernel_says(bytes_of(statement, outcome.evidence)) == "proved"


# ---------------------------------------------------------------------------------------------------------------------
# Multipliers


def random_program(rnd: random.Random, m: int) -> tuple[tuple[int, ...], dict[int, tuple[int, ...]], Box]:
    def affine(constant: int) -> tuple[int, ...]:
        return (*(rnd.randint(-4, 4) for _ in range(m)), rnd.randint(-constant, constant))

    return affine(0), {n: affine(5) for n in range(rnd.randrange(7))}, parse_box(f"[-1,2]^{m}")


def least_vertex(goal: Sequence[int], rows: dict[int, tuple[int, ...]], box: Box) -> Fraction | None:
    """The least value over all places where m rows or sides meet, inside all of them."""
    m = box.dimension
    sides = [(*(int(n == k) for n in range(m)), -lo) for k, (lo, _) in enumerate(box.sides)]
    sides += [(*(-int(n == k) for n in range(m)), hi) for k, (_, hi) in enumerate(box.sides)]
    walls = [tuple(map(Fraction, row)) for row in [*rows.values(), *sides]]
    places = (solved(group) for group in combinations(walls, m))
    inside = [x for x in places if x is not None and all(at(wall, x) >= 0 for wall in walls)]
    return min((at(tuple(map(Fraction, goal)), x) for x in inside), default=None)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_minima_are_those_over_all_vertices(m: int) -> None:
    rnd, empty = random.Random(m), 0
    for _ in range(150):
        goal, rows, box = random_program(rnd, m)
        found, expected = minimise(goal, rows, box.sides), least_vertex(goal, rows, box)
        assert found.value == expected
        assert all(weight > 0 for weight in found.multipliers.values())
        if expected is None:
            empty += 1
            nothing = (*([0] * m), -1)
            assert proves(nothing, found.multipliers, rows, box.sides)
        else:
            assert found.point is not None
            assert found.point in box
            assert at(tuple(map(Fraction, goal)), found.point) == expected
            assert all(at(tuple(map(Fraction, row)), found.point) >= 0 for row in rows.values())
            assert proves((*goal[:m], goal[m] - expected), found.multipliers, rows, box.sides)
    assert 3 < empty < 147


@pytest.mark.parametrize("m", [1, 2, 3])
def test_multipliers_exist_where_the_goal_holds(m: int) -> None:
    rnd, said = random.Random(10 + m), {True: 0, False: 0}
    for _ in range(150):
        goal, rows, box = random_program(rnd, m)
        goal = (*goal[:m], rnd.randint(0, 6))
        expected = least_vertex(goal, rows, box)
        found = multipliers(goal, rows, box.sides)
        said[found is not None] += 1
        assert (found is not None) == (expected is None or expected >= 0)
        if found is not None:
            assert proves(goal, found, rows, box.sides)
            assert not proves((*goal[:m], goal[m] - 10**6), found, rows, box.sides)
    assert min(said.values()) > 20


def test_multipliers_with_room_are_short() -> None:
    goal, rows = (Fraction(1), Fraction(1)), {7: (Fraction(3), Fraction(-1))}
    assert multipliers(goal, rows, ONE.sides) == {}  # the box alone is enough
    found = multipliers((Fraction(1), Fraction(-1, 4)), rows, ONE.sides)
    assert found is not None
    assert found[7].denominator <= 2**20
    tight = multipliers((Fraction(1), Fraction(-1, 3)), rows, ONE.sides)
    assert tight == {7: Fraction(1, 3)}
    assert multipliers((Fraction(1), Fraction(-1, 3) - Fraction(1, 10**30)), rows, ONE.sides) is None


@pytest.mark.parametrize("bits", [1, 8, 53])
def test_rounding_to_bits(bits: int) -> None:
    rnd = random.Random(bits)
    for _ in range(200):
        x = Fraction(rnd.getrandbits(rnd.randint(1, 200)) + 1, rnd.getrandbits(rnd.randint(1, 200)) + 1)
        short = round_to(x, bits)
        assert abs(short - x) <= x / 2 ** (bits - 1)
        top = short.numerator
        assert (top >> (top & -top).bit_length() - 1).bit_length() <= bits + 2
    assert round_to(Fraction(0), bits) == 0


# ---------------------------------------------------------------------------------------------------------------------
# Z3


def test_z3_answers_with_points_and_cores() -> None:
    with Solver() as z3:
        rows = {4: (1, -1, 0), 9: (0, 1, 0)}  # x >= y, y >= 0
        z3.polytope(rows, parse_box("[-1,1]^2").sides)
        inside = z3.ask([(2, 0, -1)])
        assert inside is not None
        assert inside.point is not None
        x, y = inside.point
        assert x >= y >= 0
        assert 2 * x > 1
        outside = z3.ask([(-1, 0, 0)])
        assert outside is not None
        assert outside.point is None
        assert set(outside.core) == {4, 9}
        z3.polytope({}, parse_box("[-1,1]^2").sides)
        again = z3.ask([(-1, 0, 0)])
        assert again is not None
        assert again.point is not None
        assert again.point[0] < 0
        assert z3.queries == 3


def test_numbers_of_any_length_pass_exactly() -> None:
    huge = 3**12000  # more than the 4300 digits that Python converts by default
    with Solver() as z3:
        z3.polytope({}, ((Fraction(0), Fraction(1)),))
        answer = z3.ask([(huge, -1), (-huge, 2)])
        assert answer is not None
        assert answer.point is not None
        assert 1 < huge * answer.point[0] < 2


def test_a_query_that_takes_too_long_ends_with_its_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    sleeper = tmp_path / "sleeper.py"
    sleeper.write_text("import sys, time\nfor line in sys.stdin:\n    time.sleep(60)\n")
    monkeypatch.setattr(solver, "PATIENCE", 0.2)
    with Solver(patience=0.2) as z3:
        monkeypatch.setattr(solver, "CHILD", sleeper)
        z3.polytope({}, ONE.sides)
        start = time.monotonic()
        assert z3.ask([(1, 0)]) is None
        assert time.monotonic() - start < 10
        monkeypatch.undo()
        z3.patience = 20
        assert z3.ask([(1, 0)]) is not None  # the next one has a process of its own


def test_a_process_that_dies_is_no_answer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    dead = tmp_path / "dead.py"
    dead.write_text("raise SystemExit(3)\n")
    monkeypatch.setattr(solver, "CHILD", dead)
    with Solver() as z3:
        z3.polytope({}, ONE.sides)
        assert z3.ask([(1, 0)]) is None
    statement = cells_of_a_grid([2, 2])
    assert_proved(statement)  # its bounding boxes say all
    outcome = verify(declared_by_hand(sites(2, 9, 2), statement))
    assert (outcome.verdict, outcome.evidence) == ("undecided", None)
    assert "Z3" in outcome.detail


def declared_by_hand(head: Attention, like: Statement) -> Statement:
    """Every token's region with all others as neighbours but one that does not matter for the box alone."""
    box = like.domain
    (scores,) = affine_scores(head, box.dimension)
    cells = planar_cells(scores, box)
    centre, radius = (Fraction(1, 2), Fraction(1, 2)), Fraction(3)
    return Statement(
        None,
        box,
        head,
        Partition((tuple(Region(i, tuple(sorted(facets)), centre, radius) for i, (_, facets) in cells.items()),)),
    )


def test_without_z3_the_reason_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(solver, "find_spec", lambda name: None)
    with pytest.raises(InputError, match="z3-solver"):
        verify(cells_of_a_grid([2]))


# ---------------------------------------------------------------------------------------------------------------------
# Regions that are found


def envelope(scores: Sequence[tuple[Fraction, ...]]) -> dict[int, tuple[Fraction, Fraction]]:
    """On [0, 1] the interval on which each token is best, where it is one: the first of equals."""
    cells = {}
    for i, (a, b) in enumerate(scores):
        lo, hi = Fraction(0), Fraction(1)
        for k, (c, d) in enumerate(scores):
            slope, constant = a - c, b - d
            if slope > 0:
                lo = max(lo, -constant / slope)
            elif slope < 0:
                hi = min(hi, -constant / slope)
            elif constant < 0 or (constant == 0 and k < i):
                hi = Fraction(-1)
        if lo < hi:
            cells[i] = lo, hi
    return cells


@pytest.mark.parametrize("seed", range(25))
def test_on_a_line_the_regions_are_the_upper_envelope(seed: int) -> None:
    head = sites(1, random.Random(seed).randint(1, 12), seed, denominator=random.Random(seed).choice([None, 8, 30]))
    (scores,) = affine_scores(head, 1)
    expected = envelope(scores)
    statement = declared(head, "[0,1]")
    assert isinstance(statement.claim, Partition)
    (regions,) = statement.claim.columns
    assert {region.token for region in regions} == set(expected)
    for region in regions:
        lo, hi = expected[region.token]
        assert len(region.neighbours) == (lo > 0) + (hi < 1)
        assert region.centre[0] - region.radius <= lo
        assert region.centre[0] + region.radius >= hi
        assert 2 * region.radius <= hi - lo + Fraction(1, 10**9)
    assert_proved(statement)


@pytest.mark.parametrize("seed", range(12))
def test_in_the_plane_the_facets_are_those_of_clipped_polygons(seed: int) -> None:
    """Also with few denominators, where cells meet in common corners and some own no area."""
    rnd = random.Random(f"plane {seed}")
    head = sites(2, rnd.randint(1, 14), seed, weights=seed % 3 != 0, denominator=[None, 4, 8][seed % 3])
    (scores,) = affine_scores(head, 2)
    statement = declared(head, "[0,1]^2")
    assert isinstance(statement.claim, Partition)
    expected = planar_cells(scores, statement.domain)
    assert {region.token: set(region.neighbours) for region in statement.claim.columns[0]} == {
        token: facets for token, (_, facets) in expected.items()
    }
    assert_proved(statement)
    assert sum(area(polygon) for polygon, _ in expected.values()) == 1
    assert not failures(statement, telling_points(statement))


@pytest.mark.parametrize(("m", "tokens"), [(3, 9), (4, 7), (5, 4)])
def test_in_more_dimensions(m: int, tokens: int) -> None:
    statement = declared(sites(m, tokens, m), f"[0,1]^{m}")
    assert_proved(statement)
    assert not failures(statement, telling_points(statement))


def test_a_facet_fewer_is_wrong_and_one_more_is_redundant() -> None:
    statement = declared(sites(2, 10, 5), "[0,1]^2")
    assert isinstance(statement.claim, Partition)
    (regions,) = statement.claim.columns
    for n, region in enumerate(regions):
        fewer = replace(region, neighbours=region.neighbours[1:], radius=Fraction(2))
        outcome = verify(with_regions(statement, [*regions[:n], fewer, *regions[n + 1 :]]))
        assert outcome.verdict == "refuted"
        assert isinstance(outcome.evidence, Breach)
        assert (outcome.evidence.obligation, outcome.evidence.tokens[0]) == ("argmax", region.token)
        more = next(t for t in range(10) if t not in (region.token, *region.neighbours))
        wider = replace(region, neighbours=(*region.neighbours, more))
        assert_proved(with_regions(statement, [*regions[:n], wider, *regions[n + 1 :]]))


def with_regions(statement: Statement, *columns: Sequence[Region]) -> Statement:
    return replace(statement, claim=Partition(tuple(map(tuple, columns))), spelling=None)


def test_columns_have_regions_of_their_own() -> None:
    """Two output columns, of which the second prefers the second half of the tokens."""
    keys, biases, values = [[0, 2, 0, 2]], [0, -1, -3, -5], [[0, 1, 2, 3]]
    head = attention_of((1, 1), keys, biases, values, columns=(0, 1), factors=[1, -1, 1, 1])
    statement = declared(head, "[0,1]")
    assert isinstance(statement.claim, Partition)
    tables = affine_scores(head, 1)
    assert tables[0] != tables[1]
    for scores, regions in zip(tables, statement.claim.columns, strict=True):
        assert {region.token for region in regions} == set(envelope(scores))
    assert len(set(statement.claim.columns)) == 2
    assert_proved(statement)
    swapped = with_regions(statement, *statement.claim.columns[::-1])
    assert verify(swapped).verdict == "refuted"
    assert kernel_says(bytes_of(swapped, verify(swapped).evidence)) == "refuted"


def test_cross_attention() -> None:
    head = cross_of(((1, 1), (1, 1)), [[0, 2, 1], [1, 0, 2]], [0, -1, "-3/2"], [[0, 1, 2]])
    statement = declared(head, "[0,1]^2")
    assert isinstance(statement.claim, Partition)
    (scores,) = affine_scores(head, 2)
    expected = {token: facets for token, (_, facets) in planar_cells(scores, statement.domain).items()}
    assert {region.token: set(region.neighbours) for region in statement.claim.columns[0]} == expected
    assert_proved(statement)


def test_equal_tokens_share_a_region() -> None:
    head = attention_of((1, 1), [[0, 1, 0, 1]], [0, "-1/2", 0, "-1/2"], [[0, 1, 2, 3]])
    statement = declared(head, "[0,1]")
    assert isinstance(statement.claim, Partition)
    assert [region.token for region in statement.claim.columns[0]] == [0, 1]
    assert_proved(statement)


def test_huge_and_tiny_scores() -> None:
    """Numbers far beyond float64, and differences far below its resolution, are decided all the same."""
    scale = Fraction(10) ** 400
    tiny = Fraction(1, 10**60)
    head = attention_of((1, 1), [[0, scale, 2 * scale]], [0, -scale / 2, -scale * (1 + tiny)], [[0, 1, 2]])
    statement = declared(head, "[0,1]")
    assert isinstance(statement.claim, Partition)
    assert {region.token for region in statement.claim.columns[0]} == set(envelope(affine_scores(head, 1)[0]))
    assert_proved(statement)


# ---------------------------------------------------------------------------------------------------------------------
# Claims of others


def altered(statement: Statement, rnd: random.Random) -> Statement:
    """A declared partition changed in one way or two."""
    assert isinstance(statement.claim, Partition)
    tokens = statement.attention.tokens
    regions = list(statement.claim.columns[0])
    for _ in range(rnd.randint(1, 2)):
        if not regions:
            break
        n = rnd.randrange(len(regions))
        region = regions[n]
        others = [k for k in range(tokens) if k != region.token]
        match rnd.randrange(7):
            case 0:
                del regions[n]
            case 1 if region.neighbours:
                gone = rnd.choice(region.neighbours)
                regions[n] = replace(region, neighbours=tuple(k for k in region.neighbours if k != gone))
            case 2 if others:
                neighbours = {*region.neighbours, rnd.choice(others)}
                regions[n] = replace(region, neighbours=tuple(sorted(neighbours)))
            case 3:
                regions[n] = replace(region, radius=region.radius * rnd.choice([Fraction(1, 2), 2, Fraction(99, 100)]))
            case 4:
                silent = [k for k in range(tokens) if k not in {r.token for r in regions}]
                if silent:
                    k = rnd.choice(silent)
                    regions.append(Region(k, tuple(r.token for r in regions), region.centre, region.radius))
            case 5:
                regions[n] = replace(region, centre=tuple(x + Fraction(1, 50) for x in region.centre))
            case _:
                a, b = regions[n], rnd.choice(regions)
                if a.token not in b.neighbours and b.token not in a.neighbours and a != b:
                    regions[n] = replace(a, token=b.token)
                    regions[regions.index(b)] = replace(b, token=a.token)
    return with_regions(statement, regions)


def check_declared(seed: int) -> tuple[str, bool]:
    """On a line the oracle is complete: what is verified is true, what is refuted is false."""
    rnd = random.Random(f"declared {seed}")
    head = sites(1, rnd.randint(2, 7), seed, denominator=rnd.choice([None, 6, 12]))
    statement = altered(declared(head, "[0,1]"), rnd)
    failing = failures(statement, telling_points(statement))
    outcome = verify(statement)
    assert outcome.verdict == ("refuted" if failing else "verified"), (statement.claim, outcome, failing)
    expected = "refuted" if failing else "proved"
    assert kernel_says(bytes_of(statement, outcome.evidence)) == expected
    if isinstance(outcome.evidence, Breach):
        breach = outcome.evidence
        assert (0, breach.obligation) in failing
        assert (0, breach.obligation) in failures(statement, [breach.point])
    return outcome.verdict, bool(failing)


@pytest.mark.parametrize("start", range(2))
def test_on_a_line_every_declared_partition_is_decided_rightly(start: int) -> None:
    said = [check_declared(seed)[0] for seed in range(20 * start, 20 * start + 20)]
    assert min(said.count("verified"), said.count("refuted")) >= 2, said


@pytest.mark.slow
@pytest.mark.parametrize("start", range(20))
def test_more_declared_partitions_on_a_line(start: int) -> None:
    said = [check_declared(seed)[0] for seed in range(1000 + 50 * start, 1000 + 50 * start + 50)]
    assert min(said.count("verified"), said.count("refuted")) >= 5, said


def check_planar(seed: int) -> str:
    rnd = random.Random(f"planar {seed}")
    head = sites(2, rnd.randint(2, 8), seed, denominator=rnd.choice([None, 5]))
    statement = altered(declared(head, "[0,1]^2"), rnd)
    failing = failures(statement, telling_points(statement))
    outcome = verify(statement)
    if outcome.verdict == "verified":
        assert not failing
        assert kernel_says(bytes_of(statement, outcome.evidence)) == "proved"
    elif outcome.verdict == "refuted":
        assert isinstance(outcome.evidence, Breach)
        assert (0, outcome.evidence.obligation) in failures(statement, [outcome.evidence.point])
        assert kernel_says(bytes_of(statement, outcome.evidence)) == "refuted"
    else:  # the ball holds the cell, as far as its vertices tell, but not its bounding box
        assert "ball" in outcome.detail
        assert outcome.evidence is None
    return outcome.verdict


def test_in_the_plane_no_declared_partition_is_decided_wrongly() -> None:
    said = [check_planar(seed) for seed in range(8)]
    assert said.count("verified") + said.count("refuted") >= 5, said
    assert said.count("refuted") >= 2, said


@pytest.mark.slow
@pytest.mark.parametrize("start", range(4))
def test_more_declared_partitions_in_the_plane(start: int) -> None:
    said = [check_planar(seed) for seed in range(100 + 30 * start, 100 + 30 * start + 30)]
    assert said.count("verified") + said.count("refuted") >= 22, said
    assert said.count("refuted") >= 8, said


def test_a_region_that_is_empty_may_be_declared() -> None:
    """A token that never wins, declared with a region that its neighbours empty: every obligation holds of it."""
    head = attention_of((1, 1), [[0, 1, 2]], [0, "-2/3", -1], [[0, 1, 2]])
    half = Fraction(1, 4)
    sides = Region(0, (2,), (half,), half), Region(2, (0,), (3 * half,), half)
    empty = Region(1, (0, 2), (Fraction(5),), Fraction(1, 7))
    statement = Statement(None, ONE, head, Partition(((sides[0], empty, sides[1]),)))
    assert not failures(statement, telling_points(statement))
    assert_proved(statement)
    assert_proved(with_regions(statement, sides))


@pytest.mark.parametrize("centre", [Fraction(10) ** 400, Fraction(1, 10**400), Fraction(-3)])
def test_an_empty_region_may_be_declared_far_away(centre: Fraction) -> None:
    head = attention_of((1, 1), [[0, 1, 2]], [0, "-2/3", -1], [[0, 1, 2]])
    half = Fraction(1, 4)
    sides = Region(0, (2,), (half,), half), Region(2, (0,), (3 * half,), half)
    assert_proved(Statement(None, ONE, head, Partition(((*sides, Region(1, (0, 2), (centre,), Fraction(0))),))))


def test_domains_beyond_the_search_are_refused() -> None:
    huge = Box(((Fraction(0), Fraction(10) ** 200),))
    statement = replace(cells_of_a_grid([2]), domain=huge)
    with pytest.raises(InvalidDomain, match="1e100"):
        verify(statement)
    with pytest.raises(InvalidDomain, match="1e100"):
        partition_of(statement.attention, huge)


def test_two_regions_for_equal_tokens_overlap() -> None:
    head = attention_of((1, 1), [[0, 0]], [0, 0], [[0, 1]])
    region = Region(0, (1,), (Fraction(1, 2),), Fraction(1, 2))
    statement = Statement(None, ONE, head, Partition(((region, replace(region, token=1, neighbours=(0,))),)))
    outcome = verify(statement)
    assert outcome.verdict == "refuted"
    assert isinstance(outcome.evidence, Breach)
    assert outcome.evidence.obligation == "disjoint"
    assert kernel_says(bytes_of(statement, outcome.evidence)) == "refuted"


def test_no_regions_at_all() -> None:
    statement = with_regions(cells_of_a_grid([2, 2]), [])
    outcome = verify(statement)
    assert outcome.verdict == "refuted"
    assert kernel_says(bytes_of(statement, outcome.evidence)) == "refuted"


def test_a_ball_about_the_cell_but_not_its_bounding_box_is_undecided() -> None:
    """A triangle in the circle about it, which does not hold its bounding box."""
    head = attention_of((2, 1), [[0, 1], [0, 1]], [0, "-1/2"], [[0, 1]])
    corner = Region(0, (1,), (Fraction(1, 5), Fraction(1, 5)), Fraction("0.37"))
    rest = Region(1, (0,), (Fraction(1, 2), Fraction(1, 2)), root_up(Fraction(1, 2)))
    statement = Statement(None, parse_box("[0,1]^2"), head, Partition(((corner, rest),)))
    assert not failures(statement, telling_points(statement))
    outcome = verify(statement)
    assert (outcome.verdict, outcome.evidence) == ("undecided", None)
    assert "ball" in outcome.detail
    assert_proved(with_regions(statement, [replace(corner, radius=Fraction(2, 3)), rest]))
    smaller = with_regions(statement, [replace(corner, radius=Fraction(7, 20)), rest])
    assert verify(smaller).verdict == "refuted"


def test_the_deadline_is_kept() -> None:
    statement = cells_of_a_grid([30])
    outcome = verify(statement, deadline=Deadline(at=time.monotonic() - 1))
    assert (outcome.verdict, outcome.evidence) == ("undecided", None)
    with pytest.raises(OutOfTime):
        partition_of(statement.attention, statement.domain, Deadline(at=time.monotonic() - 1))


def test_heads_outside_the_family_are_refused() -> None:
    head = attention_of((1, 1), [[0, 1]], [0, "-1/2"], [[0, 1]])
    quadratic = replace(head, W_K=head.W_Q, W_Q=head.W_Q)
    with pytest.raises(InvalidAttention, match="quadratic"):
        partition_of(quadratic, ONE)


# ---------------------------------------------------------------------------------------------------------------------
# Objects


def test_objects_are_read_back() -> None:
    statement = declared(sites(2, 8, 1), "[0,1]^2")
    evidence = verify(statement).evidence
    assert isinstance(evidence, Regions)
    assert evidence_from_json(json.loads(json.dumps(evidence.to_json()))) == evidence
    assert claim_from_json(json.loads(json.dumps(statement.claim.to_json()))) == statement.claim
    again = statement_from_json(json.loads(statement.text))
    assert again.sha256 == statement.sha256
    assert again.claim == statement.claim
    breach = Breach(0, "cover", (Fraction(1, 3), Fraction(0)), (1, 2))
    assert evidence_from_json(breach.to_json()) == breach


@pytest.mark.parametrize(
    "claim",
    [
        {"kind": "partition"},
        {"kind": "partition", "regions": {}},
        {"kind": "partition", "regions": [{}]},
        {"kind": "partition", "regions": [[{"token": 0, "neighbours": [], "centre": ["0"]}]]},
        {"kind": "partition", "regions": [[{"token": 0, "neighbours": [], "centre": [0], "radius": "1"}]]},
        {"kind": "partition", "regions": [[{"token": True, "neighbours": [], "centre": ["0"], "radius": "1"}]]},
        {"kind": "partition", "regions": [[{"token": 0, "neighbours": ["1"], "centre": ["0"], "radius": "1"}]]},
        {"kind": "partition", "regions": [[{"token": 0, "neighbours": [1, 1], "centre": ["0"], "radius": "1"}]]},
        {"kind": "partition", "regions": [[{"token": 0, "neighbours": [0], "centre": ["0"], "radius": "1"}]]},
        {"kind": "partition", "regions": [[{"token": 0, "neighbours": [], "centre": ["0"], "radius": "-1"}]]},
        {"kind": "partition", "regions": [[{"token": 0, "neighbours": [], "centre": ["x"], "radius": "1"}]]},
        {"kind": "partition", "regions": [[{"token": 0, "neighbours": [], "centre": ["0"], "radius": "1"}] * 2]},
    ],
)
def test_claims_that_are_none(claim: object) -> None:
    with pytest.raises(InvalidClaim):
        claim_from_json(claim)


@pytest.mark.parametrize(
    "evidence",
    [
        {"kind": "regions"},
        {"kind": "regions", "columns": [[]]},
        {"kind": "regions", "columns": [{"regions": [], "undeclared": [], "more": 1}]},
        {"kind": "regions", "columns": [{"regions": [{}], "undeclared": []}]},
        {"kind": "regions", "columns": [{"regions": [], "undeclared": [[0]]}]},
        {"kind": "regions", "columns": [{"regions": [], "undeclared": [[True, []]]}]},
        {"kind": "regions", "columns": [{"regions": [], "undeclared": [[0, [[1, 2]]]]}]},
        {"kind": "regions", "columns": [{"regions": [], "undeclared": [[0, None]]}]},
        {"kind": "breach", "column": 0, "obligation": "cover", "point": [0], "tokens": []},
        {"kind": "breach", "column": 0, "obligation": "cover", "point": ["0"], "tokens": [False]},
        {"kind": "breach", "column": 0, "obligation": "cover", "point": ["0"]},
    ],
)
def test_evidence_that_is_none(evidence: object) -> None:
    with pytest.raises(InvalidCertificate):
        evidence_from_json(evidence)


def test_what_a_statement_refuses() -> None:
    statement = cells_of_a_grid([2, 2])
    assert isinstance(statement.claim, Partition)
    (regions,) = statement.claim.columns
    with pytest.raises(InvalidClaim, match="column"):
        with_regions(statement, regions, regions)
    with pytest.raises(InvalidClaim, match="tokens are 0 to 3"):
        with_regions(statement, [replace(regions[0], neighbours=(4,))])
    with pytest.raises(InvalidClaim, match="centre"):
        with_regions(statement, [replace(regions[0], centre=(Fraction(0),))])
    with pytest.raises(InvalidDomain, match="positive length"):
        replace(statement, domain=parse_box("[0,0]x[0,1]"))
    with pytest.raises(InvalidDomain, match="conditions"):
        replace(statement, conditions=(parse_condition("x0 <= 1", InputSpace((2, 1))),))


# ---------------------------------------------------------------------------------------------------------------------
# The doors


@pytest.mark.parametrize(
    ("domain", "grid", "facets"),
    [("[0,1]", "1", 0), ("[0,1/3]", "7", 12), ("[-1,2]x[0.1,0.2]", "3x4", 34), ("[0,1]^3", [2, 2, 3], 40)],
)
def test_constructed_partitions_are_proved(domain: str, grid: str | list[int], facets: int) -> None:
    result = attncert.certify_partition(domain=domain, grid=grid)
    assert result.verdict == "proved"
    assert result.certificate is not None
    claim = result.certificate.statement.claim
    assert isinstance(claim, Partition)
    assert (claim.facets, claim.regions) == (facets, result.tokens)
    assert result.boxes == result.tokens
    assert not failures(result.certificate.statement, telling_points(result.certificate.statement))
    again = attncert.verify(attncert.Certificate(result.certificate.statement))
    assert again.verdict == "proved"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"domain": "[0,1]", "grid": "2x2"}, "2 numbers"),
        ({"domain": "[0,1]", "grid": "0"}, "form"),
        ({"domain": "[0,0]", "grid": "2"}, "positive length"),
        ({"domain": "[0,1] | [2,3]", "grid": "2"}, "union"),
        ({"domain": "[0,1", "grid": "2"}, "domain"),
        ({"domain": "[0,1]", "grid": "999999999"}, "memory"),
    ],
)
def test_input_that_makes_no_partition(arguments: dict[str, str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        attncert.certify_partition(**arguments)  # type: ignore[arg-type]


def test_the_regions_of_any_head() -> None:
    made = attncert.certify("sin(3*x)", domain="[0,1]", tolerance="0.2")
    assert made.certificate is not None
    result = attncert.certify_regions(made.certificate)
    assert result.verdict == "proved"
    assert result.certificate is not None
    assert result.certificate.statement.attention == made.certificate.statement.attention
    assert "apriori" not in result.notes
    assert not failures(result.certificate.statement, telling_points(result.certificate.statement))
    stopped = attncert.certify_regions(made.certificate, budget=1e-9)
    assert (stopped.verdict, stopped.certificate) == ("undecided", None)
    disc = attncert.construct_head("x", domain="[0,1]", tolerance="0.2", where=["x <= 1/2"])
    with pytest.raises(InputError, match="conditions"):
        attncert.certify_regions(disc)
    point = attncert.construct_head("x0", domain="[0,1]x[0,0]", tolerance="0.2")
    with pytest.raises(InputError, match="positive length"):
        attncert.certify_regions(point)


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    code = main([str(argument) for argument in arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "cells.json"
    code, out, err = run(capsys, "certify", "--claim", "partition", "--grid", "3x2", "--domain", "[0,1]^2", "-o", file)
    assert (code, err) == (0, "")
    assert "regions    6" in out
    assert "error" not in out
    code, out, _ = run(capsys, "check", file, "--json")
    report = json.loads(out)
    assert (code, report["verdict"], report["error_upper"], report["boxes"]) == (0, "proved", None, 6)
    code, out, _ = run(capsys, "show", file)
    assert "6 declared regions, with 14 facets" in out
    assert "multipliers" in out
    code, out, _ = run(capsys, "show", file, "--json")
    shown = json.loads(out)
    assert [shown[key] for key in ("claim", "regions", "facets", "evidence")] == ["partition", 6, 14, "regions"]
    code, out, err = run(capsys, "regions", file, "-o", tmp_path / "again.json", "--json")
    assert (code, json.loads(out)["verdict"]) == (0, "proved")
    document = json.loads(file.read_text())
    del document["statement"]["claim"]["regions"][0][0]
    statement = statement_from_json(document["statement"])
    attncert.Certificate(statement).save(tmp_path / "false.json")
    code, out, _ = run(capsys, "verify", tmp_path / "false.json")
    assert code == 1
    assert "refuted: column 0, obligation cover" in out
    assert "point" in out
    code, out, _ = run(capsys, "show", tmp_path / "false.json")
    assert "obligation cover fails at" in out
    code, out, _ = run(capsys, "check", tmp_path / "false.json")
    assert (code, "refuted" in out) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--domain", "[0,1]"], "--grid"),
        (["--domain", "[0,1]", "--grid", "2", "--where", "x<=1"], "--where"),
        (["--domain", "[0,1]", "--grid", "2", "--tol", "1"], "--tol"),
        (["--domain", "[0,1]", "--grid", "2", "--delta", "1"], "--delta"),
        (["--domain", "[0,1]", "--grid", "2", "--jobs", "2"], "--jobs"),
        (["--domain", "[0,1]", "--grid", "2x2"], "grid"),
        (["x", "--domain", "[0,1]", "--grid", "2"], "TARGET"),
    ],
)
def test_bad_usage_is_one_line(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, "certify", "--claim", "partition", *arguments)
    assert (code, out) == (2, "")
    assert words in err
    assert err.count("\n") == 1


# ---------------------------------------------------------------------------------------------------------------------
# Other tools


def solver_answers(text: str) -> dict[str, list[str]]:
    """What Z3 and, where it is installed, cvc5 say to the queries of a script."""
    import z3

    context = z3.Context()
    said = {"z3": z3.Z3_eval_smtlib2_string(context.ref(), text).split()}
    try:
        import cvc5
    except ImportError:
        return said
    machine = cvc5.Solver()
    machine.setOption("incremental", "true")
    parser = cvc5.InputParser(machine)
    parser.setStringInput(cvc5.InputLanguage.SMT_LIB_2_6, text, "script")
    symbols, said["cvc5"] = parser.getSymbolManager(), []
    while not (command := parser.nextCommand()).isNull():
        said["cvc5"] += str(command.invoke(machine, symbols)).split()
    return said


def exported(statement: Statement) -> dict[str, dict[str, list[str]]]:
    return {name.removesuffix(".smt2"): solver_answers(text) for name, text in scripts(statement).items()}


@pytest.mark.parametrize("case", ["line", "grid", "sites"])
def test_solvers_agree_that_the_obligations_hold(case: str) -> None:
    statement = cells_of_a_grid([3] if case == "line" else [2, 2])
    if case == "sites":
        statement = declared(sites(2, 6, 4), "[0,1]^2")
    for name, said in exported(statement).items():
        assert isinstance(statement.claim, Partition)
        expected = 1 if name == "cover" else statement.claim.regions
        for answers in said.values():
            assert answers == ["unsat"] * expected, name


@pytest.mark.parametrize("seed", range(12))
def test_solvers_agree_on_what_fails(seed: int) -> None:
    rnd = random.Random(f"smt2 {seed}")
    statement = altered(declared(sites(1, rnd.randint(2, 6), seed, denominator=8), "[0,1]"), rnd)
    failing = {name for _, name in failures(statement, telling_points(statement))}
    for name, said in exported(statement).items():
        for answers in said.values():
            assert set(answers) <= {"sat", "unsat"}
            assert ("sat" in answers) == (name in failing), (name, said)


def test_scripts_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file, folder = tmp_path / "cells.json", tmp_path / "scripts"
    attncert.Certificate(cells_of_a_grid([2, 2])).save(file)
    code, out, err = run(capsys, "export", file, "--to", "smt2", "-o", folder)
    assert (code, err) == (0, "")
    assert "argmax.smt2: 4 queries" in out
    assert sorted(path.name for path in folder.iterdir()) == [
        "argmax.smt2",
        "cover.smt2",
        "disjoint.smt2",
        "radius.smt2",
    ]
    code, _, err = run(capsys, "export", file, "--to", "smt2", "-o", folder)
    assert (code, err.count("\n")) == (2, 1)
    other = tmp_path / "error.json"
    attncert.construct_head("x", domain="[0,1]", tolerance="0.5").save(other)
    code, _, err = run(capsys, "export", other, "--to", "smt2", "-o", tmp_path / "more")
    assert (code, err.count("\n")) == (2, 1)
    assert not (tmp_path / "more").exists()


@pytest.mark.parametrize("counts", [[4], [2, 3]])
def test_pictures(counts: list[int], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    statement = cells_of_a_grid(counts)
    file, picture = tmp_path / "cells.json", tmp_path / "cells.svg"
    attncert.Certificate(statement).save(file)
    code, out, err = run(capsys, "show", file, "--partition", picture)
    assert (code, err) == (0, "")
    assert "declared regions" in out
    assert picture.read_text().count("<svg ") == 1
    code, _, err = run(capsys, "show", file, "--partition", picture)
    assert (code, err.count("\n")) == (2, 1)
    areas = [area(shape) for shape in polygons(statement)]
    assert sum(areas) == (Fraction(1, 8) if len(counts) == 1 else 1)
    assert set(areas) == {sum(areas) / len(areas)}


def test_what_cannot_be_drawn(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib")
    cube, other = tmp_path / "cube.json", tmp_path / "error.json"
    attncert.Certificate(cells_of_a_grid([2, 1, 1])).save(cube)
    attncert.construct_head("x", domain="[0,1]", tolerance="0.5").save(other)
    for file, words in ((cube, "3 dimensions"), (other, "attncert regions")):
        code, out, err = run(capsys, "show", file, "--partition", tmp_path / "picture.svg")
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert words in err
    code, _, err = run(capsys, "show", cube, "--partition", tmp_path / "nowhere" / "picture.svg")
    assert code == 2


# ---------------------------------------------------------------------------------------------------------------------
# At size


def timed(statement: Statement, verifier: float, checker: float) -> None:
    start = time.monotonic()
    outcome = verify(statement)
    searched = time.monotonic()
    assert outcome.verdict == "verified", outcome.detail
    assert kernel_says(bytes_of(statement, outcome.evidence)) == "proved"
    assert searched - start < verifier
    assert time.monotonic() - searched < checker


@pytest.mark.slow
def test_a_thousand_tokens_on_a_line() -> None:
    timed(cells_of_a_grid([1000]), 10, 4)
    timed(declared(sites(1, 1000, "many", weights=False), "[0,1]"), 20, 4)


@pytest.mark.slow
def test_a_thousand_cells_in_the_plane() -> None:
    timed(cells_of_a_grid([32, 32]), 120, 30)


@pytest.mark.slow
def test_cells_in_space_and_beyond() -> None:
    timed(cells_of_a_grid([6, 6, 6]), 300, 30)
    timed(cells_of_a_grid([3, 3, 3, 3]), 300, 30)


@pytest.mark.slow
def test_a_thousand_sites_as_qhull_has_them() -> None:
    """The power diagram is the lower hull of the lifted sites; facets inside the box are edges of that hull."""
    np = pytest.importorskip("numpy")
    spatial = pytest.importorskip("scipy.spatial")
    head = sites(2, 1000, "many")
    start = time.monotonic()
    statement = declared(head, "[0,1]^2")
    assert time.monotonic() - start < 120
    timed(statement, 120, 30)
    (scores,) = affine_scores(head, 2)
    lifted = np.array([[float(a) / 2, float(b) / 2, -float(c)] for a, b, c in scores])
    hull = spatial.ConvexHull(lifted)
    lower = hull.simplices[hull.equations[:, 2] < 0]
    edges = {frozenset(pair) for triangle in lower.tolist() for pair in combinations(triangle, 2)}
    assert isinstance(statement.claim, Partition)
    (regions,) = statement.claim.columns
    assert 300 < len(regions) < 1000
    facets = {frozenset((region.token, k)) for region in regions for k in region.neighbours}
    assert all((region.token in lower) for region in regions)
    assert facets <= edges
    inside = set()
    for first, *rest in lower.tolist():  # the vertex at which three cells meet
        triangle = first, *rest
        corner = solved([difference(scores[first], scores[k]) for k in rest])
        if corner is not None and corner in statement.domain:
            inside |= {frozenset(pair) for pair in combinations(triangle, 2)}
    assert inside <= facets
    assert len(facets - inside) < 0.1 * len(facets)
