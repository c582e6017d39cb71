"""Which regions meet, guessed on a lattice of points in float64: a good start for exact searches, and no more."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from attncert.verifier.cells import Cells

LATTICE = 1 << 22
"""Lattice points times tokens that are looked at."""

Lattice = tuple[dict[int, set[int]], dict[int, npt.NDArray[np.float64]]]
"""For each token that wins somewhere on the lattice the tokens next to it there, and such a point, (m,)."""


def guesses(cells: Cells, work: int = LATTICE) -> Lattice:
    """The winners on a lattice, and which of them are next to each other; `work` is points times tokens."""
    free = [k for k, (lo, hi) in enumerate(cells.box.sides) if lo < hi]
    each = max(2, min(4096, int((work / cells.tokens) ** (1 / max(1, len(free))))))
    if each ** len(free) * cells.tokens > 16 * work:
        return {}, {}  # too many variables: even the corners are too many
    axes = [np.linspace(float(lo), float(hi), each if lo < hi else 1) for lo, hi in cells.box.sides]
    points = np.stack([part.ravel() for part in np.meshgrid(*axes, indexing="ij")], axis=1)
    step = max(1, LATTICE // cells.tokens)
    parts = [points[at : at + step] @ cells.rough[:, :-1].T + cells.rough[:, -1] for at in range(0, len(points), step)]
    winners = np.concatenate([part.argmax(axis=1) for part in parts]).reshape([len(axis) for axis in axes])
    tokens, places = np.unique(winners, return_index=True)
    found: dict[int, set[int]] = {int(i): set() for i in tokens}
    for k in free:
        low = winners.take(range(each - 1), axis=k).ravel()
        high = winners.take(range(1, each), axis=k).ravel()
        for a, b in np.unique(np.stack([low, high], axis=1)[low != high], axis=0).tolist():
            found[a].add(b)
            found[b].add(a)
    return found, dict(zip(tokens.tolist(), points[places], strict=True))
