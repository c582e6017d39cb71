"""The claims of benchmarks.soundness: their truth by a computation of its own, their networks, and the answers."""

from __future__ import annotations

import csv
import random
from dataclasses import replace
from fractions import Fraction
from itertools import islice, pairwise, product

import mpmath
import numpy as np
import pytest
from heads import error_at, errors_at, inside, points_of
from partitions import failures

from attncert import Certificate
from attncert.certificates.claim import Indicator, LpError, Partition, SupError
from benchmarks.soundness import __main__ as benchmark
from benchmarks.soundness.cases import Case
from benchmarks.soundness.families import FAMILIES, cases
from benchmarks.soundness.running import answers_of, kernel_says, table
from benchmarks.soundness.vnnlib import expressible, network, property_of

ALL = list(cases())
SUP = [case for case in ALL if isinstance(case.statement.claim, SupError)]


def some(claims: list[Case], count: int, seed: str) -> list[Case]:
    return random.Random(seed).sample(claims, count)


def test_there_are_a_thousand_claims_half_of_them_true() -> None:
    assert len(ALL) >= 1000
    assert sum(case.holds for case in ALL) * 2 == len(ALL)
    assert len({case.name for case in ALL}) == len(ALL)
    assert {case.statement.domain.dimension for case in ALL} == {1, 2, 3, 4}
    assert min(case.margin for case in SUP) == Fraction(1, 10**6)


@pytest.mark.parametrize(
    "case", some([case for case in SUP if not case.holds], 30, "false"), ids=lambda case: case.name
)
def test_false_claims_fail_at_their_worst_point(case: Case) -> None:
    """To sixty digits, from the matrices: at the point that the construction names."""
    assert case.worst is not None
    assert inside(case.statement, case.worst)
    largest = max(error for error in errors_at(case.statement, case.worst) if error is not None)
    tolerance = case.statement.claim.tolerance  # type: ignore[union-attr]
    assert largest > tolerance
    assert largest < tolerance * (1 + 3 * case.margin)


@pytest.mark.parametrize("case", some([case for case in SUP if case.holds], 24, "true"), ids=lambda case: case.name)
def test_true_claims_hold_at_points(case: Case) -> None:
    rnd = random.Random(case.name)
    box = case.statement.domain
    points = points_of(box, 4, rnd)
    for step in (Fraction(1, 10**12), Fraction(1, 10**4)):  # the error falls off on all sides of the worst point
        for signs in islice(product((-1, 0, 1), repeat=box.dimension), 9):
            points.append(tuple(x + s * step for x, s in zip(case.worst or (), signs, strict=True)))
    known = [error_at(case.statement, x) for x in points if inside(case.statement, x)]
    assert known
    assert max(error for error in known if error is not None) <= case.statement.claim.tolerance  # type: ignore[union-attr]


def test_norms_are_those_of_quadrature() -> None:
    """In one dimension, by Gauss's rule on parts on which the error is smooth and has one sign."""
    tried = 0
    for case in ALL:
        claim, statement = case.statement.claim, case.statement
        if not isinstance(claim, LpError) or statement.domain.dimension > 1 or "**(-" in statement.function.source:
            continue
        jumps = "where" in statement.function.source
        ends = [Fraction(n, 89 if jumps else 2) for n in range(90 if jumps else 3)]
        nodes, weights = np.polynomial.legendre.leggauss(2 if jumps else 16)
        integral = 0.0
        for a, b in pairwise(ends):
            for node, weight in zip(nodes.tolist(), weights.tolist(), strict=True):
                x = a + (b - a) * (1 + Fraction(node)) / 2
                (error,) = errors_at(statement, [x])
                assert error is not None
                integral += weight * float(b - a) / 2 * float(error) ** float(claim.power)
        norm = integral ** (1 / float(claim.power))
        assert (norm <= claim.tolerance) == case.holds, case.name
        tried += 1
        if tried == 3:
            break
    assert tried == 3


def test_layers_have_the_measure_that_is_claimed() -> None:
    """By sampling a line: the softmax differs from one-hot by more than delta on that part of it."""
    for case in ALL:
        claim = case.statement.claim
        if not isinstance(claim, Indicator) or not case.holds:
            continue
        head = case.statement.attention
        place = [Fraction(1, 3)] * case.statement.domain.dimension
        count, far = 500, 0
        keys = head.R.row(case.statement.domain.dimension)  # the slopes along x_0
        biases = head.R.row(2 * case.statement.domain.dimension)
        for n in range(count):
            place[0] = Fraction(2 * n + 1, 2 * count)
            scores = [float(a * place[0] + b) for a, b in zip(keys, biases, strict=True)]  # type: ignore[arg-type]
            best = max(scores)
            weight = 1 / sum(mpmath.exp(score - best) for score in scores)
            far += 2 * (1 - weight) > float(claim.delta)
        assert abs(far / count - claim.measure / (1 + case.margin)) < 0.02


