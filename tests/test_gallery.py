"""The gallery: every certificate is what the lock says, and the table is about the files that are there."""

from __future__ import annotations

import importlib.util
import json
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from attncert.certificates.document import Document
from attncert.cli import main

FOLDER = Path(__file__).parent.parent / "certificates" / "gallery"


@pytest.fixture(scope="module")
def builder() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_gallery", FOLDER / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_gallery_is_what_the_lock_says() -> None:
    assert main(["check", str(FOLDER), "--against", str(FOLDER / "lock.json"), "--jobs", "2"]) == 0


def test_the_table_is_up_to_date(builder: ModuleType) -> None:
    assert (FOLDER / "README.md").read_text() == builder.table()


def test_the_gallery_shows_everything(builder: ModuleType) -> None:
    names = set(builder.commands())
    assert names == {path.name for path in FOLDER.glob("*.json*")} - {"lock.json"}
    assert len(names) >= 20
    assert all((FOLDER / name).stat().st_size < 100_000 for name in names)
    documents = [Document.load(FOLDER / name) for name in sorted(names)]
    claims = Counter(str(document.statement.claim.to_json()["kind"]) for document in documents)
    evidence = Counter(document.evidence.kind for document in documents if document.evidence)
    assert set(claims) == {"error", "indicator", "partition"}
    assert {"paving", "counterexample", "integral", "layers", "regions"} <= set(evidence)
    verdicts = {entry["verdict"] for entry in json.loads((FOLDER / "lock.json").read_text())["certificates"].values()}
    assert verdicts == {"proved", "refuted"}


@pytest.mark.slow
def test_commands_make_the_same_certificates(builder: ModuleType, tmp_path: Path) -> None:
    """The same heads, that is: last digits may depend on the mathematical library of the machine."""
    commands = builder.commands()
    for name in ("sin-grid.json", "sin-1e-8.json", "cubic-box.json", "kink-of-two-tokens.json", "jump.json"):
        command = commands[name]
        words = builder.arguments(name, command)
        made = tmp_path / name
        words[words.index(str(FOLDER / name))] = str(made)
        assert main(words) in (0, 1)
        again, kept = Document.load(made), Document.load(FOLDER / name)
        assert again.statement.claim.to_json()["kind"] == kept.statement.claim.to_json()["kind"]
        assert again.statement.attention.tokens == kept.statement.attention.tokens, name
