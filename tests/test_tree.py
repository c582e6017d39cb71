import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from attncert.verifier.tree import SplitTree


def grow(choices):
    """Split nodes as `choices` says (a list of rounds, each a list of (which leaf, axis)); also as nested tuples."""
    tree, leaves, shape = SplitTree(), [0], {}
    for round_ in choices:
        picked = {}
        for which, axis in round_:
            picked[leaves[which % len(leaves)]] = axis
        if not picked:
            continue
        nodes = np.array(list(picked), np.int64)
        lower = tree.split(nodes, np.array(list(picked.values()), np.int8))
        for node, axis, low in zip(picked, picked.values(), lower.tolist(), strict=True):
            shape[node] = (axis, low, low + 1)
            leaves.remove(node)
            leaves += [low, low + 1]
    return tree, shape


def written(shape, node=0):
    if node not in shape:
        return "."
    axis, low, high = shape[node]
    return "0123456789abcdefghijklmnopqrstuvwxyz"[axis] + written(shape, low) + written(shape, high)


@given(st.lists(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 35)), max_size=4), max_size=8))
def test_preorder_agrees_with_the_recursive_definition(choices):
    tree, shape = grow(choices)
    assert tree.preorder() == written(shape)


def test_the_root_alone_is_a_leaf():
    assert SplitTree().preorder() == "."


@given(st.integers(1, 4), st.lists(st.tuples(st.integers(0, 50), st.integers(0, 3)), max_size=12))
def test_several_trees_are_written_one_after_the_other(roots, choices):
    tree, leaves, shape = SplitTree(roots), list(range(roots)), {}
    for which, axis in choices:
        node = leaves.pop(which % len(leaves))
        (low,) = tree.split(np.array([node]), np.array([axis], np.int8)).tolist()
        shape[node] = (axis, low, low + 1)
        leaves += [low, low + 1]
    assert tree.preorders() == [written(shape, root) for root in range(roots)]
    assert tree.preorder() == "".join(tree.preorders())
