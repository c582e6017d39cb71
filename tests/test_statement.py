"""Statements: their canonical text, their digest, and the parts that must fit together."""

from __future__ import annotations

import copy
import hashlib
import json
import random
from dataclasses import FrozenInstanceError, replace
from fractions import Fraction
from typing import Any

import pytest
from heads import attention_of, random_statement, statement_of, with_tolerance

from attncert.certificates.claim import SupError, claim_from_json, parse_tolerance
from attncert.certificates.domain import parse_box
from attncert.certificates.errors import InputError, InvalidAttention, InvalidCertificate, InvalidClaim, InvalidDomain
from attncert.certificates.statement import Statement, canonical, statement_from_json
from attncert.certificates.target import InputSpace, parse_target

HALF = statement_of("x**2", "[0,1]", [[0, 2]], [0, -1], [["0.25", "3/4"]], "1/2")


def changed(path: str, value: object) -> dict[str, Any]:
    """HALF as JSON, with another value at a dotted path; None takes the key away."""
    statement = copy.deepcopy(json.loads(HALF.text))
    *way, last = path.split(".")
    part = statement
    for key in way:
        part = part[key]
    if value is None:
        del part[last]
    else:
        part[last] = value
    return statement


# --- the canonical text ----------------------------------------------------------------------------------------------


def test_canonical_text_is_sorted_dense_ascii() -> None:
    assert canonical({"b": [1, {"d": "é", "c": None}], "a": True}) == '{"a":true,"b":[1,{"c":null,"d":"\\u00e9"}]}'
    with pytest.raises(ValueError, match="JSON"):
        canonical({"a": float("nan")})


def test_the_text_is_the_documented_object() -> None:
    value = json.loads(HALF.text)
    assert HALF.text == json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    assert set(value) == {"target", "domain", "attention", "claim"}
    assert value["target"] == "x**2"
    assert value["domain"] == {"box": [["0", "1"]]}
    assert value["claim"] == {"kind": "error", "norm": "inf", "tolerance": "0x1p-1"}
    assert set(value["attention"]) == {"kind", "input_shape", "linear", "R", "W_K", "W_Q", "W_V", "W_O"}


def test_the_digest_is_the_sha256_of_the_text() -> None:
    assert HALF.sha256 == hashlib.sha256(HALF.text.encode("ascii")).hexdigest()
    assert len(HALF.sha256) == 64
    assert HALF.sha256 != with_tolerance(HALF, "1/3").sha256
    assert HALF.sha256 != replace(HALF, domain=parse_box("[0,2]")).sha256


def test_random_statements_are_read_back_as_they_were_written() -> None:
    rnd = random.Random(1)
    for _ in range(40):
        statement = random_statement(rnd)
        again = statement_from_json(json.loads(statement.text))
        assert (again.text, again.sha256) == (statement.text, statement.sha256)
        assert again.domain == statement.domain
        assert again.claim == statement.claim
        assert again.target == statement.target
        assert replace(again, spelling=None).text == statement.text  # nothing but the spelling hangs on the spelling


def test_the_authors_spelling_keeps_its_digest() -> None:
    mine = changed("claim.tolerance", "0.50")
    mine["domain"] = {"box": [["0.0", "0x1.0p0"]]}
    statement = statement_from_json(mine)
    assert statement.claim == HALF.claim
    assert statement.domain == HALF.domain
    assert statement.text == canonical(mine)
    assert '"0.50"' in statement.text
    assert statement.sha256 == hashlib.sha256(canonical(mine).encode()).hexdigest() != HALF.sha256
    assert replace(statement, spelling=None).text == HALF.text


def test_white_space_in_a_target_belongs_to_its_spelling() -> None:
    statement = statement_from_json(changed("target", " x ** 2\n"))
    assert json.loads(statement.text)["target"] == " x ** 2\n"
    assert statement.sha256 != HALF.sha256


def test_statements_do_not_change() -> None:
    with pytest.raises(FrozenInstanceError):
        HALF.claim = SupError(Fraction(1))  # type: ignore[misc]


# --- parts that fit --------------------------------------------------------------------------------------------------


