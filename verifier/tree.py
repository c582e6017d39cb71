"""Split trees: the record of a branch and bound, written in preorder (docs/certificate-format.md, Evidence)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

LEAF = -1
OUTSIDE = -2
SINGULAR = -3
LAYER = -4
AXES = "0123456789abcdefghijklmnopqrstuvwxyz"

LEAF_MARK, OUTSIDE_MARK = ".", "-"
ORDERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

# The codes of leaves are negative: they pick from the end.
_CODES = np.frombuffer((AXES + ORDERS[::-1] + "!*-.").encode("ascii"), np.uint8)


def taylor(order: int) -> int:
    """The code of a leaf that the Taylor-Jensen rule of an order from 1 to 26 proves."""
    return LAYER - order


class SplitTree:
    """A growing binary tree. Node 0 is the root; the children of a split node are numbered next to each other."""

    def __init__(self) -> None:
        """Start with the root as a leaf."""
        self._splits: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int8], int]] = []
        self._marks: list[tuple[npt.NDArray[np.int64], int]] = []
        self.size = 1

    def mark(self, nodes: npt.NDArray[np.int64], code: int) -> None:
        """Give leaves another code than LEAF."""
        self._marks.append((nodes, code))

    def split(self, nodes: npt.NDArray[np.int64], axes: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
        """Split the nodes along the axes; return the lower children (the upper ones follow by 1). Shapes (n,)."""
        first = self.size
        self._splits.append((nodes, axes, first))
        self.size += 2 * len(nodes)
        return first + 2 * np.arange(len(nodes), dtype=np.int64)

    def preorder(self) -> str:
        """The tree in preorder, one character a node: the axis of a split, or the mark of a leaf."""
        axis = np.full(self.size, LEAF, np.int8)
        for nodes, code in self._marks:
            axis[nodes] = code
        child = np.zeros(self.size, np.int64)
        for nodes, axes, first in self._splits:
            axis[nodes] = axes
            child[nodes] = first + 2 * np.arange(len(nodes))
        size = np.ones(self.size, np.int64)
        # A child is numbered after its parent, so one sweep each way over the recorded splits is enough.
        for nodes, _, _ in reversed(self._splits):
            size[nodes] += size[child[nodes]] + size[child[nodes] + 1]
        position = np.zeros(self.size, np.int64)
        for nodes, _, _ in self._splits:
            lower = child[nodes]
            position[lower] = position[nodes] + 1
            position[lower + 1] = position[nodes] + 1 + size[lower]
        text = np.empty(self.size, np.uint8)
        text[position] = _CODES[axis]
        return text.tobytes().decode("ascii")
