"""The construction with affine values: where it cuts, what it finds, and certificates from the command line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import attncert
from attncert.api import Certificate
from attncert.certificates.claim import SupError
from attncert.certificates.domain import parse_box
from attncert.certificates.errors import InputError, InvalidTarget, TooLarge
from attncert.certificates.evaluate import evaluate_float
from attncert.certificates.target import InputSpace, Target, parse_target
from attncert.cli import main
from attncert.construct import affine
from attncert.construct.affine import Cells, affine_candidates
from attncert.construct.grading import axis_of
from attncert.construct.pieces import pieces_of
from attncert.verifier.reduction import reduce_head


def target_of(source: str, m: int = 1) -> Target:
    return parse_target(source, InputSpace((m, 1)))


# ---------------------------------------------------------------------------------------------------------------------
# Where to cut


@pytest.mark.parametrize(
    ("source", "domain", "kinks"),
    [
        ("abs(x-1/3)", "[-1,1]", [Fraction(1, 3)]),
        ("abs(x-1/3) + x**2", "[-1,1]", [Fraction(1, 3)]),
        ("max(x, 0.2) - min(sin(x), 1/2)/3", "[0,1]", [Fraction(1, 5), None]),
        ("where(x < 0.77, x, 2*x - 0.77)", "[0,2]", [Fraction(77, 100)]),
        ("sin(20*x)", "[0,1]", []),
        ("exp(-(30*x)**2)", "[-1,1]", []),
        ("1", "[0,1]", []),
        ("abs(x0 - x1)", "[0,1]^2", []),
        ("abs(x0 - 1/4) + x1", "[0,1]^2", [Fraction(1, 4)]),
    ],
)
def test_kinks_across_an_axis_are_found(source: str, domain: str, kinks: Sequence[Fraction | None]) -> None:
    box = parse_box(domain)
    axis = axis_of(target_of(source, box.dimension), box, 0)
    assert len(axis.kinks) == len(kinks)
    for found, known in zip(axis.kinks, kinks, strict=True):
        assert known is None or found == known
    if None in kinks:
        assert abs(float(axis.kinks[1]) - np.arcsin(0.5)) < 1e-9


@pytest.mark.parametrize("graded", [True, False])
@pytest.mark.parametrize("cells", [1, 2, 7, 50])
def test_cuts_are_the_ends_the_kinks_and_more_where_it_bends(cells: int, graded: bool) -> None:
    box = parse_box("[-1,2]")
    axis = axis_of(target_of("max(x, 0) + exp(-50*(x-1)**2)"), box, 0)
    cuts = axis.cuts(cells, graded)
    assert cuts == sorted(set(cuts))
    assert (cuts[0], cuts[-1]) == box.sides[0]
    assert 0 in cuts
    assert abs(len(cuts) - 1 - max(cells, 2)) <= 1
    if graded and cells == 50:
        assert sum(0.6 < cut < 1.4 for cut in cuts) > 2 * sum(cut < 0.6 for cut in cuts)


@pytest.mark.parametrize(
    ("source", "m", "pieces", "sign"),
    [
        ("abs(x-1/3)", 1, 2, 1),
        ("-abs(x)", 1, 2, -1),
        ("max(x0, x1)", 2, 2, 1),
        ("min(x0, x1, 0.3) + x0", 2, 3, -1),
        ("abs(x0) + abs(x1)", 2, 4, 1),
        ("abs(x0) - abs(x1)", 2, None, 1),
        ("x0 + x1", 2, 1, 1),
        ("x0*x1", 2, None, 1),
        ("x0**2", 2, None, 1),
        ("abs(abs(x)-1/2)", 1, None, 1),
    ],
)
def test_pieces_of_maxima_and_minima(source: str, m: int, pieces: int | None, sign: int) -> None:
    box = parse_box("x".join(["[-1,1]"] * m))
    found = pieces_of(target_of(source, m), box)
    assert (None if found is None else len(found.constants)) == pieces
    if found is not None:
        assert found.sign == sign
        points = np.random.default_rng(0).uniform(-1, 1, (200, m))
        planes = points @ np.array([[float(g) for g in row] for row in found.slopes]).T
        planes += np.array([float(u) for u in found.constants])
        envelope = planes.max(axis=1) if sign > 0 else planes.min(axis=1)
        assert envelope == pytest.approx(evaluate_float(target_of(source, m), points)[:, 0], abs=1e-9)


def test_regions_of_the_scores_are_the_cells() -> None:
    """The sums over the faces below are best in the cell, whatever the sharpness of each face."""
    cuts = (tuple(map(Fraction, ("-1", "-1/2", "1/3", "1/2", "4"))),)
    cells = Cells(cuts, (tuple(map(Fraction, (100, 3, 700))),))
    sums = cells.sums(0)
    for n in range(4):
        x = (cuts[0][n] + cuts[0][n + 1]) / 2
        scores = [key * x + bias for key, bias in sums]
        assert max(range(4), key=scores.__getitem__) == n
        weights = cells.weights(0, np.array([float(x)]))[0]
        exact = np.exp([float(score - max(scores)) for score in scores])
        assert weights == pytest.approx(exact, rel=1e-9)


# ---------------------------------------------------------------------------------------------------------------------
# What is found


@pytest.mark.parametrize(
    ("source", "domain", "tolerance", "most"),
    [
        ("abs(x-1/3)", "[-1,1]", "1e-3", 2),
        ("abs(x-0.3217)", "[-1,1]", "1e-5", 2),
        ("-abs(x)", "[-1,1]", "1e-2", 2),
        ("sin(2*pi*x)", "[0,1]", "1e-3", 4),
        ("abs(x-1/3)+x**2/3", "[-1,1]", "1e-3", 6),
        ("tanh(50*x)", "[-1,1]", "1e-3", 8),
        ("2*x-1/3", "[-1,1]", "1e-6", 1),
        ("[x, x**2]", "[0,1]", "1e-2", 3),
        ("exp(-x)", "[1/3,1/3]", "1e-6", 1),
        ("max(x0,x1)", "[-1,1]^2", "0.1", 2),
        ("x0+2*x1", "[0,1]^2", "1e-3", 1),
    ],
)
def test_few_tokens_are_enough(source: str, domain: str, tolerance: str, most: int) -> None:
    result = attncert.certify(source, domain=domain, tolerance=tolerance, method="affine")
    assert result.verdict == "proved"
    assert result.tokens <= most
    assert result.notes["method"] == "affine"
    assert "none" in result.notes["apriori"]


def test_conditions_leave_out_cells() -> None:
    disc = attncert.certify(
        "exp(x0*x1)", domain="[-1,1]^2", where=["x0**2 + x1**2 <= 1"], tolerance="0.1", method="affine"
    )
    assert disc.verdict == "proved"


def test_sequences_have_a_block_for_each_column() -> None:
    result = attncert.certify(
        "[[X[0,0]*X[0,1], X[1,1]], [X[0,0], X[1,0]-X[0,1]]]",
        domain="[0,1]^4",
        shape="2x2",
        tolerance="0.3",
        method="affine",
    )
    assert result.verdict == "proved"
    assert "gate" in result.notes


def test_values_of_cross_attention_depend_on_keys_alone() -> None:
    result = attncert.certify(
        "K[0,0]**2 + Q[0,0]/2", domain="[0,1]^2", attention="cross", tolerance="0.1", method="affine"
    )
    assert result.verdict == "proved"
    assert result.certificate is not None
    (head,) = reduce_head(result.certificate.statement.attention)
    assert list(head.slopes) == [0]


def test_sharp_cells_are_fitted_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """More coefficients than are found together."""
    monkeypatch.setattr(affine, "TOGETHER", 0)
    target, box = target_of("sin(6*x)"), parse_box("[0,1]")
    candidate = next(affine_candidates(target, box, Fraction(1, 20), precision=106))
    tokens = candidate.attention.tokens
    assert 2 < tokens < 20
    assert candidate.estimate <= 0.05
    (head,) = reduce_head(candidate.attention)
    assert list(head.slopes) == [0]


@pytest.mark.parametrize(
    ("source", "domain", "error", "message"),
    [
        ("sign(x)", "[-1,1]", InvalidTarget, "jumps"),
        ("1/x", "[-1,1]", InvalidTarget, "x = "),
        ("sin(1e7*x)", "[0,1]", TooLarge, "more than"),
    ],
)
def test_what_cannot_be_constructed(source: str, domain: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        attncert.certify(source, domain=domain, tolerance="1e-3", method="affine")


def test_other_norms_and_a_priori_heads_are_refused() -> None:
    with pytest.raises(InputError, match="sup norm"):
        attncert.certify("x", domain="[0,1]", tolerance="0.1", norm="2", method="affine")
    with pytest.raises(InvalidTarget, match="no a-priori bound"):
        attncert.certify("x", domain="[0,1]", tolerance="0.1", method="affine", apriori=True)


@pytest.mark.parametrize(
    ("source", "domain", "options", "tolerance", "boxes"),
    [
        ("sin(K[0,0] + 2*Q[0,0])", "[0,1]^2", {"attention": "cross"}, "0.1", 1000),
        ("x0+x1", "[0,1]^2", {}, "1e-8", 100),
        ("2*x0-x1/3", "[-1,1]^2", {}, "1e-40", 100),
        ("x0*x1", "[0,1]^2", {"where": ["x0+x1<=1"]}, "0.1", 5000),
    ],
)
def test_proofs_take_few_boxes(source: str, domain: str, options: dict[str, Any], tolerance: str, boxes: int) -> None:
    """Axes along which the scores do not change are halved too, and heads that are nearly exact are no trouble."""
    result = attncert.certify(source, domain=domain, tolerance=tolerance, method="affine", **options)
    assert result.verdict == "proved"
    assert result.boxes <= boxes


def test_the_effort_is_bounded() -> None:
    target, box = target_of("sin(30*x)"), parse_box("[0,1]")
    with pytest.raises(TooLarge, match="takes too long"):
        next(affine_candidates(target, box, Fraction(1, 10**6), precision=106, effort=1e6))


@pytest.mark.parametrize("seed", range(4))
def test_false_claims_about_affine_heads_are_not_proved(seed: int) -> None:
    """A tolerance below an error that some point has, however the head was made."""
    source, domain, options = [
        ("sin(2*pi*x)", "[0,1]", {}),
        ("abs(x-1/3)", "[-1,1]", {}),
        ("x0*x1", "[0,1]^2", {"where": ["x0 + x1 <= 1"]}),
        ("K[0,0]**2 + Q[0,0]/2", "[0,1]^2", {"attention": "cross"}),
    ][seed]
    made = attncert.construct_head(source, domain=domain, tolerance="0.1", method="affine", **options)
    lower = Fraction(attncert.bound(made, gap="0.05", budget=5).error_lower or "0")
    assert lower > 0
    for part in (Fraction(999, 1000), Fraction(1, 2)):
        false = replace(made, statement=replace(made.statement, claim=SupError(lower * part), spelling=None))
        assert attncert.verify(false, budget=3).verdict in ("refuted", "undecided")


# ---------------------------------------------------------------------------------------------------------------------
# From the command line


def test_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, tight, regions = [str(tmp_path / name) for name in ("abs.json", "tight.json", "regions.json")]
    arguments = ["abs(x-1/3)", "--domain", "[-1,1]", "--tol", "1e-3", "--method", "affine", "-o", path, "--json"]
    assert main(["certify", *arguments]) == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["verdict"], said["tokens"]) == ("proved", 2)
    assert main(["check", path]) == 0
    assert main(["show", path]) == 0
    assert main(["bound", path, "--gap", "1e-4", "-o", tight]) == 0
    assert main(["regions", path, "-o", regions]) == 0
    assert main(["certify", "sin(x)", "--domain", "[0,1]", "--tol", "1", "--norm", "2", "--method", "affine"]) == 2
    assert "sup norm" in capsys.readouterr().err
    certificate = Certificate.load(path)
    assert isinstance(certificate.statement.claim, SupError)
    head = certificate.statement.attention
    assert head(np.array([[0.5]])).shape == (1, 1)
    assert abs(float(head(np.array([[1.0]]))[0, 0]) - 2 / 3) < 1e-3