def made(
    target: str, domain: str, shape: tuple[int, int], columns: tuple[int, ...] = (0,), outputs: int = 1
) -> Statement:
    """A statement about a head of two tokens with the given shapes."""
    m = shape[0] * shape[1]
    head = attention_of(shape, [[0, 1]] * m, [0, 0], [[0, 1]] * outputs, columns=columns)
    return Statement(parse_target(target, InputSpace(shape)), parse_box(domain), head, SupError(Fraction(1)))


@pytest.mark.parametrize(
    ("target", "domain", "shape", "columns", "outputs"),
    [
        ("x", "[0,1]", (1, 1), (0,), 1),
        ("[x0, x1]", "[0,1]^2", (2, 1), (0,), 2),
        ("[[x0, x1]]", "[0,1]^2", (1, 2), (0, 1), 1),
        ("[[x0, x1, 1], [x1, x0, 2]]", "[0,1]^2", (2, 1), (0, 0, 1), 2),
    ],
)
def test_shapes_that_fit(
    target: str, domain: str, shape: tuple[int, int], columns: tuple[int, ...], outputs: int
) -> None:
    statement = made(target, domain, shape, columns, outputs)
    assert statement.target.shape == statement.attention.output_shape


@pytest.mark.parametrize(
    ("target", "domain", "shape", "columns", "outputs", "error"),
    [
        ("x0", "[0,1]", (2, 1), (0,), 1, InvalidDomain),
        ("x", "[0,1]^2", (1, 1), (0,), 1, InvalidDomain),
        ("[x, x]", "[0,1]", (1, 1), (0,), 1, InvalidAttention),
        ("x", "[0,1]", (1, 1), (0,), 2, InvalidAttention),
        ("[[x, x]]", "[0,1]", (1, 1), (0,), 2, InvalidAttention),
        ("[x, x]", "[0,1]", (1, 1), (0, 1), 1, InvalidAttention),
    ],
)
def test_shapes_that_do_not_fit_are_refused(
    target: str, domain: str, shape: tuple[int, int], columns: tuple[int, ...], outputs: int, error: type[InputError]
) -> None:
    with pytest.raises(error) as caught:
        made(target, domain, shape, columns, outputs)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "statement"),
        ([], "statement"),
        (changed("target", None), "keys target, domain"),
        (changed("claim", None), "keys target, domain"),
        (changed("comment", "mine"), "keys target, domain"),
        (changed("target", 3), "target"),
        (changed("target", ["x"]), "target"),
        (changed("target", "y"), "unknown variable"),
        (changed("target", "x0 + x1"), "unknown variable"),
        (changed("domain", "[0,1]"), "domain"),
        (changed("domain.box", [["1", "0"]]), "reversed"),
        (changed("domain.box", [["0", "1"], ["0", "1"]]), "2 sides"),
        (changed("attention.kind", "other"), "kind"),
        (changed("attention.comment", "mine"), "keys"),
        (changed("claim.kind", "guess"), "guess"),
        (changed("claim.norm", "3/0"), "norm"),
        (changed("claim.norm", None), "the keys kind, norm"),
        (changed("claim.tolerance", 1), "string"),
        (changed("claim.tolerance", "0"), "positive"),
        (changed("claim.tolerance", "-1"), "positive"),
        (changed("claim.tolerance", "five"), "five"),
    ],
)
def test_malformed_statements_are_refused_with_the_reason(value: object, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as caught:
        statement_from_json(value)
    assert "\n" not in str(caught.value)


def test_a_statement_that_is_none_is_an_invalid_certificate() -> None:
    with pytest.raises(InvalidCertificate):
        statement_from_json({"target": "x"})


# --- claims ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.05", Fraction(1, 20)), ("1e-3", Fraction(1, 1000)), ("1/3", Fraction(1, 3)), ("0x1p-4", Fraction(1, 16))],
)
def test_tolerances_are_read_exactly(text: str, value: Fraction) -> None:
    assert parse_tolerance(text) == value
    assert claim_from_json(SupError(value).to_json()) == SupError(value)


@pytest.mark.parametrize("text", ["0", "-0.1", "0e5", "nan", "inf", "", "5%", "0,05", " 0.05", "1/0"])
def test_what_is_no_tolerance_is_refused(text: str) -> None:
    with pytest.raises(InvalidClaim, match="tolerance"):
        parse_tolerance(text)


def test_a_claim_needs_a_positive_tolerance() -> None:
    with pytest.raises(InvalidClaim, match="positive"):
        SupError(Fraction(0))
