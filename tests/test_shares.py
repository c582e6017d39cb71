"""Shares of the kernel's work, here and in processes, against the work done at once."""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from attncert import Certificate, certify
from attncert.certificates.evidence import Paving
from attncert.shares import in_processes
from attncert.verifier import kernel
from attncert.verifier.kernel import Rejected, check_bytes

CASES = Path(__file__).parent
ACCEPTED = sorted((CASES / "accept").glob("*.json*"))
REJECTED = sorted((CASES / "reject").glob("*.json*"))


@pytest.mark.parametrize("path", ACCEPTED, ids=lambda path: path.name)
def test_shares_find_what_the_whole_finds(path: Path) -> None:
    data = path.read_bytes()
    assert check_bytes(data, shares=3) == check_bytes(data)


@pytest.mark.parametrize("path", REJECTED, ids=lambda path: path.name)
def test_shares_reject_what_the_whole_rejects(path: Path) -> None:
    """Of two defects a share may find the other one first."""
    with pytest.raises(Rejected):
        check_bytes(path.read_bytes(), shares=3)


@pytest.fixture(scope="module")
def deep() -> Certificate:
    """A certificate whose tree is split more often than `SHARED` times."""
    return certify("sin(20*x)", domain="[0,1]", tolerance="0.02", method="uniform").certificate


def test_processes_find_what_one_finds(deep: Certificate) -> None:
    assert isinstance(deep.evidence, Paving)
    assert deep.check(jobs=3) == deep.check()


def test_each_leaf_belongs_to_one_share(deep: Certificate) -> None:
    done: list[kernel.Share] = []
    counts = []

    def spread(
        function: Callable[[kernel.Share], list[tuple[int, object]]], shares: list[kernel.Share]
    ) -> list[object]:
        done.extend(shares)
        answers = [function(share) for share in shares]
        counts.extend(leaves for ((leaves, _),) in answers)
        return answers

    finding = check_bytes(deep.to_bytes(), shares=5, spread=spread)
    assert done == [(k, 5) for k in range(5)]
    assert sum(counts) == finding.leaves
    assert min(counts) > 0


@pytest.mark.parametrize("place", [0.0, 0.3, 0.77, 1.0])
def test_a_missing_split_is_found_by_the_share_it_belongs_to(deep: Certificate, place: float) -> None:
    """Two leaves made one, anywhere: some share has to find that it is not proved, or that the tree is none."""
    assert isinstance(deep.evidence, Paving)
    tree = deep.evidence.trees[0]
    splits = [at for at in range(len(tree) - 2) if tree[at] == "0" and tree[at + 1] != "0" and tree[at + 2] != "0"]
    at = splits[int(place * (len(splits) - 1))]
    merged = tree[:at] + "." + tree[at + 3 :]
    damaged = replace(deep, evidence=replace(deep.evidence, trees=(merged,)))
    for jobs in (1, 3):
        with pytest.raises(Rejected, match="leaf"):
            damaged.check(jobs=jobs)


@pytest.mark.parametrize("damage", [lambda tree: tree[:-1], lambda tree: tree + ".", lambda tree: tree[:-1] + "0"])
def test_damaged_ends_of_the_tree_are_found_by_shares(deep: Certificate, damage: Callable[[str], str]) -> None:
    assert isinstance(deep.evidence, Paving)
    damaged = replace(deep, evidence=replace(deep.evidence, trees=(damage(deep.evidence.trees[0]),)))
    with pytest.raises(Rejected, match="tree"):
        damaged.check(jobs=2)


def test_a_share_that_is_not_done_is_noticed(deep: Certificate) -> None:
    with pytest.raises(Rejected, match="limit"):
        check_bytes(deep.to_bytes(), shares=3, spread=lambda function, shares: map(function, shares[:2]))


def test_processes_answer_in_order() -> None:
    assert list(in_processes(lambda item: (item, os.getpid()), [3, 1, 2]))[1][0] == 1
    assert os.getpid() not in {pid for _, pid in in_processes(lambda item: (item, os.getpid()), [3, 1, 2])}


def test_processes_send_exceptions_with_their_words() -> None:
    def refuse(item: int) -> None:
        raise Rejected("leaf", f"number {item}")

    with pytest.raises(Rejected) as rejected:
        list(in_processes(refuse, [7, 8]))
    assert (rejected.value.reason, rejected.value.detail, str(rejected.value)) == ("leaf", "number 7", "leaf: number 7")


def test_a_killed_process_is_no_answer(deep: Certificate) -> None:
    with pytest.raises(MemoryError):
        list(in_processes(lambda item: os.kill(os.getpid(), signal.SIGKILL), [1, 2]))
