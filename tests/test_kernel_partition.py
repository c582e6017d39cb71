"""The kernel on claims of kind `partition`: volumes, what it accepts, and what it rejects, with the obligation."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any

import pytest
from heads import attention_of, json_of, sealed
from partitions import (
    affine_scores,
    area,
    cells_of_a_grid,
    clipped,
    failures,
    planar_cells,
    rectangle,
    sites,
    telling_points,
)

from attncert.certificates.claim import Partition
from attncert.certificates.domain import parse_box
from attncert.certificates.evidence import Breach
from attncert.certificates.statement import Statement, statement_from_json
from attncert.verifier import kernel
from attncert.verifier.prove import verify
from attncert.verifier.regions import partition_of

Json = dict[str, Any]
Change = Callable[[Json, Json], None]

# ---------------------------------------------------------------------------------------------------------------------
# Volumes


def box_rows(m: int, lo: int = 0, hi: int = 1) -> list[tuple[list[int], Fraction]]:
    rows = []
    for k in range(m):
        rows += [([int(i == k) for i in range(m)], Fraction(-lo)), ([-int(i == k) for i in range(m)], Fraction(hi))]
    return rows


@pytest.mark.parametrize("m", [1, 2, 3, 4, 5])
def test_volumes_of_boxes_and_simplices(m: int) -> None:
    assert kernel.volume(box_rows(m, -1, 2)) == 3**m
    simplex = [*box_rows(m), ([-1] * m, Fraction(1))]
    factorial = 1
    for n in range(2, m + 1):
        factorial *= n
    assert kernel.volume(simplex) == Fraction(1, factorial)
    rest = [*box_rows(m), ([1] * m, Fraction(-1))]
    assert kernel.volume(rest) == 1 - Fraction(1, factorial)


@pytest.mark.parametrize("m", [1, 2, 3])
def test_volumes_with_rows_twice_redundant_touching_or_flat(m: int) -> None:
    rows = box_rows(m)
    assert kernel.volume([*rows, *rows]) == 1
    assert kernel.volume([*rows, ([3] + [0] * (m - 1), Fraction(0))]) == 1
    assert kernel.volume([*rows, ([1] * m, Fraction(0)), ([-1] * m, Fraction(m))]) == 1  # touch corners
    assert kernel.volume([*rows, ([1] + [0] * (m - 1), Fraction(7))]) == 1
    assert kernel.volume([*rows, ([0] * m, Fraction(0))]) == 1
    assert kernel.volume([*rows, ([0] * m, Fraction(-1))]) == 0
    assert kernel.volume([*rows, ([1] + [0] * (m - 1), Fraction(-1))]) == 0  # the far face only
    assert kernel.volume([*rows, ([1] + [0] * (m - 1), Fraction(-2))]) == 0
    half = [([2] + [0] * (m - 1), Fraction(-1)), ([-2] + [0] * (m - 1), Fraction(1))]
    assert kernel.volume([*rows, *half]) == 0
    assert kernel.volume([*rows, half[0]]) == Fraction(1, 2)


@pytest.mark.parametrize("seed", range(30))
def test_volumes_in_the_plane_are_those_of_clipped_polygons(seed: int) -> None:
    rnd = random.Random(seed)
    polygon, rows = rectangle(parse_box("[-1,1]^2")), box_rows(2, -1, 1)
    for _ in range(rnd.randrange(1, 7)):
        a, c = [rnd.randint(-5, 5), rnd.randint(-5, 5)], Fraction(rnd.randint(-2, 6), rnd.randint(1, 3))
        rows.append((a, c))
        if polygon:
            polygon = clipped(polygon, (Fraction(a[0]), Fraction(a[1]), c))
    assert kernel.volume(rows) == (area(polygon) if polygon else 0)


@pytest.mark.parametrize("seed", range(10))
def test_volumes_in_space_under_a_linear_map(seed: int) -> None:
    """The image of a polytope under x -> M x has |det M| times its volume; and planes that cut it split it."""
    rnd = random.Random(seed)
    rows = [
        *box_rows(3, -2, 2),
        *(([rnd.randint(-3, 3) for _ in range(3)], Fraction(rnd.randint(1, 9), 2)) for _ in range(4)),
    ]
    whole = kernel.volume(rows)
    cut = [rnd.randint(-3, 3) for _ in range(2)] + [1], Fraction(rnd.randint(-2, 2), 3)
    against = [-a for a in cut[0]], -cut[1]
    assert whole > 0
    assert kernel.volume([*rows, cut]) + kernel.volume([*rows, against]) == whole
    shear = rnd.randint(-2, 2), rnd.randint(1, 3)  # y = (x0, 1/s x1, x2 - t x0): det = 1/s
    t, s = shear
    sheared = [([a + c * t, b * s, c], d) for (a, b, c), d in rows]
    far = 10**6
    assert kernel.volume([*sheared, *box_rows(3, -far, far)]) == whole / s


# ---------------------------------------------------------------------------------------------------------------------
# Proofs


def proved(statement: Statement) -> Json:
    outcome = verify(statement)
    assert outcome.evidence is not None, outcome
    return dict(json_of(statement, outcome.evidence))


def of_head(head: Any, domain: str) -> Statement:
    box = parse_box(domain)
    return Statement(None, box, head, partition_of(head, box))


@lru_cache
def grid() -> Json:
    return proved(cells_of_a_grid([3, 3]))


@lru_cache
def scattered() -> Json:
    """A head in the plane of which some tokens own nothing, and some need multipliers to be seen beaten."""
    document = proved(of_head(sites(2, 12, 3), "[0,1]^2"))
    regions = document["evidence"]["columns"][0]["regions"]
    assert document["evidence"]["columns"][0]["undeclared"]
    assert any(region["beaten"] for region in regions)
    return document


@lru_cache
def line() -> Json:
    return proved(cells_of_a_grid([5]))


def check(document: Json, **limits: int) -> kernel.Finding:
    return kernel.check_bytes(sealed(document), kernel.Limits(**limits))


def rejection(document: Json, **limits: int) -> kernel.Rejected:
    with pytest.raises(kernel.Rejected) as caught:
        check(document, **limits)
    assert "internal error" not in caught.value.detail, caught.value.detail
    return caught.value


def changed(document: Json, change: Callable[[Json, Json], None]) -> Json:
    """A copy with its regions (of column 0) and their proof changed in place."""
    document = copy.deepcopy(document)
    change(document["statement"]["claim"]["regions"][0], document["evidence"]["columns"][0])
    return document


def test_what_is_counted() -> None:
    found = check(grid())
    assert (found.verdict, found.leaves, found.tokens, found.bound) == ("proved", 9, 9, None)
    assert found.obligations == 9 * (4 + 9 + 1) + 1
    found = check(scattered())
    owners = len(scattered()["statement"]["claim"]["regions"][0])
    assert found.obligations == owners * (4 + 12 + 1) + (12 - owners) + 1
    assert "regions" in found.claim
    assert "[0, 1] x [0, 1]" in found.claim


@pytest.mark.parametrize("counts", [[1], [2], [7], [1, 1], [2, 3], [2, 2, 2], [1, 2, 1], [2, 2, 2, 2]])
def test_grids_are_proved(counts: list[int]) -> None:
    assert check(proved(cells_of_a_grid(counts))).verdict == "proved"


def drop_region(claim: Json, proof: Json) -> None:
    del claim[4], proof["regions"][4]


def drop_a_facet(claim: Json, proof: Json) -> None:
    claim[4]["neighbours"].remove(5)
    for face in proof["regions"][4]["faces"]:
        face[:] = [pair for pair in face if pair[0] != 5]


def shrink_box(claim: Json, proof: Json) -> None:
    proof["regions"][4]["box"][0][0] = "0.34"


def shrink_ball(claim: Json, proof: Json) -> None:
    claim[4]["radius"] = "0.2357"


def move_ball(claim: Json, proof: Json) -> None:
    claim[4]["centre"][0] = "0.5001"


def wrong_volume(claim: Json, proof: Json) -> None:
    proof["regions"][4]["volume"] = "1/9000"


def no_volume(claim: Json, proof: Json) -> None:
    proof["regions"][4]["volume"] = None


def negative_multiplier(claim: Json, proof: Json) -> None:
    proof["regions"][4]["faces"][0][0][1] = "-" + proof["regions"][4]["faces"][0][0][1]


def doubled_multiplier(claim: Json, proof: Json) -> None:
    proof["regions"][4]["faces"][0][0][1] = "1"


def stranger_multiplier(claim: Json, proof: Json) -> None:
    proof["regions"][4]["faces"][0].append([8, "0"])


def beaten_without_reason(claim: Json, proof: Json) -> None:
    claim[4]["neighbours"].remove(5)
    proof["regions"][4]["faces"][3] = []
    proof["regions"][4]["box"][1][1] = "1"
    proof["regions"][4]["beaten"].append([7, []])


def all_undeclared(claim: Json, proof: Json) -> None:
    claim.clear()
    proof["regions"].clear()


def undeclared_without_reason(claim: Json, proof: Json) -> None:
    drop_region(claim, proof)
    proof["undeclared"].append([4, []])


def undeclared_with_zero(claim: Json, proof: Json) -> None:
    drop_region(claim, proof)
    proof["undeclared"].append([4, [[5, "0"]]])


def undeclared_by_itself(claim: Json, proof: Json) -> None:
    drop_region(claim, proof)
    proof["undeclared"].append([4, [[4, "1"]]])


def undeclared_by_its_neighbours(claim: Json, proof: Json) -> None:
    drop_region(claim, proof)
    proof["undeclared"].append([4, [[3, "1/2"], [5, "1/2"]]])


def token_twice(claim: Json, proof: Json) -> None:
    claim.append(claim[4])
    proof["regions"].append(proof["regions"][4])


def neighbour_twice(claim: Json, proof: Json) -> None:
    claim[4]["neighbours"].append(claim[4]["neighbours"][0])


def own_neighbour(claim: Json, proof: Json) -> None:
    claim[4]["neighbours"].append(4)


def token_out_of_range(claim: Json, proof: Json) -> None:
    claim[4]["neighbours"].append(9)


def negative_radius(claim: Json, proof: Json) -> None:
    claim[4]["radius"] = "-1"


def fewer_proofs(claim: Json, proof: Json) -> None:
    del proof["regions"][4]


def fewer_faces(claim: Json, proof: Json) -> None:
    del proof["regions"][4]["faces"][3]


def a_key_more(claim: Json, proof: Json) -> None:
    proof["regions"][4]["note"] = ""


@pytest.mark.parametrize(
    ("change", "reason", "obligation"),
    [
        (drop_region, "region", "cover"),
        (drop_a_facet, "region", "radius"),
        (shrink_box, "region", "radius"),
        (shrink_ball, "region", "radius"),
        (move_ball, "region", "radius"),
        (wrong_volume, "region", "volume"),
        (no_volume, "malformed", "token 4: not a string"),
        (negative_multiplier, "region", "radius"),
        (doubled_multiplier, "region", "radius"),
        (stranger_multiplier, "region", "radius: the region of token 4"),
        (beaten_without_reason, "region", "argmax"),
        (all_undeclared, "region", "cover"),
        (undeclared_without_reason, "region", "cover"),
        (undeclared_with_zero, "region", "cover"),
        (undeclared_by_itself, "region", "cover"),
        (undeclared_by_its_neighbours, "region", "cover"),
        (token_twice, "malformed", "token twice"),
        (neighbour_twice, "malformed", "neighbour"),
        (own_neighbour, "malformed", "neighbour"),
        (token_out_of_range, "limit", "9"),
        (negative_radius, "claim", "radius"),
        (fewer_proofs, "malformed", "column 0: not a list of 9"),
        (fewer_faces, "malformed", "bounding box: not a list of 4"),
        (a_key_more, "malformed", "note"),
    ],
)
def test_what_is_not_proved_is_named(change: Callable[[Json, Json], None], reason: str, obligation: str) -> None:
    found = rejection(changed(grid(), change))
    assert (found.reason, obligation in found.detail) == (reason, True), found


def test_equal_scores_are_not_disjoint() -> None:
    """Two tokens with the same scores, each declared to own everything."""
    head = attention_of((1, 1), [[0, 0]], [0, 0], [[0, 1]])
    region = {"neighbours": [], "centre": ["1/2"], "radius": "1/2"}
    statement = Statement(None, parse_box("[0,1]"), head, Partition(((),)))
    proof = {"box": [["0", "1"]], "faces": [[], []], "beaten": [], "volume": "1"}
    document = json_of(statement, None)
    document["statement"]["claim"]["regions"] = [[{"token": 0, **region}, {"token": 1, **region}]]
    document["evidence"] = {"kind": "regions", "columns": [{"regions": [proof, proof], "undeclared": []}]}
    assert "disjoint" in rejection(document).detail
    document["statement"]["claim"]["regions"][0].pop()
    document["evidence"]["columns"][0] = {"regions": [proof], "undeclared": [[1, [[0, "1"]]]]}
    assert check(document).verdict == "proved"


def test_the_kinds_of_claim_and_evidence_go_together() -> None:
    document = copy.deepcopy(grid())
    document["evidence"] = {"kind": "layers", "precision": 64, "silence": 30, "trees": ["."]}
    assert rejection(document).reason == "unsupported"
    document["evidence"] = None
    assert rejection(document).reason == "evidence"
    document = copy.deepcopy(grid())
    document["statement"]["target"] = "x0"
    assert rejection(document).reason == "malformed"
    document = copy.deepcopy(grid())
    document["statement"]["domain"]["where"] = ["x0 <= 1"]
    assert rejection(document).reason == "unsupported"
    document = copy.deepcopy(grid())
    document["statement"]["domain"]["box"][0] = ["0", "0"]
    assert rejection(document).reason == "domain"
    document = copy.deepcopy(grid())
    document["evidence"]["columns"].append(document["evidence"]["columns"][0])
    assert rejection(document).reason == "malformed"


def test_work_is_limited() -> None:
    assert check(grid(), pairs=1000).verdict == "proved"
    found = rejection(grid(), pairs=100)
    assert found.reason == "limit"
    assert rejection(scattered(), exact=20).reason == "limit"


# ---------------------------------------------------------------------------------------------------------------------
# Refutations


def refuted(document: Json, obligation: str, point: list[str], tokens: list[int], column: int = 0) -> Json:
    evidence = {"kind": "breach", "column": column, "obligation": obligation, "point": point, "tokens": tokens}
    return {**document, "evidence": evidence}


@pytest.mark.parametrize(
    ("change", "obligation", "point", "tokens"),
    [
        (drop_region, "cover", ["0.5", "0.5"], []),
        (drop_a_facet, "argmax", ["0.5", "0.7"], [4, 5]),
        (shrink_ball, "radius", ["1/3", "1/3"], [4]),
        (drop_a_facet, "disjoint", ["0.5", "0.7"], [4, 5]),
    ],
)
def test_refutations(
    change: Callable[[Json, Json], None], obligation: str, point: list[str], tokens: list[int]
) -> None:
    document = changed(grid(), change)
    found = check(refuted(document, obligation, point, tokens))
    assert (found.verdict, found.point, found.obligations) == ("refuted", tuple(point), 1)
    assert rejection(refuted(grid(), obligation, point, tokens)).reason == "point"
    others = {"cover", "argmax", "disjoint", "radius"} - {obligation}
    for other in others:
        if (change, other) not in ((drop_a_facet, "argmax"), (drop_a_facet, "disjoint")):
            assert rejection(refuted(document, other, point, tokens)).reason == "point"
    assert rejection(refuted(document, "volume", point, tokens)).reason == "unsupported"
    outside = [f"{float(Fraction(point[0])) + 1}", *point[1:]]
    assert rejection(refuted(document, obligation, outside, tokens)).reason == "point"
    assert rejection(refuted(document, obligation, point[1:], tokens)).reason == "shape"
    assert rejection(refuted(document, obligation, point, [*tokens, 0])).reason == "point"
    assert rejection(refuted(document, obligation, point, tokens, column=1)).reason == "limit"


def test_a_face_is_no_overlap_and_an_edge_of_the_domain_is_no_inside() -> None:
    document = changed(grid(), drop_a_facet)
    assert check(refuted(document, "disjoint", ["0.5", "0.7"], [5, 4])).verdict == "refuted"
    assert rejection(refuted(document, "disjoint", ["0.5", "2/3"], [5, 4])).reason == "point"
    assert rejection(refuted(document, "disjoint", ["0.5", "1"], [5, 4])).reason == "point"
    assert rejection(refuted(document, "disjoint", ["0.5", "0.7"], [4, 4])).reason == "point"
    assert rejection(refuted(document, "argmax", ["0.5", "2/3"], [4, 5])).reason == "point"
    assert rejection(refuted(document, "radius", ["2/3", "2/3"], [0])).reason == "point"


# ---------------------------------------------------------------------------------------------------------------------
# Mutations


def scaled_row(document: Json, row: int, token: int, change: Callable[[Fraction], Fraction]) -> None:
    """Change a number of R, which holds keys, biases and values."""
    rows = document["statement"]["attention"]["R"]["rows"]
    rows[row][token] = str(change(kernel.rational(rows[row][token], "R", kernel.Limits())))


def mutated(document: Json, rnd: random.Random) -> tuple[str, Json]:
    """One change that makes a tight certificate wrong, and what it is."""
    document = copy.deepcopy(document)
    claim, proof = document["statement"]["claim"]["regions"][0], document["evidence"]["columns"][0]
    n = rnd.randrange(len(claim))
    m = len(claim[n]["centre"])
    what = rnd.choice(["facet", "key", "tokens", "region", "multiplier", "swap keys"])
    if what == "facet":
        k = rnd.choice(claim[n]["neighbours"])
        claim[n]["neighbours"].remove(k)
        for terms in [*proof["regions"][n]["faces"], *(terms for _, terms in proof["regions"][n]["beaten"])]:
            if rnd.random() < 0.5:
                terms[:] = [pair for pair in terms if pair[0] != k]
    elif what == "key":
        shift = rnd.choice([-1, 1]) * Fraction(1, 10**12)
        scaled_row(document, m + rnd.randrange(m), claim[n]["token"], lambda key: key + shift)
    elif what == "tokens":
        other = rnd.choice([k for k in range(len(claim)) if k != n])
        claim[n]["token"], claim[other]["token"] = claim[other]["token"], claim[n]["token"]
        for region in (claim[n], claim[other]):
            if region["token"] in region["neighbours"]:
                region["neighbours"].remove(region["token"])
    elif what == "swap keys":
        other = rnd.choice([k for k in range(len(claim)) if k != n])
        for row in range(m, 2 * m + 1):
            numbers = document["statement"]["attention"]["R"]["rows"][row]
            a, b = claim[n]["token"], claim[other]["token"]
            numbers[a], numbers[b] = numbers[b], numbers[a]
    elif what == "region":
        del claim[n], proof["regions"][n]
    else:
        lists = [terms for region in proof["regions"] for terms in region["faces"] if terms]
        pair = rnd.choice(rnd.choice(lists))
        number = kernel.rational(pair[1], "multiplier", kernel.Limits())
        pair[1] = str(number * rnd.choice([0, 2, Fraction(1, 2), -1, 1 + Fraction(1, 10**9)]))
    return what, document


OBLIGATIONS = ("argmax", "cover", "disjoint", "radius", "volume")


def check_mutations(make: Callable[[], Json], count: int) -> dict[str, int]:
    rnd, said = random.Random(make.__name__), dict.fromkeys(OBLIGATIONS, 0)
    for _ in range(count):
        what, document = mutated(make(), rnd)
        found = rejection(document)
        named = [name for name in OBLIGATIONS if f": {name}: " in found.detail]
        assert (found.reason, len(named)) == ("region", 1), (what, found)
        said[named[0]] += 1
    return said


@lru_cache
def space() -> Json:
    return proved(cells_of_a_grid([2, 3, 2]))


@lru_cache
def wide() -> Json:
    return proved(cells_of_a_grid([2, 2, 2, 2]))


@pytest.mark.parametrize("make", [line, grid, space, wide, scattered], ids=lambda make: make.__name__)
def test_no_mutation_is_accepted(make: Callable[[], Json]) -> None:
    said = check_mutations(make, 30)
    assert min(said["radius"], said["cover"]) > 0, said


@pytest.mark.slow
@pytest.mark.parametrize("make", [line, grid, space, wide, scattered], ids=lambda make: make.__name__)
def test_none_of_many_mutations_is_accepted(make: Callable[[], Json]) -> None:
    said = check_mutations(make, 400)
    assert sum(said.values()) == 400
    assert min(said["radius"], said["cover"]) > 0, said


def test_the_good_ones_are_true_and_lies_would_be_noticed() -> None:
    """The oracle of the other tests: nothing fails where the kernel says proved, and what was changed fails."""
    for document in (line(), grid(), scattered()):
        statement = statement_from_json(document["statement"])
        assert not failures(statement, telling_points(statement))
    for change, obligation in ((drop_region, "cover"), (drop_a_facet, "argmax"), (shrink_ball, "radius")):
        statement = statement_from_json(changed(grid(), change)["statement"])
        assert (0, obligation) in failures(statement, telling_points(statement))


def test_volumes_and_boxes_of_scattered_cells() -> None:
    document = scattered()
    statement = statement_from_json(document["statement"])
    (scores,) = affine_scores(statement.attention, 2)
    cells = planar_cells(scores, statement.domain)
    claim, proofs = document["statement"]["claim"]["regions"][0], document["evidence"]["columns"][0]["regions"]
    assert {region["token"] for region in claim} == set(cells)
    for region, proof in zip(claim, proofs, strict=True):
        polygon, facets = cells[region["token"]]
        assert set(region["neighbours"]) == facets
        assert Fraction(*map(int, _ratio(proof["volume"]))) == area(polygon)
        for k in range(2):
            lo, hi = [kernel.rational(end, "box", kernel.Limits()) for end in proof["box"][k]]
            assert lo <= min(x[k] for x in polygon) <= lo + Fraction(1, 10**9)
            assert hi >= max(x[k] for x in polygon) >= hi - Fraction(1, 10**9)


def _ratio(text: str) -> tuple[int, int]:
    number = kernel.rational(text, "volume", kernel.Limits())
    return number.numerator, number.denominator


def test_breaches_are_spelled_as_the_kernel_reads_them() -> None:
    breach = Breach(0, "cover", (Fraction(1, 2), Fraction(1, 2)), ())
    document = changed(grid(), drop_region)
    assert check({**document, "evidence": breach.to_json()}).verdict == "refuted"
