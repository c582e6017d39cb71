"""The choice among the constructions: the fewest tokens that prove the tolerance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from attncert import certify
from attncert.certificates.claim import SupError
from attncert.certificates.domain import parse_box
from attncert.certificates.errors import InputError, InvalidTarget, TooLarge
from attncert.certificates.target import InputSpace, parse_target
from attncert.construct import methods
from attncert.construct.methods import Method, Task, candidates
from attncert.construct.uniform import Candidate, uniform_candidates


def task(source: str, domain: str, tolerance: str, **options: Any) -> Task:
    box = parse_box(domain)
    target = parse_target(source, InputSpace((box.dimension, 1)))
    return Task(target, box, SupError(Fraction(tolerance)), **options)


@pytest.mark.parametrize(
    ("target", "domain", "tolerance", "options"),
    [
        ("sin(2*pi*x)", "[0,1]", "0.05", {}),
        ("sin(2*pi*x)", "[0,1]", "1e-8", {}),
        ("abs(x - 1/3)", "[-1,1]", "0.05", {}),
        ("1/3", "[0,1]", "0.01", {}),
        ("where(x < 0, -x, x)", "[-1,1]", "0.4", {}),
        ("x0*x1", "[0,1]^2", "0.1", {"where": ["x0 + x1 <= 1"]}),
        ("sin(K[0,0] + 2*Q[0,0])", "[0,1]^2", "0.2", {"attention": "cross"}),
    ],
)
def test_auto_needs_no_more_tokens_than_what_it_tries(
    target: str, domain: str, tolerance: str, options: dict[str, Any]
) -> None:
    request = {"target": target, "domain": domain, "tolerance": tolerance, **options}
    auto = certify(**request)
    assert auto.verdict == "proved"
    for name in [name for name, method in methods.METHODS.items() if method.tried]:
        try:
            other = certify(**request, method=name, budget=20)
        except TooLarge:
            continue
        assert other.verdict != "proved" or auto.tokens <= other.tokens


def test_the_paper_stands_beside_other_constructions() -> None:
    result = certify("sin(2*pi*x)", domain="[0,1]", tolerance="0.05")
    assert result.notes["method"] != "uniform"
    assert result.notes["paper"]["tokens"] == 252
    assert "paper" not in certify("sin(2*pi*x)", domain="[0,1]", tolerance="0.05", method="uniform").notes
    huge = certify("sin(2*pi*x)", domain="[0,1]", tolerance="1e-18").notes["paper"]["tokens"]
    assert huge == "1.3e+19"


def test_the_grid_is_searched_as_far_as_the_limit() -> None:
    wanted = task("sin(2*pi*x)", "[0,1]", "0.05")
    options: dict[str, Any] = {"precision": 53, "apriori_only": False}
    free = next(uniform_candidates(wanted.target, wanted.box, Fraction("0.05"), **options)).attention.tokens
    for limit in (free, free + 7):
        found = next(uniform_candidates(wanted.target, wanted.box, Fraction("0.05"), limit=limit, **options))
        assert found.attention.tokens == free
    assert list(uniform_candidates(wanted.target, wanted.box, Fraction("0.05"), limit=free - 1, **options)) == []


def test_heads_come_in_the_order_of_their_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """A new construction joins by its entry in the table; heads of all entries are merged."""

    def sizes(tolerances: list[str]) -> Any:
        def make(wanted: Task) -> Iterator[Candidate]:
            for place, tolerance in enumerate(tolerances):
                head = next(methods.METHODS["uniform"].make(task("x", "[0,1]", tolerance)))
                yield Candidate(head.attention, 0.0, {"method": "new"}, is_last=place == len(tolerances) - 1)

        return make

    entries = {"a": Method(sizes(["0.3", "0.1"])), "b": Method(sizes(["0.2", "0.05"])), **methods.METHODS}
    del entries["spectral"], entries["affine"]
    monkeypatch.setattr(methods, "METHODS", entries)
    found = list(candidates(task("x", "[0,1]", "0.02"), "auto"))
    tokens = [candidate.attention.tokens for candidate in found]
    news = [candidate for candidate in found[:-1] if candidate.notes["method"] == "new"]
    assert found[:4] == news  # the grid for 0.02 takes more tokens than the first
    assert tokens[:4] == sorted(tokens[:4])
    assert {candidate.notes["method"] for candidate in found[4:-1]} >= {"uniform"}
    assert found[-1].attention == found[0].attention
    assert [candidate.is_last for candidate in found] == [False] * (len(found) - 1) + [True]


def test_a_head_that_fails_leaves_the_others_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """The affine head for this tolerance has fewer tokens, but does not survive the rounding."""
    monkeypatch.setitem(methods.METHODS, "affine", replace(methods.METHODS["affine"], tried=True))
    result = certify("sin(2*pi*x)", domain="[0,1]", tolerance="1e-5", dtype="float32")
    assert (result.verdict, result.notes["method"]) == ("proved", "spectral")


def test_errors_are_those_of_the_last_resort() -> None:
    with pytest.raises(InvalidTarget, match="jumps"):
        next(candidates(task("sign(x)", "[-1,1]", "0.1"), "auto"))
    with pytest.raises(InputError, match="unknown method 'magic'; this version knows: auto, uniform, "):
        certify("x", domain="[0,1]", tolerance="0.1", method="magic")
    with pytest.raises(InputError, match="for the sup norm"):
        certify("x", domain="[0,1]", tolerance="0.1", method="spectral", norm="2")
