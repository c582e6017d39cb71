"""Sampled errors of grid heads, before they are built: the constructor's compass, never a proof.

The scores -sum_k beta_k (x_k - c_ik)^2 of a grid head are sums over the axes, so its softmax is a product of softmaxes,
one for each axis, and the head at all points of a lattice is the tensor of values contracted with one banded matrix an
axis.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from attncert.certificates.condition import Condition, estimate_inside
from attncert.certificates.domain import Box
from attncert.certificates.errors import TooLarge
from attncert.certificates.evaluate import evaluate_float
from attncert.certificates.target import Target

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]
Array = TypeVar("Array", bound=npt.NDArray[Any])

MAX_SAMPLES = 40_000_000

_NEGLIGIBLE = 40.0  # tokens whose score is this much below the best do not count in an estimate
_CHUNK = 1 << 20

_OFFSETS = {
    1: (-0.5, -0.49, -0.45, -0.375, -0.25, -0.125, 0.0, 0.125, 0.25, 0.375, 0.45, 0.49, 0.5),
    2: (-0.5, -0.4, -0.25, 0.0, 0.25, 0.4, 0.5),
    3: (-0.5, -0.3, 0.0, 0.3, 0.5),
}
_FEW_OFFSETS = (-0.5, 0.0, 0.5)

_LEAST_POINTS = {1: 64, 2: 48, 3: 24, 4: 12, 5: 6, 6: 6, 7: 6}  # lattice points a side, however few the cells


def samples_needed(box: Box, counts: Sequence[int]) -> int:
    """How many lattice points `grid_error` evaluates."""
    return math.prod(count * len(offsets) for count, offsets in zip(counts, _offsets(box, counts), strict=True))


def grid_error(
    target: Target,
    box: Box,
    counts: Sequence[int],
    beta: float | Sequence[float],
    conditions: Sequence[Condition] = (),
) -> float:
    """The largest |f - T| over a lattice of a few points a cell, for the head with one token f(c_i) a cell.

    Only points of the lattice where the conditions hold count.

    counts: (m,) cells for each side; beta: the inverse temperature, or one for each side. Raises TooLarge beyond
    MAX_SAMPLES lattice points.
    """
    if samples_needed(box, counts) > MAX_SAMPLES:
        raise TooLarge(f"a grid of {float(math.prod(counts)):.2g} tokens is too fine to be sampled")
    head = np.nan_to_num(_on_product(partial(evaluate_float, target), _ticks(box, counts))).reshape(*counts, -1)
    error = lattice_errors(target, box, counts, beta, head, _offsets(box, counts), conditions)
    return float(np.nanmax(error, initial=0.0))


def lattice_errors(
    target: Target,
    box: Box,
    counts: Sequence[int],
    beta: float | Sequence[float],
    values: FloatArray,
    offsets: Sequence[FloatArray],
    conditions: Sequence[Condition] = (),
) -> FloatArray:
    """|f - T| on the points of the lattice where the conditions hold, (points, outputs); NaN where f has no value.

    values: (*counts, outputs), those of the tokens; offsets: for each side the places in a cell.
    """
    betas = np.broadcast_to(beta, len(counts))
    spacing = [float(hi - lo) / n for n, (lo, hi) in zip(counts, box.sides, strict=True)]
    head = values
    for k, n in enumerate(counts):
        head = _contract(head, k, _softmax_band(n, offsets[k], betas[k] * spacing[k] ** 2))
    lattice = _ticks(box, counts, offsets)
    error: FloatArray = np.abs(_on_product(partial(evaluate_float, target), lattice) - head.reshape(-1, head.shape[-1]))
    return error[_on_product(partial(estimate_inside, conditions), lattice)] if conditions else error


def cell_means(
    target: Target,
    box: Box,
    counts: Sequence[int],
    offsets: Sequence[FloatArray],
    conditions: Sequence[Condition] = (),
) -> FloatArray:
    """The mean of f over the lattice points of each cell, (*counts, outputs), leaving out points outside the domain
    and those where f has no value; 0 where none is left.
    """
    lattice = _ticks(box, counts, offsets)
    values = _on_product(partial(evaluate_float, target), lattice)
    if conditions:
        values[~_on_product(partial(estimate_inside, conditions), lattice)] = np.nan
    split = [size for n, places in zip(counts, offsets, strict=True) for size in (n, len(places))]
    cells = values.reshape(*split, -1)
    known, within = np.isfinite(cells), tuple(range(1, 2 * len(counts), 2))
    means: FloatArray = np.where(known, cells, 0.0).sum(axis=within) / np.maximum(known.sum(axis=within), 1)
    return means


def sampled_inside(
    box: Box, counts: Sequence[int], offsets: Sequence[FloatArray], conditions: Sequence[Condition]
) -> BoolArray | None:
    """Which points of the lattice seem to lie in the domain; None without conditions."""
    return _on_product(partial(estimate_inside, conditions), _ticks(box, counts, offsets)) if conditions else None


def best_weights(count: int, offsets: FloatArray, sharpness: float) -> FloatArray:
    """The largest softmax weight at each point of one axis, (count * offsets,); sharpness is beta h^2."""
    weights: FloatArray = _softmax_band(count, offsets, sharpness)[1].max(axis=2).ravel()
    return weights


def _ticks(box: Box, counts: Sequence[int], offsets: Sequence[FloatArray] | None = None) -> list[FloatArray]:
    """The coordinates of the lattice for each side; the centres of the cells without offsets."""
    places = offsets or [np.zeros(1)] * len(counts)
    ticks = []
    for n, (lo, hi), offset in zip(counts, box.sides, places, strict=True):
        spacing = float(hi - lo) / n
        ticks.append(np.add.outer(float(lo) + spacing * (np.arange(n) + 0.5), offset * spacing).ravel())
    return ticks


def _offsets(box: Box, counts: Sequence[int]) -> list[FloatArray]:
    """For each side the places in a cell, in cells from its centre: more where the cells are few.

    A side of length 0 has one.
    """
    moving = [lo < hi for lo, hi in box.sides]
    places = np.array(_OFFSETS.get(sum(moving), _FEW_OFFSETS))
    least = _LEAST_POINTS.get(sum(moving), 0)
    return [
        (np.linspace(-0.5, 0.5, least // count + 1) if least > count * len(places) else places)
        if moves
        else np.zeros(1)
        for moves, count in zip(moving, counts, strict=True)
    ]


def _on_product(function: Callable[[FloatArray], Array], axes: Sequence[FloatArray]) -> Array:
    """A function of points (P, m) on the product of the axes."""
    mesh = np.meshgrid(*axes, indexing="ij", copy=False)
    total = mesh[0].size
    parts = []
    for start in range(0, total, _CHUNK):
        index = np.unravel_index(np.arange(start, min(start + _CHUNK, total)), mesh[0].shape)
        points = np.stack([axis[i] for axis, i in zip(axes, index, strict=True)], axis=1)
        parts.append(function(points))
    return np.concatenate(parts)  # type: ignore[return-value]


def _softmax_band(count: int, offsets: FloatArray, sharpness: float) -> tuple[npt.NDArray[np.int64], FloatArray]:
    """Neighbours (count, band) of each cell, and their weights (count, offsets, band); sharpness is beta h^2."""
    reach = count if sharpness <= 0 else min(count, math.ceil(math.sqrt(_NEGLIGIBLE / sharpness)) + 1)
    shift = np.arange(-reach, reach + 1)
    neighbour = np.arange(count)[:, None] + shift
    score = -sharpness * (offsets[:, None] - shift) ** 2
    weight = np.where(
        ((neighbour >= 0) & (neighbour < count))[:, None, :], np.exp(score - score.max(axis=1, keepdims=True)), 0.0
    )
    return np.clip(neighbour, 0, count - 1), weight / weight.sum(axis=2, keepdims=True)


def _contract(tensor: FloatArray, axis: int, band: tuple[npt.NDArray[np.int64], FloatArray]) -> FloatArray:
    """Replace an axis of N tokens by one of N times offsets lattice points."""
    neighbour, weight = band
    moved = np.moveaxis(tensor, axis, 0)
    flat = np.ascontiguousarray(moved).reshape(moved.shape[0], -1)
    out = np.zeros((*weight.shape[:2], flat.shape[1]))
    for j in range(neighbour.shape[1]):
        out += weight[:, :, j, None] * flat[neighbour[:, j], None, :]
    return np.moveaxis(out.reshape(-1, *moved.shape[1:]), 0, axis)
