"""The choice among the constructions: the fewest tokens that prove the tolerance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from itertools import product
from typing import Any

import pytest

from attncert import certify
from attncert.certificates.claim import SupError
from attncert.certificates.domain import parse_box
from attncert.certificates.errors import InputError, InvalidTarget, TooLarge
from attncert.certificates.matrix import row_entry
from attncert.certificates.target import InputSpace, parse_target
from attncert.construct import affine, methods
from attncert.construct.methods import Method, Task, candidates
from attncert.construct.uniform import Candidate, uniform_candidates
from attncert.construct.values import largest_value
from attncert.verifier.reduction import reduce_head


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
    for name in methods.METHODS:
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

    grid = methods.METHODS["uniform"]
    entries = {"a": Method(sizes(["0.3", "0.1"])), "b": Method(sizes(["0.2", "0.05"])), "uniform": grid}
    monkeypatch.setattr(methods, "METHODS", entries)
    found = list(candidates(task("x", "[0,1]", "0.02"), "auto"))
    tokens = [candidate.attention.tokens for candidate in found]
    assert [candidate.notes["method"] for candidate in found[:5]] == ["new"] * 4 + ["uniform"]
    assert tokens[:-1] == sorted(tokens[:-1])
    assert found[-1].attention == found[0].attention  # no error was sampled of it
    assert [candidate.is_last for candidate in found] == [False] * (len(found) - 1) + [True]


def test_a_head_that_fails_leaves_the_others_their_turn() -> None:
    """The affine head for this tolerance has fewer tokens, but does not survive the rounding."""
    result = certify("sin(2*pi*x)", domain="[0,1]", tolerance="1e-5", dtype="float32")
    assert (result.verdict, result.notes["method"]) == ("proved", "spectral")


def test_constructions_go_farther_where_heads_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """A construction that gave up at the tokens of another one is asked again before that takes more."""
    asked: list[int | None] = []

    def head(tokens: int, estimate: float, is_last: bool) -> Candidate:
        grid = next(methods.METHODS["uniform"].make(task("x", "[0,1]", str(Fraction(1, 2 * tokens)))))
        return replace(grid, estimate=estimate, notes={"method": f"{tokens}"}, is_last=is_last)

    made = {tolerance: head(tolerance, 1 / tolerance, is_last=False) for tolerance in (2, 4, 6, 8)}
    sizes = {key: each.attention.tokens for key, each in made.items()}

    def first(wanted: Task) -> Iterator[Candidate]:
        yield from (made[2], made[6])

    def second(wanted: Task) -> Iterator[Candidate]:
        asked.append(wanted.limit)
        if wanted.limit is not None and wanted.limit < sizes[4]:
            raise TooLarge("more")
        yield from (made[4], made[8])

    last = methods.METHODS["uniform"]
    monkeypatch.setattr(methods, "METHODS", {"a": Method(first), "b": Method(second), "uniform": last})
    found = [each.notes["method"] for each in candidates(task("x", "[0,1]", "0.004"), "auto")]
    assert found[:4] == ["2", "4", "6", "8"]
    assert asked[:2] == [sizes[2] - 1, sizes[6] - 1]


@pytest.mark.parametrize("where", [[], ["x0**2 + x1**2 <= 1"]])
def test_a_proof_that_takes_too_many_boxes_is_left_to_another_head(
    where: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    request: dict[str, Any] = {"domain": "[-1,1]^2", "tolerance": "0.1", "where": where}
    assert certify("exp(x0*x1)", **request).notes["method"] == "affine"
    monkeypatch.setattr(affine, "BOXES", -10_000)
    result = certify("exp(x0*x1)", **request)
    assert (result.verdict, result.notes["method"] != "affine") == ("proved", True)


@pytest.mark.parametrize("method", ["auto", "affine", "spectral", "adaptive", "uniform"])
@pytest.mark.parametrize(
    ("target", "domain", "message"),
    [
        ("sqrt(x-1/2)", "[0,1]", "undefined at x = 0: square root of a negative number"),
        ("exp(1000*x)", "[0,1]", "could not be shown to be defined and bounded"),
        ("log(x)", "[0,1]", "x = 0"),
        ("1/(x-1/3)", "[0,1]", "x = "),
        ("sign(x0)*x1", "[-1,1]^2", "jumps"),
    ],
)
def test_every_construction_refuses_what_no_head_is_close_to(
    method: str, target: str, domain: str, message: str
) -> None:
    with pytest.raises(InvalidTarget, match=message):
        certify(target, domain=domain, tolerance="0.01", method=method)


@pytest.mark.parametrize("target", ["1e200*x", "1e160*x**2", "1e300*abs(x-1/2)"])
def test_huge_targets_are_refused_without_a_warning(target: str, recwarn: pytest.WarningsRecorder) -> None:
    for method in ("auto", "affine"):
        with pytest.raises(TooLarge):
            certify(target, domain="[0,1]", tolerance="0.01", method=method)
    assert not recwarn.list


@pytest.mark.parametrize(("cap", "method"), [("50", "affine"), ("5", "auto"), ("4", "spectral")])
def test_values_are_bounded_as_asked(cap: str, method: str) -> None:
    """Exactly, over the whole domain, and after rounding."""
    request: dict[str, Any] = {"domain": "[0,1]", "tolerance": "0.01", "method": method}
    for dtype in (None, "float32"):
        result = certify("sin(2*pi*x)", **request, max_value=cap, dtype=dtype)
        assert result.verdict == "proved"
        assert result.certificate is not None
        assert largest_value(result.certificate.statement.attention, parse_box("[0,1]")) <= Fraction(cap)
    with pytest.raises(TooLarge, match="no head with values up to"):
        certify("sin(2*pi*x)", **request, max_value="0.5")


def test_the_largest_value_is_that_of_the_corners() -> None:
    result = certify("x0*x1 + x1", domain="[-1,2]x[0,3]", tolerance="0.05", method="affine")
    assert result.certificate is not None
    head = result.certificate.statement.attention
    (reduced,) = reduce_head(head)
    largest = max(
        abs(row_entry(reduced.values[0], i) + sum(row_entry(rows[0], i) * x[k] for k, rows in reduced.slopes.items()))
        for i in range(head.tokens)
        for x in product((-1, 2), (0, 3))
    )
    assert largest_value(head, parse_box("[-1,2]x[0,3]")) == largest
    assert float(result.notes["max_value"]) == pytest.approx(float(largest), rel=1e-5)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("method", ["affine", "auto"])
def test_rounded_heads_with_affine_values(dtype: str, method: str) -> None:
    result = certify("sin(2*pi*x)", domain="[0,1]", tolerance="1e-3", method=method, dtype=dtype)
    assert (result.verdict, result.tokens, result.notes["dtype"]) == ("proved", 3, dtype)


def test_errors_are_those_of_the_last_resort() -> None:
    with pytest.raises(InvalidTarget, match="jumps"):
        next(candidates(task("sign(x)", "[-1,1]", "0.1"), "auto"))
    with pytest.raises(InputError, match="unknown method 'magic'; this version knows: auto, uniform, "):
        certify("x", domain="[0,1]", tolerance="0.1", method="magic")
    with pytest.raises(InputError, match="for the sup norm"):
        certify("x", domain="[0,1]", tolerance="0.1", method="spectral", norm="2")
