"""`attncert check --limit`: the kernel's limits as a user adjusts them."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from attncert.certificates.errors import InputError
from attncert.cli import main
from attncert.limits import limits_of
from attncert.verifier.kernel import Limits

CERTIFICATE = Path(__file__).parent.parent / "certificates" / "gallery" / "sin-grid.json"


def test_limits_are_set_by_name() -> None:
    assert limits_of([]) == Limits()
    for name in asdict(Limits()):
        assert asdict(limits_of([f"{name}=7"])) == {**asdict(Limits()), name: 7}
    both = limits_of(["nodes=100000000", "depth=3"])
    assert (both.nodes, both.depth) == (100_000_000, 3)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        (["nodes"], "like nodes=100000000, not 'nodes'"),
        (["node=1"], "there is no limit 'node'"),
        (["=1"], "there is no limit ''"),
        (["nodes="], "the limit nodes is a whole number from 1"),
        (["nodes=0"], "the limit nodes is a whole number from 1"),
        (["nodes=-1"], "the limit nodes is a whole number from 1"),
        (["nodes=1e9"], "the limit nodes is a whole number from 1"),
        (["nodes=9999999999999999999"], "the limit nodes is a whole number from 1"),
        (["nodes=\u0661"], "the limit nodes is a whole number from 1"),
        (["nodes=1", "nodes=2"], "the limit nodes is set twice"),
    ],
)
def test_bad_limits_are_refused(settings: list[str], reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        limits_of(settings)


@pytest.mark.parametrize("setting", ["nodes=5", "side=5", "document=100", "target=3", "precision=32", "size=10"])
def test_a_lower_limit_rejects(setting: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(CERTIFICATE), "--limit", setting]) == 1
    assert "rejected: limit: " in capsys.readouterr().out


def test_limits_reach_all_processes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("a.json", "b.json"):
        (tmp_path / name).write_bytes(CERTIFICATE.read_bytes())
    assert main(["check", str(tmp_path), "--jobs", "2", "--limit", "nodes=5"]) == 1
    assert capsys.readouterr().out.count("rejected: limit: evidence.trees: more than 5 nodes") == 2
    assert main(["check", str(tmp_path), "--limit", "nodes=1000"]) == 0


def test_a_bad_limit_is_bad_input(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(CERTIFICATE), "--limit", "nodes=x"]) == 2
    assert "the limit nodes is a whole number from 1" in capsys.readouterr().err
