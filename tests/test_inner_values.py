"""The numbers inside the kernel are those on record: tests/inner_values.json."""

from __future__ import annotations

import json

import pytest

from attncert.verifier import kernel
from benchmarks.inner_values import RECORD, inner_values, plain


def test_the_numbers_inside_the_kernel_are_those_on_record() -> None:
    """After a change that is meant: python -m benchmarks.inner_values."""
    assert inner_values(kernel) == json.loads(RECORD.read_text())


def test_a_unit_in_an_error_term_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    known = json.loads(RECORD.read_text())
    assert len(known) > 80
    exact = kernel.odd_series

    def wider(y: int, W: int, sign: int) -> kernel.Interval:
        lo, hi = exact(y, W, sign)
        return lo, hi + 1

    monkeypatch.setattr(kernel, "odd_series", wider)
    changed = inner_values(kernel)
    monkeypatch.undo()
    kernel.constant.cache_clear()
    kernel.point.cache_clear()
    assert {name for name in known if changed.get(name) != known[name]} >= {"constant", "log_point", "atan_point"}


def test_only_numbers_count() -> None:
    assert plain((1, [2, "x", None], {3: 4})) == "(1,(2,x,None),(3,4))"
    assert plain([1, object()]) is None
