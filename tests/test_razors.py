"""The kernel on both sides of an edge: what it only just accepts, and what it rejects for a unit in the last place."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from heads import kernel_says, sealed
from make_razors import ESTABLISHED, NOT_ENOUGH

from attncert.verifier import kernel

FOLDER = Path(__file__).parent / "razor"
LEAST = json.loads((FOLDER.parent / "least_limits.json").read_text())
RAZORS = sorted(FOLDER.glob("*.json"))


def test_the_folder_is_complete() -> None:
    assert len(RAZORS) > 400
    assert sorted(FOLDER.iterdir()) == sorted([*RAZORS, *(path.with_suffix(".edge") for path in RAZORS)])


@pytest.mark.parametrize("path", RAZORS, ids=lambda path: path.stem)
def test_a_unit_decides(path: Path) -> None:
    data = path.read_bytes()
    assert kernel_says(data) in ESTABLISHED
    document = json.loads(data)
    place, number = json.loads(path.with_suffix(".edge").read_text())
    at = document
    for step in place[:-1]:
        at = at[step]
    at[place[-1]] = number
    assert kernel_says(sealed(document)) in NOT_ENOUGH


@pytest.mark.parametrize("name", LEAST)
def test_limits_count_exactly(name: str) -> None:
    data = (FOLDER.parent / name).read_bytes()
    assert len(LEAST[name]) > 4
    for limit, least in LEAST[name].items():
        assert kernel_says(data, replace(kernel.Limits(), **{limit: least})) in ESTABLISHED
        assert kernel_says(data, replace(kernel.Limits(), **{limit: least - 1})) in ("limit", "leaf", "undefined"), (
            limit
        )
