"""Power diagrams refined where the error is largest: far fewer tokens than the grid for kinks, layers and jumps."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from attncert import certify, construct_head
from attncert.certificates.claim import LpError, SupError
from attncert.certificates.deadline import NEVER
from attncert.certificates.domain import parse_box
from attncert.certificates.errors import InvalidTarget, TooLarge
from attncert.certificates.target import InputSpace, parse_target
from attncert.construct.adaptive import MOST_EFFORT, _Head, _Search


def search(source: str, domain: str, claim: SupError | LpError) -> _Search:
    box = parse_box(domain)
    return _Search(parse_target(source, InputSpace((box.dimension, 1))), box, claim, (), NEVER, MOST_EFFORT)


@pytest.mark.parametrize(
    ("target", "domain", "tolerance", "norm", "most"),
    [
        ("tanh(50*x)", "[-1,1]", "0.01", "inf", 2),
        ("abs(x - 1/3)", "[-1,1]", "0.02", "inf", 6),
        ("1/(1+25*x**2)", "[-1,1]", "0.01", "inf", 5),
        ("sign(x - 1/3)", "[-1,1]", "0.01", "1", 2),
        ("where(x < 1/4, 0, where(x < 1/2, 1, 1/3))", "[0,1]", "0.1", "2", 4),
        ("x0 + abs(x1)", "[-1,1]^2", "0.25", "inf", 16),
    ],
)
def test_proved_with_few_tokens(target: str, domain: str, tolerance: str, norm: str, most: int) -> None:
    request: dict[str, Any] = {"target": target, "domain": domain, "tolerance": tolerance, "norm": norm}
    result = certify(**request, method="adaptive")
    assert result.verdict == "proved", result.detail
    assert result.tokens <= most
    assert result.notes["method"] == "adaptive"
    assert Fraction(result.error_upper or "inf") <= Fraction(tolerance)
    grid = certify(**request, method="uniform")
    assert grid.tokens >= result.tokens
    assert "tokens" in result.notes["paper"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "domain", "tolerance", "norm", "most"),
    [
        ("exp(-100*(x0-x1)**2)", "[0,1]^2", "0.05", "inf", 4),
        ("where(x0**2 + x1**2 <= 1/2, 1, 0)", "[-1,1]^2", "0.3", "2", 12),
    ],
)
def test_layers_and_discs_in_the_plane(target: str, domain: str, tolerance: str, norm: str, most: int) -> None:
    result = certify(target, domain=domain, tolerance=tolerance, norm=norm, method="adaptive")
    assert (result.verdict, result.tokens <= most) == ("proved", True)


def test_an_inserted_token_takes_half_of_the_weight_where_it_is_inserted() -> None:
    found = search("sin(3*x)", "[0,2]", SupError(Fraction(1, 10)))
    random = np.random.default_rng(0)
    head = _Head(random.normal(size=(4, 1)), random.normal(size=4), random.normal(size=(4, 1)))
    more = found._inserted(head, 300)
    weight = more.weights(found.u)[:, -1]
    assert weight[300] == pytest.approx(0.5)
    assert int(weight.argmax()) == 300


def test_steps_follow_the_derivatives() -> None:
    """Without damping a step is that of Gauss and Newton: its prediction agrees with a small step of the head."""
    found = search("sin(3*x0)*x1", "[0,1]^2", SupError(Fraction(1, 10)))
    random = np.random.default_rng(1)
    head = _Head(random.normal(size=(3, 2)), random.normal(size=3), random.normal(size=(3, 1)))
    r = found.f - head.weights(found.u) @ head.values
    w = np.ones_like(r)
    before = float((r**2).sum())
    losses = []
    for damping in (1e4, 1e6):
        trial = found._stepped(head, r, w, damping)
        assert trial is not None
        losses.append(before - float(((found.f - trial.weights(found.u) @ trial.values) ** 2).sum()))
    assert losses[0] > 0 < losses[1]
    assert losses[0] / losses[1] == pytest.approx(100, rel=0.05)  # linear in the step: the gradient is right


def test_intervals_change_at_their_edges() -> None:
    found = search("abs(x - 1/3)", "[-1,1]", SupError(Fraction(1, 10)))
    (head, _) = found._halved(6)
    winner = head.weights(found.u).argmax(axis=1)
    changes = found.u[1:, 0][np.diff(winner) > 0]
    assert head.tokens == 6
    assert np.allclose(changes, found.edges[1:-1], atol=3e-3)


def test_one_clear_line() -> None:
    request = {"domain": "[-1,1]", "method": "adaptive"}
    with pytest.raises(InvalidTarget, match="jumps"):
        construct_head("sign(x)", tolerance="0.1", **request)
    with pytest.raises(TooLarge, match="above 1e-07"):
        construct_head("sin(x)", tolerance="1e-9", **request)
    with pytest.raises(InvalidTarget, match="no a-priori bound"):
        construct_head("sin(x)", tolerance="0.1", apriori=True, **request)
    with pytest.raises(InvalidTarget, match="one output column"):
        construct_head("[[x0, x1]]", domain="[0,1]^2", tolerance="0.1", method="adaptive")


def test_with_conditions_vectors_and_cross_attention() -> None:
    triangle = certify("x0*x1", domain="[0,1]^2", where=["x0 + x1 <= 1"], tolerance="0.1", method="adaptive")
    assert (triangle.verdict, triangle.tokens <= 4) == ("proved", True)
    vector = certify("[x, abs(x)]", domain="[-1,1]", tolerance="0.1", method="adaptive")
    assert (vector.verdict, vector.tokens <= 9) == ("proved", True)
    cross = certify("K[0,0]*Q[0,0]", domain="[0,1]^2", tolerance="0.1", attention="cross", method="adaptive")
    assert (cross.verdict, cross.tokens <= 5) == ("proved", True)
