"""A picture of a declared partition on a line or in the plane, drawn with matplotlib (an optional dependency)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

from attncert.certificates.claim import Partition
from attncert.certificates.domain import Box
from attncert.certificates.errors import InputError
from attncert.certificates.matrix import row_entry
from attncert.certificates.statement import Statement
from attncert.verifier.cells import cells_of
from attncert.verifier.farkas import Affine, value_at
from attncert.verifier.reduction import reduce_head

Point = tuple[Fraction, ...]
THICKNESS = Fraction(1, 8)
"""Height of the strip that shows a partition of a line, as a part of its length."""


def draw_partition(statement: Statement, path: Path) -> None:
    """Draw the declared regions of the first output column, coloured by the first entry of the value, with their faces
    and the centres of their balls; the format follows from the name of the file.

    Raises InputError, with one clear line, when there is no partition of at most two dimensions, or no matplotlib.
    """
    if not isinstance(statement.claim, Partition):
        raise InputError("no partition is declared there: `attncert regions FILE` makes a certificate of one")
    m = statement.domain.dimension
    if m > 2:
        raise InputError(f"a partition in {m} dimensions cannot be drawn: at most 2")
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
        from matplotlib.collections import PolyCollection
    except ImportError:
        raise InputError("drawing needs matplotlib: pip install attncert[plots]") from None
    head = reduce_head(statement.attention)[0]
    regions = statement.claim.columns[0]
    shapes = polygons(statement)
    values = [
        float(
            row_entry(head.values[0], region.token)
            + sum(row_entry(rows[0], region.token) * region.centre[k] for k, rows in head.slopes.items())
        )
        for region in regions
    ]
    figure, axes = pyplot.subplots(figsize=(6.4, 5.4 if m == 2 else 2.4))
    faces: Any = PolyCollection([[tuple(map(float, x)) for x in shape] for shape in shapes], edgecolors="black", lw=0.6)
    faces.set_array(values)
    axes.add_collection(faces)
    middle = [float(_strip(statement.domain)[1]) / 2] * (m == 1)
    centres = [[float(x) for x in region.centre] + middle for region in regions]
    axes.plot([x for x, _ in centres], [y for _, y in centres], "k.", markersize=2)
    (left, right), (bottom, top) = [tuple(map(float, side)) for side in _rectangle(statement.domain)]
    axes.set_xlim(left, right)
    axes.set_ylim(bottom, top)
    axes.set_xlabel("x" if m == 1 else "x0")
    if m == 1:
        axes.set_yticks([])
    else:
        axes.set_ylabel("x1")
    axes.set_title(f"{len(regions)} regions, coloured by value")
    figure.colorbar(faces, ax=axes)
    save_picture(figure, path)


def save_picture(figure: Any, path: Path) -> None:
    """Write a figure of pyplot and close it; the format follows from the name, and equal figures make equal SVG files.

    Raises InputError when it cannot be written.
    """
    from matplotlib import pyplot

    figure.tight_layout()
    try:
        figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot draw {path}: {error}") from None
    finally:
        pyplot.close(figure)


def polygons(statement: Statement) -> list[list[Point]]:
    """The declared regions of the first output column, corner by corner; on a line as rectangles of a strip."""
    assert isinstance(statement.claim, Partition)
    cells = cells_of(reduce_head(statement.attention)[0], statement.domain)
    (left, right), (bottom, top) = _rectangle(statement.domain)
    shapes = []
    for region in statement.claim.columns[0]:
        shape: list[Point] = [(left, bottom), (right, bottom), (right, top), (left, top)]
        for k in region.neighbours:
            *slopes, constant = cells.lead(region.token, k)
            shape = _clipped(shape, (*slopes, *([0] * (statement.domain.dimension == 1)), constant))
        shapes.append(shape or [(left, bottom)])
    return shapes


def _clipped(shape: list[Point], f: Affine) -> list[Point]:
    """The part of a convex polygon on which f >= 0."""
    values = [value_at(f, x) for x in shape]
    result = []
    for n, (x, a) in enumerate(zip(shape, values, strict=True)):
        y, b = shape[n - 1], values[n - 1]
        if a * b < 0:
            result.append(tuple(p + (q - p) * a / (a - b) for p, q in zip(x, y, strict=True)))
        if a >= 0:
            result.append(x)
    return result


def _rectangle(box: Box) -> Sequence[tuple[Fraction, Fraction]]:
    return box.sides if box.dimension == 2 else (box.sides[0], _strip(box))


def _strip(box: Box) -> tuple[Fraction, Fraction]:
    return Fraction(0), (box.sides[0][1] - box.sides[0][0]) * THICKNESS
