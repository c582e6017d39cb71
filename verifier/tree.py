"""Split trees: the record of a branch and bound, written in preorder (docs/certificate-format.md, Evidence)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

LEAF = -1
OUTSIDE = -2
SINGULAR = -3
LAYER = -4
AXES = "0123456789abcdefghijklmnopqrstuvwxyz"

LEAF_MARK, OUTSIDE_MARK = ".", "-"
ORDERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
SCORES = ":;<=>?@"

# The codes of leaves are negative: they pick from the end.
_CODES = np.frombuffer((AXES + SCORES[::-1] + ORDERS[::-1] + "!*-.").encode("ascii"), np.uint8)


def taylor(order: int) -> int:
    """The code of a leaf that the Taylor-Jensen rule of an order from 1 to 26 proves."""
    return LAYER - order


def score_box(order: int) -> int:
    """The code of a leaf that the score box proves with a Taylor model of an order from 1 to 7."""
    return LAYER - len(ORDERS) - order


PREORDER_BYTES = 28
"""Bytes of work for each node in writing a tree down, with the text itself."""


class Growth(NamedTuple):
    """One step in the growth of a tree: the nodes were split along `axes`, `code` being the first child's number; or,
    without axes, they are leaves with that code.
    """

    nodes: npt.NDArray[np.int64]
    axes: npt.NDArray[np.int8] | None
    code: int


class SplitTree:
    """A growing binary tree, or several. Node 0 is the root, of several trees the first nodes are; the children of a
    split node are numbered next to each other.

    `steps` records how it grew; nothing in it is ever changed or removed.
    """

    def __init__(self, roots: int = 1) -> None:
        """Start with the roots as leaves."""
        self.steps: list[Growth] = []
        self.roots = self.size = roots
        self.nbytes = 0

    @classmethod
    def grown(cls, steps: Iterable[Growth]) -> SplitTree:
        """The tree that these steps make; raises ValueError when they make none."""
        tree = cls()
        for step in steps:
            if len(step.nodes) and not (step.nodes.min() >= 0 and step.nodes.max() < tree.size):
                raise ValueError("a step names a node that is not there")
            if step.axes is not None and (len(step.axes) != len(step.nodes) or step.code != tree.size):
                raise ValueError("the children of a split are misnumbered")
            tree._grow(step)
        return tree

    def _grow(self, step: Growth) -> None:
        self.steps.append(step)
        self.nbytes += step.nodes.nbytes
        if step.axes is not None:
            self.size += 2 * len(step.nodes)
            self.nbytes += step.axes.nbytes

    def mark(self, nodes: npt.NDArray[np.int64], code: int) -> None:
        """Give leaves another code than LEAF."""
        self._grow(Growth(nodes, None, code))

    def split(self, nodes: npt.NDArray[np.int64], axes: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
        """Split the nodes along the axes; return the lower children (the upper ones follow by 1). Shapes (n,)."""
        first = self.size
        self._grow(Growth(nodes, axes, first))
        return first + 2 * np.arange(len(nodes), dtype=np.int64)

    def preorder(self) -> str:
        """The tree in preorder, one character a node: the axis of a split, or the mark of a leaf; of several trees one
        after the other.
        """
        return self._written()[0]

    def preorders(self) -> list[str]:
        """Each tree in preorder."""
        text, sizes = self._written()
        ends = np.cumsum(sizes).tolist()
        return [text[start:end] for start, end in zip([0, *ends], ends, strict=False)]

    def _written(self) -> tuple[str, npt.NDArray[np.int64]]:
        """The text of all trees, and the number of nodes of each."""
        axis = np.full(self.size, LEAF, np.int8)
        child = np.zeros(self.size, np.int64)
        splits: list[npt.NDArray[np.int64]] = []
        for nodes, axes, code in self.steps:
            if axes is None:
                axis[nodes] = code
            else:
                axis[nodes] = axes
                child[nodes] = code + 2 * np.arange(len(nodes))
                splits.append(nodes)
        size = np.ones(self.size, np.int64)
        # A child is numbered after its parent, so one sweep each way over the recorded splits is enough.
        for nodes in reversed(splits):
            size[nodes] += size[child[nodes]] + size[child[nodes] + 1]
        position = np.zeros(self.size, np.int64)
        position[: self.roots] = np.cumsum(size[: self.roots]) - size[: self.roots]
        for nodes in splits:
            lower = child[nodes]
            position[lower] = position[nodes] + 1
            position[lower + 1] = position[nodes] + 1 + size[lower]
        text = np.empty(self.size, np.uint8)
        text[position] = _CODES[axis]
        return text.tobytes().decode("ascii"), size[: self.roots]
