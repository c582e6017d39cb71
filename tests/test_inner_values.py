"""The numbers inside the kernel are those on record: tests/inner_values.json."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

from attncert.verifier import kernel
from benchmarks.inner_values import RECORD, inner_values, plain


def test_the_numbers_inside_the_kernel_are_those_on_record() -> None:
    """After a change that is meant: python -m benchmarks.inner_values."""
    assert inner_values(kernel) == json.loads(RECORD.read_text())


def test_an_error_term_that_no_verdict_depends_on_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Errors of 4 units where 3 are stated: pi, ln 2, log and atan round it away, and enclose what they did."""
    text = Path(kernel.__file__).read_text()
    broken = ModuleType("kernel_with_wider_series")
    broken.__file__ = kernel.__file__
    monkeypatch.setitem(sys.modules, broken.__name__, broken)  # dataclasses look there
    assert text.count("total + 3 * j") == 1
    exec(compile(text.replace("total + 3 * j", "total + 4 * j"), kernel.__file__, "exec"), broken.__dict__)
    known, changed = json.loads(RECORD.read_text()), inner_values(broken)
    assert len(known) > 80
    assert {name for name in known if changed.get(name) != known[name]} == {"odd_series", "plus", "scaled"}


def test_only_numbers_count() -> None:
    assert plain((1, [2, "x", None], {3: 4})) == "(1,(2,x,None),(3,4))"
    assert plain([1, object()]) is None
