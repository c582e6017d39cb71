"""The benchmark against peers: its instances, what it says of absent peers, its table and its time limits."""

import json
import math
from dataclasses import replace
from fractions import Fraction

import mpmath
import pytest

from attncert.verifier.prove import verify
from benchmarks import __main__ as benchmark
from benchmarks import registry
from benchmarks.instances import INSTANCES
from benchmarks.measure import Measurement, measure
from benchmarks.registry import PEERS, find
from benchmarks.scaling import fitted_exponent
from benchmarks.table import Row
from tests.heads import errors_at

TOKENS = {"A": 16, "B": 64, "B'": 64, "C": 64, "C'": 64, "D": 256, "E": 64, "F": 1024}


@pytest.mark.parametrize("name", INSTANCES)
def test_instances_are_built(name):
    instance = INSTANCES[name]
    assert instance.anchors.shape == (TOKENS[name], instance.dimension)
    assert instance.holds == (name != "B'")
    error, place = instance.largest_error
    point = [Fraction(x) for x in place]
    (exact,) = errors_at(instance.statement, point)
    assert abs(float(exact) - error) < 1e-12


def test_the_largest_error_agrees_with_mpmath():
    instance = INSTANCES["A"]
    with mpmath.workdps(30):
        anchors = [mpmath.mpf(c) for (c,) in instance.anchors.tolist()]
        values = [mpmath.mpf(v) for v in instance.values.tolist()]

        def difference(x):
            weights = [mpmath.exp(-200 * (x - c) ** 2) for c in anchors]
            head = mpmath.fdot(weights, values) / mpmath.fsum(weights)
            return mpmath.sin(2 * mpmath.pi * x) - head

        largest = max(abs(difference(mpmath.mpf(k) / 200)) for k in range(201))  # the ends are samples
        for k in range(0, 200, 5):  # inside, the derivative vanishes at the largest error
            a, b = mpmath.mpf(k) / 200, mpmath.mpf(k + 5) / 200
            slopes = mpmath.diff(difference, a), mpmath.diff(difference, b)
            if slopes[0] * slopes[1] < 0:
                x = mpmath.findroot(lambda t: mpmath.diff(difference, t), (a, b), solver="anderson", tol=1e-18)
                largest = max(largest, abs(difference(x)))
    assert abs(largest - instance.sup) < 1e-9


def test_the_statement_is_the_claim_that_peers_are_given():
    instance = INSTANCES["A"]
    outcome = verify(instance.statement)
    assert outcome.verdict == "verified"
    assert outcome.error_lower == pytest.approx(instance.sup, abs=1e-6)
    job = instance.job(repeat=1, limit=1)
    assert Fraction(job.tolerance) == instance.statement.claim.tolerance


def test_absent_peers_are_named(monkeypatch, tmp_path, capsys):
    ghost = replace(PEERS["codac"], imports="no_such_package_of_intervals")
    mute = replace(PEERS["sollya"], command="no-such-command")
    monkeypatch.setitem(registry.PEERS, "codac", ghost)
    monkeypatch.setitem(registry.PEERS, "sollya", mute)
    arguments = ["--instances", "A", "--peers", "codac,sollya", "--repeat", "1", "--output", str(tmp_path)]
    assert benchmark.main(arguments) == 0
    assert "absent: codac" in capsys.readouterr().out
    text = (tmp_path / "benchmark.md").read_text()
    assert "* codac: absent (ModuleNotFoundError" in text
    assert "* sollya: absent (no command `no-such-command` on PATH)" in text


def test_the_table_has_a_row_for_each_instance(tmp_path):
    arguments = ["--instances", "A,B,B'", "--peers", "sampling", "--repeat", "1", "--limit", "20"]
    assert benchmark.main([*arguments, "--output", str(tmp_path)]) == 0
    record = json.loads((tmp_path / "benchmark.json").read_text())
    assert [row["instance"] for row in record["rows"]] == ["A", "B", "B'"]
    assert [row["measured"]["attncert"]["verdict"] for row in record["rows"]] == ["proved", "proved", "refuted"]
    assert [row["kernel"]["verdict"] for row in record["rows"]] == ["proved", "proved", "refuted"]
    assert {"kernel / search", "price of proof"} <= set(record["rows"][0]["ratios"])
    assert (tmp_path / "benchmark.png").exists() == benchmark.have_matplotlib()
    table = (tmp_path / "benchmark.md").read_text().split("Whole processes")[0]
    assert [line.split("|")[1].strip() for line in table.splitlines() if line.startswith("|")][2:] == ["A", "B", "B'"]


def test_a_hanging_peer_is_ended():
    job = INSTANCES["F"].job(repeat=1, limit=0.5)
    measured = measure("run_mpmath", job)
    assert measured.verdict == "limit"
    assert measured.seconds is None


def test_a_failing_peer_is_reported():
    measured = measure("no_such_module", INSTANCES["A"].job(repeat=1, limit=5))
    assert measured.verdict == "failed"
    assert "no_such_module" in measured.detail


def test_disagreements_are_loud():
    row = Row(INSTANCES["A"], {"attncert": Measurement("proved"), "codac": Measurement("refuted")})
    assert row.disagreements == ["A: codac says refuted, but the claim is to be proved"]
    row = Row(INSTANCES["A"], {"attncert": Measurement("proved")}, Measurement("rejected: leaf"))
    assert row.disagreements == ["A: the kernel says rejected: leaf"]
    assert not Row(INSTANCES["B'"], {"sampling": Measurement("unseen")}).disagreements


def test_unknown_names_are_refused(capsys):
    with pytest.raises(SystemExit):
        benchmark.parse(["--instances", "Z"])
    assert "there is no instance 'Z'" in capsys.readouterr().err


def test_peers_are_found_in_other_interpreters():
    found = find(PEERS["mpmath"], ["/no/such/python", benchmark.sys.executable])
    assert found.interpreter == benchmark.sys.executable
    assert find(PEERS["mpmath"], ["/no/such/python"]).interpreter is None


def test_the_exponent_is_the_slope():
    assert fitted_exponent([10, 100, 1000], [2 * math.sqrt(n) for n in (10, 100, 1000)]) == pytest.approx(0.5)
