"""The numbers inside the kernel are those on record: tests/inner_values.json."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest

from attncert.verifier import kernel
from benchmarks.inner_values import RECORD, inner_values, spelled
from benchmarks.mutate_kernel import KERNEL, Source


def test_the_numbers_inside_the_kernel_are_those_on_record() -> None:
    """After a change that is meant: python -m benchmarks.inner_values."""
    assert inner_values(kernel) == json.loads(RECORD.read_text())


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("total + 3 * j", "total + 4 * j", {"odd_series", "constant", "log_point", "atan_point"}),
        ("lo, hi = total - 2 * off", "lo, hi = total - 3 * off", {"exp_point"}),
    ],
)
def test_an_error_term_that_no_verdict_depends_on_shows(old: str, new: str, where: set[str]) -> None:
    """Of both more units are stated than are needed; 16 bits or more are rounded away before the function returns."""
    text = KERNEL.read_text()
    assert text.count(old) == 1
    broken = Source(text.replace(old, new)).module(name="kernel_with_another_error")
    known, changed = json.loads(RECORD.read_text()), inner_values(broken)
    assert len(known) > 80
    assert {name for name in known if changed[name] != known[name]} - {"plus", "scaled", "outward"} == where


def test_what_cannot_be_spelled_does_not_count() -> None:
    assert spelled((1, [Fraction(1, 2), "x", None], {3: 4})) == "(1, [Fraction(1, 2), 'x', None], {3: 4})"
    assert spelled([1, object()]) == spelled(object()) == ""
