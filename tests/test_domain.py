from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from attncert.certificates.condition import parse_condition, require_points
from attncert.certificates.domain import Box, box_from_json, parse_box
from attncert.certificates.errors import InvalidDomain
from attncert.certificates.target import InputSpace


@pytest.mark.parametrize(
    ("text", "sides"),
    [
        ("[0,1]", [(0, 1)]),
        ("[0,1]^2", [(0, 1), (0, 1)]),
        ("[-1,1]x[0,2]", [(-1, 1), (0, 2)]),
        (" [ 0 , 1 ] ^ 2 x [2,3] ", [(0, 1), (0, 1), (2, 3)]),
        ("[0.1,1/3]", [(Fraction(1, 10), Fraction(1, 3))]),
        ("[1,1]", [(1, 1)]),
        ("[0x1.8p+0,2]", [(Fraction(3, 2), 2)]),
        ("[0,1]*[0,1]", [(0, 1), (0, 1)]),
    ],
)
def test_boxes_are_read_exactly(text, sides):
    assert parse_box(text).sides == tuple((Fraction(lo), Fraction(hi)) for lo, hi in sides)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "expected a side"),
        ("0,1", "expected a side"),
        ("[0,1", "expected a side"),
        ("[0;1]", "expected a side"),
        ("[1,0]", "reversed"),
        ("[0,inf]", "not a finite end"),
        ("[-oo,1]", "not a finite end"),
        ("[0,nan]", "not a finite end"),
        ("[0,]", "missing"),
        ("[0,pi]", "not an exact number"),
        ("[0,1]^0", "between 1 and"),
        ("[0,1]^99", "between 1 and"),
        ("[0,1]^36x[0,1]", "37 sides"),
        ("[0,1]x", "expected a side"),
        ("[0,1] [0,1]", "expected x"),
    ],
)
def test_bad_domains_are_refused_with_the_reason(text, reason):
    with pytest.raises(InvalidDomain, match=reason) as caught:
        parse_box(text)
    assert "\n" not in str(caught.value)


rationals = st.fractions(max_denominator=10**6)


@given(st.lists(st.tuples(rationals, rationals), min_size=1, max_size=5))
def test_spelling_and_json_round_trip(pairs):
    box = Box(tuple((min(pair), max(pair)) for pair in pairs))
    assert parse_box(str(box)) == box
    assert box_from_json(box.to_json()) == box


def test_membership_is_exact():
    box = parse_box("[0,1/3]^2")
    assert (Fraction(1, 3), Fraction(0)) in box
    assert (Fraction(1, 3) + Fraction(1, 10**40), Fraction(0)) not in box
    assert (Fraction(0),) not in box


@pytest.mark.parametrize(
    "value", [None, {}, {"box": 1}, {"box": [["0"]]}, {"box": [[0, 1]]}, {"box": []}, {"box": [["1", "0"]]}]
)
def test_bad_json_domains_are_refused(value):
    with pytest.raises(InvalidDomain):
        box_from_json(value)


@pytest.mark.parametrize(
    "conditions", [["x0 > 2"], ["x0 + x1 < -1"], ["x0 < 1/3", "x0 > 1/2"], ["x0**2 + x1**2 > 5/2"]]
)
def test_conditions_that_leave_nothing_are_refused(conditions: list[str]) -> None:
    box = parse_box("[0,1]^2")
    with pytest.raises(InvalidDomain, match="leave nothing"):
        require_points([parse_condition(line, InputSpace((2, 1))) for line in conditions], box)


@pytest.mark.parametrize("conditions", [[], ["x0 >= 1"], ["x0 <= x1", "x0 >= x1"], ["x0*x1 > 0.999"]])
def test_conditions_that_leave_something_are_kept(conditions: list[str]) -> None:
    require_points([parse_condition(line, InputSpace((2, 1))) for line in conditions], parse_box("[0,1]^2"))
