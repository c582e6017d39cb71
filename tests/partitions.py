"""Oracles for declared partitions: the obligations at single points, cells by clipping, heads made at random.

Nothing here shares arithmetic with the product: scores are multiplied out from the matrices, and in the plane regions
are polygons that half-planes cut, corner by corner.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from fractions import Fraction
from itertools import combinations, pairwise, product

from heads import attention_of, embedded, full, inputs_of, multiplied

from attncert.certificates.attention import Attention, SelfAttention
from attncert.certificates.claim import Partition, Region
from attncert.certificates.domain import Box, parse_box
from attncert.certificates.statement import Statement

Point = tuple[Fraction, ...]
Affine = tuple[Fraction, ...]


def affine_scores(attention: Attention, dimension: int) -> list[list[Affine]]:
    """For each output column and token the slopes and the constant of its score, from its values at m + 1 points."""

    def scores(point: Sequence[Fraction]) -> list[list[Fraction]]:
        inputs = inputs_of(attention, point)
        sides = [attention.keys_side, attention.queries_side]
        Z_K, Z_Q = [embedded(side, X) for side, X in zip(sides, [inputs[0], inputs[-1]], strict=True)]
        keys, queries = multiplied(full(attention.W_K), Z_K), multiplied(full(attention.W_Q), Z_Q)
        table = multiplied(
            multiplied([list(column) for column in zip(*keys, strict=True)], queries), full(attention.W_O)
        )
        return [list(column) for column in zip(*table, strict=True)]

    unit = [[Fraction(int(i == k)) for i in range(dimension)] for k in range(dimension)]
    origin = scores([Fraction(0)] * dimension)
    ends = [scores(point) for point in unit]
    return [
        [(*(end[j][i] - origin[j][i] for end in ends), origin[j][i]) for i in range(len(origin[j]))]
        for j in range(len(origin))
    ]


def at(f: Affine, x: Sequence[Fraction]) -> Fraction:
    return sum((a * b for a, b in zip(f[:-1], x, strict=True)), f[-1])


def failures(statement: Statement, points: Iterable[Point]) -> set[tuple[int, str]]:
    """The obligations (column, name) that fail at points of the domain, by the words of the claim."""
    claim, box, found = statement.claim, statement.domain, set()
    assert isinstance(claim, Partition)
    table = affine_scores(statement.attention, box.dimension)
    for x in points:
        if x not in box:
            continue
        for j, (scores, regions) in enumerate(zip(table, claim.columns, strict=True)):
            values = [at(score, x) for score in scores]
            weak = [r for r in regions if all(values[r.token] >= values[k] for k in r.neighbours)]
            if not weak:
                found.add((j, "cover"))
            if any(values[r.token] < max(values) for r in weak):
                found.add((j, "argmax"))
            if any(sum((a - c) ** 2 for a, c in zip(x, r.centre, strict=True)) > r.radius**2 for r in weak):
                found.add((j, "radius"))
            strict = [
                r
                for r in weak
                if all(values[r.token] > values[k] or scores[k] == scores[r.token] for k in r.neighbours)
            ]
            if len(strict) > 1 and all(lo < a < hi for a, (lo, hi) in zip(x, box.sides, strict=True)):
                found.add((j, "disjoint"))
    return found


def telling_points(statement: Statement) -> list[Point]:
    """On a line all that can matter: ends, places where two scores agree, and the middles between.

    In more dimensions places where lines of equal scores meet, and points near and between them.
    """
    box = statement.domain
    points: set[Point] = set()
    for scores in affine_scores(statement.attention, box.dimension):
        faces = [tuple(a - b for a, b in zip(f, g, strict=True)) for f, g in combinations(scores, 2)]
        if box.dimension == 1:
            points |= {(-c / a,) for a, c in faces if a}
        else:
            for k, side in enumerate(box.sides):
                faces += [(*(Fraction(int(i == k)) for i in range(box.dimension)), -end) for end in side]
            rnd = random.Random(len(faces))
            groups = list(combinations(faces, box.dimension))
            for group in groups if len(groups) < 3000 else rnd.sample(groups, 3000):
                place = solved(group)
                if place is not None and place in box:
                    points.add(place)
    points |= set(product(*box.sides))
    if box.dimension == 1:
        ordered = sorted(points | {(box.sides[0][0],), (box.sides[0][1],)})
        return ordered + [((a + b) / 2,) for (a,), (b,) in pairwise(ordered)]
    rnd, some = random.Random(1), sorted(points)
    for _ in range(300):
        pair = rnd.sample(some, min(3, len(some)))
        points.add(tuple(sum(parts) / len(pair) for parts in zip(*pair, strict=True)))
        points.add(tuple(lo + (hi - lo) * Fraction(rnd.randrange(1001), 1000) for lo, hi in box.sides))
    return sorted(points)


def solved(rows: Sequence[Affine]) -> Point | None:
    """The point at which all rows vanish, if there is one only: by Gauss and Jordan."""
    m = len(rows)
    table = [list(row) for row in rows]
    for k in range(m):
        pivot = next((r for r in range(k, m) if table[r][k]), None)
        if pivot is None:
            return None
        table[k], table[pivot] = table[pivot], table[k]
        table[k] = [a / table[k][k] for a in table[k]]
        for r in range(m):
            if r != k and table[r][k]:
                table[r] = [a - table[r][k] * b for a, b in zip(table[r], table[k], strict=True)]
    return tuple(-row[m] for row in table)


def clipped(polygon: list[Point], f: Affine) -> list[Point]:
    """The part of a convex polygon in which f >= 0."""
    result = []
    for here, there in zip(polygon, polygon[1:] + polygon[:1], strict=True):
        a, b = at(f, here), at(f, there)
        if a >= 0:
            result.append(here)
        if a * b < 0:
            result.append(tuple(p + (q - p) * a / (a - b) for p, q in zip(here, there, strict=True)))
    return result


def area(polygon: list[Point]) -> Fraction:
    pairs = zip(polygon, polygon[1:] + polygon[:1], strict=True)
    return abs(sum((a[0] * b[1] - a[1] * b[0] for a, b in pairs), Fraction(0))) / 2


def rectangle(box: Box) -> list[Point]:
    (a, b), (c, d) = box.sides
    return [(a, c), (b, c), (b, d), (a, d)]


def difference(f: Affine, g: Affine) -> Affine:
    return tuple(a - b for a, b in zip(f, g, strict=True))


def planar_cells(scores: Sequence[Affine], box: Box) -> dict[int, tuple[list[Point], set[int]]]:
    """In the plane, for each token with a cell of positive area (the first of equals): the cell, and its facets."""
    cells = {}
    for i, score in enumerate(scores):
        if score in scores[:i]:
            continue
        polygon = rectangle(box)
        for other in scores:
            if other != score and polygon:
                polygon = clipped(polygon, difference(score, other))
        if polygon and area(polygon):
            facets = {
                k
                for k, other in enumerate(scores)
                if other != score and len({x for x in polygon if at(difference(score, other), x) == 0}) > 1
            }
            cells[i] = polygon, facets
    return {i: (polygon, facets & cells.keys()) for i, (polygon, facets) in cells.items()}


# ---------------------------------------------------------------------------------------------------------------------
# Heads


def sites(m: int, tokens: int, seed: int | str, weights: bool = True, denominator: int | None = None) -> SelfAttention:
    """A power diagram: sites at random in the unit box, some so light that they own nothing."""
    rnd = random.Random(f"sites {seed}")

    def number(scale: float) -> Fraction:
        if denominator is None:
            return Fraction(rnd.random() * scale)
        return Fraction(rnd.randrange(denominator), denominator)

    places = [[number(1.0) for _ in range(m)] for _ in range(tokens)]
    weight = [number(2 / tokens ** (2 / m)) if weights else Fraction(0) for _ in places]
    if denominator is not None:
        weight = [w / 4 for w in weight]
    keys = [[2 * place[k] for place in places] for k in range(m)]
    biases = [w - sum((x * x for x in place), Fraction(0)) for place, w in zip(places, weight, strict=True)]
    return attention_of((m, 1), keys, biases, [[0] * tokens])


def cells_of_a_grid(counts: Sequence[int]) -> Statement:
    """The cells of a grid on the unit box, declared as they are; integers throughout."""
    cells = list(product(*map(range, counts)))
    keys = [[4 * (2 * cell[k] + 1) * n for cell in cells] for k, n in enumerate(counts)]
    biases = [-sum((2 * i + 1) ** 2 for i in cell) for cell in cells]
    head = attention_of((len(counts), 1), keys, biases, [[0] * len(cells)])
    regions = []
    for token, cell in enumerate(cells):
        near = [k for k, other in enumerate(cells) if sum(abs(a - b) for a, b in zip(cell, other, strict=True)) == 1]
        centre = tuple(Fraction(2 * i + 1, 2 * n) for i, n in zip(cell, counts, strict=True))
        square = sum((Fraction(1, 4 * n * n) for n in counts), Fraction(0))
        regions.append(Region(token, tuple(near), centre, root_up(square)))
    return Statement(None, parse_box(f"[0,1]^{len(counts)}"), head, Partition((tuple(regions),)))


def root_up(square: Fraction) -> Fraction:
    """A number of twelve places whose square is at least this."""
    root = Fraction(round(float(square) ** 0.5 * 10**12) + 1, 10**12)
    assert root * root >= square
    return root
