"""Weights rounded to a format: each number in the file is one of the format, and what was rounded is certified."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attncert import certify, certify_indicator, certify_partition, construct_head, verify
from attncert.certificates.errors import InputError, TooLarge
from attncert.certificates.numbers import parse_exact
from attncert.construct.rounding import FORMATS, rounded_head

KINDS: dict[str, Any] = {"float64": np.float64, "float32": np.float32}


def numbers(value: object) -> list[Fraction]:
    """Every exact number in the weights of a certificate, as it is spelled in the file."""
    if isinstance(value, str):
        return [parse_exact(value)] if value not in ("self", "cross") else []
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [number for part in parts for number in numbers(part)]


def assert_exact(certificate: Any, dtype: str) -> None:
    found = numbers(json.loads(certificate.to_bytes())["statement"]["attention"])
    assert len(found) > 10
    for x in found:
        assert Fraction(float(KINDS[dtype](float(x)))) == x
    assert certificate.notes["dtype"] == dtype


@given(st.fractions(max_denominator=10**30), st.integers(-160, 120))
def test_float32_is_nearest(x: Fraction, shift: int) -> None:
    x *= Fraction(2) ** shift
    if abs(x) >= 2**127:
        return
    got = FORMATS["float32"].nearest(x)
    assert Fraction(float(np.float32(float(got)))) == got
    near = np.float32(float(got))
    for other in (np.nextafter(near, np.float32(np.inf)), np.nextafter(near, np.float32(-np.inf))):
        assert abs(got - x) <= abs(Fraction(float(other)) - x)


@given(st.fractions(max_denominator=10**30), st.integers(-1100, 1000))
def test_float64_is_what_division_gives(x: Fraction, shift: int) -> None:
    x *= Fraction(2) ** shift
    try:
        expected = x.numerator / x.denominator
    except OverflowError:
        with pytest.raises(TooLarge):
            FORMATS["float64"].nearest(x)
        return
    assert FORMATS["float64"].nearest(x) == Fraction(expected)


def test_ties_subnormals_and_overflow() -> None:
    single = FORMATS["float32"]
    assert single.nearest(Fraction(2**24 + 1)) == 2**24
    assert single.nearest(Fraction(2**24 + 3)) == 2**24 + 4
    # In one step: through float64 this would be a tie, and go down.
    assert single.nearest(2**24 + 1 + Fraction(1, 2**60)) == 2**24 + 2
    assert single.nearest(Fraction(1, 2**150)) == 0
    assert single.nearest(Fraction(3, 2**151)) == Fraction(1, 2**149)
    largest = Fraction(float(np.finfo(np.float32).max))
    assert single.nearest(largest + 2**102) == largest
    with pytest.raises(TooLarge, match="does not fit into float32"):
        single.nearest(largest + 2**103)
    assert single.nearest(-largest) == -largest


@pytest.mark.parametrize("dtype", FORMATS)
@pytest.mark.parametrize(
    "wanted",
    [
        {"target": "sin(2*pi*x)", "domain": "[0,1]", "tolerance": "1e-4"},
        {"target": "sin(2*pi*x)", "domain": "[1/3,2/3]", "tolerance": "0.05", "method": "uniform"},
        {"target": "sign(x - 1/3)", "domain": "[-1,1]", "tolerance": "0.1", "norm": "1"},
        {"target": "sin(K[0,0] + 2*Q[0,0])", "domain": "[0,1]^2", "tolerance": "0.1", "attention": "cross"},
        {"target": "[[X[0,0], X[1,1]], [X[0,1], X[1,0]]]", "domain": "[0,1]^4", "tolerance": "0.3", "shape": "2x2"},
    ],
    ids=["spectral", "uniform", "jump", "cross", "sequence"],
)
def test_every_number_of_a_proved_head_is_in_the_format(wanted: dict[str, str], dtype: str) -> None:
    result = certify(**wanted, dtype=dtype)
    assert result.verdict == "proved", result.detail
    assert result.certificate is not None
    assert_exact(result.certificate, dtype)
    assert result.certificate.check().verdict == "proved"


def test_indicator_and_partition_and_construct() -> None:
    indicator = certify_indicator(domain="[0,1]^2", grid="3x3", delta="0.01", measure="0.3", dtype="float32")
    assert indicator.verdict == "proved"
    assert_exact(indicator.certificate, "float32")
    for grid, domain in (("4x4", "[0,1]^2"), ("5", "[0,1/3]")):  # kept exactly; moved by rounding
        partition = certify_partition(domain=domain, grid=grid, dtype="float32")
        assert partition.verdict == "proved", partition.detail
        assert_exact(partition.certificate, "float32")
    assert_exact(construct_head("exp(x)", domain="[0,1]", tolerance="0.01", dtype="float32"), "float32")


def test_what_does_not_survive_rounding_is_not_proved() -> None:
    with pytest.raises(TooLarge, match="24 bits"):
        certify("sin(2*pi*x)", domain="[0,1]", tolerance="1e-18", method="spectral", dtype="float32")
    certificate = construct_head("sin(2*pi*x)", domain="[0,1]", tolerance="1e-8", method="spectral")
    rounded = rounded_head(certificate.statement.attention, FORMATS["float32"])
    damaged = replace(certificate, statement=replace(certificate.statement, attention=rounded))
    assert verify(damaged).verdict == "refuted"


def test_the_search_goes_on_until_a_head_survives_rounding() -> None:
    exact = certify("sin(2*pi*x)", domain="[0,1]", tolerance="1e-6", method="spectral")
    single = certify("sin(2*pi*x)", domain="[0,1]", tolerance="1e-6", method="spectral", dtype="float32")
    assert (exact.verdict, single.verdict) == ("proved", "proved")
    assert single.tokens > exact.tokens
    assert float(single.notes["max_value"]) < float(exact.notes["max_value"])


def test_a_weight_that_overflows_is_refused() -> None:
    with pytest.raises(TooLarge, match="does not fit into float32"):
        construct_head("1e60*x", domain="[0,1]", tolerance="1e59", method="uniform", dtype="float32")


def test_bad_dtype_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown dtype 'float16'"):
        construct_head("x", domain="[0,1]", tolerance="0.1", dtype="float16")
    command = ["certify", "x", "--domain", "[0,1]", "--tol", "0.1", "--dtype", "float16"]
    done = subprocess.run([sys.executable, "-m", "attncert", *command], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (2, "", 1)