def test_declared_partitions_fail_where_they_should() -> None:
    """Every obligation at points of a lattice and about the cells' corners, from the scores themselves."""
    for case in some([case for case in ALL if isinstance(case.statement.claim, Partition)], 12, "partitions"):
        m = case.statement.domain.dimension
        lattice = {1: 41, 2: 9, 3: 4}[m]
        points = list(product([Fraction(n, lattice - 1) for n in range(lattice)], repeat=m))
        claim = case.statement.claim
        assert isinstance(claim, Partition)
        points += [region.centre for region in claim.columns[0]]
        found = failures(case.statement, points)
        if case.holds:
            assert not found, case.name


def test_networks_compute_what_the_certificate_says() -> None:
    onnx = pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    assert onnx.__version__

    written = [case for case in SUP if case.holds and expressible(case)]
    assert len(written) > 100
    for case in some(written, 8, "networks"):
        session = ReferenceEvaluator(network(case))
        assert case.head is not None
        rnd = random.Random(case.name)
        for point in points_of(case.statement.domain, 3, rnd)[-3:]:
            x = tuple(Fraction(float(entry)) for entry in point)
            (found,) = session.run(None, {"X": np.array([[float(entry) for entry in x]])})
            size = sum(max(map(abs, row)) for row in (*case.head.keys, case.head.biases))
            spread = max(max(map(abs, row)) for row in case.head.values)
            for value, error in zip(found[0], errors_at(case.statement, x), strict=True):
                assert error is not None
                allowed = 1e-13 + 2.0**-48 * float(size) * float(spread + 1)
                assert abs(abs(value) - float(error)) <= allowed + 1e-9 * float(error), (case.name, value, error)


def test_properties_are_the_negated_claims() -> None:
    case = next(case for case in SUP if case.name == "bumps-1-fails")
    assert expressible(case)
    text = property_of(case)
    assert text.startswith(
        "; bumps-1-fails: the claim fails (sat)\n(declare-const X_0 Real)\n(declare-const X_1 Real)\n"
    )
    assert text.count("(assert (>= X_1 0))") == text.count("(assert (<= X_1 1))") == 1
    assert text.splitlines()[-1].startswith("(assert (or (and (>= Y_0 ")


def test_all_is_written_with_its_truth(tmp_path, capsys) -> None:  # type: ignore[no-untyped-def]
    assert benchmark.main(["--write", str(tmp_path), "--share", "1/60"]) == 0
    assert "certificates and" in capsys.readouterr().out
    with (tmp_path / "truth.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert {row["family"] for row in rows} == set(FAMILIES)
    for row in rows:
        certificate = Certificate.load(tmp_path / row["certificate"])
        assert kernel_says(certificate.to_bytes()) == "evidence"


def test_wrong_answers_are_reported(capsys) -> None:  # type: ignore[no-untyped-def]
    true, false = islice(cases(["bumps"]), 2)
    answers = answers_of([true, false], 10)
    assert [answer.verdict for answer in answers] == ["proved", "refuted"]
    assert answers[1].forged in ("leaf", "claim")
    swapped = answers_of([false, true], 10)
    lies = [replace(answer, holds=not answer.holds) for answer in swapped]
    assert not any(answer.wrong for answer in swapped)
    assert all(answer.wrong for answer in lies)
    assert benchmark.report(lies, 1.0) == 1
    assert "!!! WRONG: bumps-0" in capsys.readouterr().out
    assert "| bumps | 2 | 0 | 0 | 2 |" in table(lies)


def test_bad_options_are_refused(capsys) -> None:  # type: ignore[no-untyped-def]
    for bad in (["--families", "nothing"], ["--share", "0"], ["--jobs", "0"]):
        with pytest.raises(SystemExit):
            benchmark.parse(bad)
    assert "there is no family 'nothing'" in capsys.readouterr().err


@pytest.mark.slow
def test_no_answer_is_wrong() -> None:
    """A part of the benchmark, as far as half a minute goes."""
    families = [name for name in FAMILIES if name not in ("indicators", "norms")]
    answers = [
        answer
        for twins in zip(*[iter(cases(families, Fraction(1, 10)))] * 2, strict=True)
        for answer in answers_of(twins, 5)
    ]
    assert len(answers) > 80
    assert not [answer for answer in answers if answer.wrong]
    assert sum(answer.right for answer in answers) >= 0.95 * len(answers)
