"""Certificate files: their bytes, reading them, writing them without ever leaving half a file."""

from __future__ import annotations

import copy
import gzip
import json
import os
import random
import tracemalloc
import zlib
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from heads import grid_statement, random_statement, sealed
from hypothesis import given
from hypothesis import strategies as st

from attncert.certificates import document
from attncert.certificates.document import Document, check_writable
from attncert.certificates.errors import InputError, InvalidCertificate
from attncert.certificates.evidence import Counterexample, Evidence, Paving, evidence_from_json
from attncert.certificates.numbers import parse_exact

STATEMENT = grid_statement("x**2", "[0,1]", (4,), 64, "0.5")
PAVING = Paving(Fraction(1, 2), 80, 20, ("0..",))
PLAIN = Document(STATEMENT, PAVING, {"made by": "hand", "grid": [4], "none": None, "nested": {"a": True}})
DATA = PLAIN.to_bytes()


def with_value(path: str, value: object) -> bytes:
    """The certificate with another value at a dotted path, and the digest that belongs to it; None removes the key."""
    parts = copy.deepcopy(json.loads(DATA))
    *way, last = path.split(".")
    part = parts
    for key in way:
        part = part[key]
    if value is None:
        del part[last]
    else:
        part[last] = value
    return sealed(parts) if "statement" in parts else json.dumps(parts).encode()


def refusal(data: bytes) -> str:
    """The one line that says why the bytes are no certificate."""
    with pytest.raises(InputError) as caught:
        Document.from_bytes(data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --- bytes -----------------------------------------------------------------------------------------------------------


def test_bytes_are_the_canonical_json_and_a_newline() -> None:
    parts = json.loads(DATA)
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    assert text.encode("ascii") + b"\n" == DATA
    assert set(parts) == {"format", "statement", "statement_sha256", "evidence", "notes"}
    assert parts["format"] == "attncert/1"
    assert parts["statement_sha256"] == STATEMENT.sha256
    assert parts["evidence"] == {"kind": "paving", "bound": "0x1p-1", "precision": 80, "silence": 20, "trees": ["0.."]}
    assert parts["notes"] == PLAIN.notes


def test_no_evidence_is_null() -> None:
    assert json.loads(Document(STATEMENT).to_bytes())["evidence"] is None
    assert json.loads(Document(STATEMENT).to_bytes())["notes"] == {}


EVIDENCE: list[Evidence | None] = [
    None,
    PAVING,
    Paving(Fraction(1, 3), 64, 16, ("0.1..", ".")),
    Counterexample((Fraction(1, 3), Fraction(-1, 4)), (2, 0), 200),
]


@pytest.mark.parametrize("evidence", EVIDENCE)
def test_evidence_is_read_back_as_it_was_written(evidence: Evidence | None) -> None:
    again = Document.from_bytes(Document(STATEMENT, evidence).to_bytes())
    assert again.evidence == evidence
    if evidence is not None:
        assert evidence_from_json(json.loads(json.dumps(evidence.to_json()))) == evidence


def test_leaves_are_the_dots_of_all_trees() -> None:
    assert Paving(Fraction(1), 64, 16, ("0.1..", ".")).leaves == 4


NOTES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), NOTES, max_size=4), st.sampled_from(EVIDENCE))
def test_reading_and_writing_again_changes_no_byte(notes: dict[str, Any], evidence: Evidence | None) -> None:
    data = Document(STATEMENT, evidence, notes).to_bytes()
    again = Document.from_bytes(data)
    assert again.to_bytes() == data
    assert again.notes == notes
    assert data.isascii()
    assert data.count(b"\n") == 1


def test_random_statements_survive() -> None:
    rnd = random.Random(2)
    for _ in range(20):
        data = Document(random_statement(rnd)).to_bytes()
        assert Document.from_bytes(data).to_bytes() == data


@pytest.mark.parametrize(
    "notes",
    [{"a": 0.5}, {"a": float("nan")}, {"a": [1, {"b": 1e300}]}, {"a": Fraction(1)}, {"a": {1, 2}}, {1: "a", "1": "b"}],
    ids=str,
)
def test_notes_that_could_not_be_read_again_are_not_written(notes: dict[Any, Any], tmp_path: Path) -> None:
    with pytest.raises(InvalidCertificate, match="notes"):
        Document(STATEMENT, None, notes).save(tmp_path / "c.json")
    assert list(tmp_path.iterdir()) == []


def test_the_authors_spelling_keeps_its_digest() -> None:
    data = with_value("statement.claim.tolerance", "0.50")
    read = Document.from_bytes(data)
    assert read.statement.claim == STATEMENT.claim
    assert read.to_bytes() == data
    assert b'"tolerance":"0.50"' in data
    assert read.statement.sha256 != STATEMENT.sha256
    assert replace(read, evidence=None).to_bytes().count(b'"0.50"') == 1


# --- reading ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spelling",
    [
        json.dumps(json.loads(DATA), indent=2),
        json.dumps(dict(reversed(json.loads(DATA).items()))),
        DATA.decode().replace("x**2", "\\u0078**\\u0032"),
        "\n\t " + DATA.decode(),
    ],
    ids=["indented", "other order", "escaped", "white space around"],
)
def test_any_json_spelling_means_the_same(spelling: str) -> None:
    assert Document.from_bytes(spelling.encode()).to_bytes() == DATA


def test_notes_may_be_absent() -> None:
    assert Document.from_bytes(with_value("notes", None)).notes == {}


def test_reading_is_not_checking() -> None:
    assert Document.from_bytes(with_value("evidence.trees", ["nonsense"])).evidence == replace(
        PAVING, trees=("nonsense",)
    )


def doubled(key: str) -> bytes:
    """The certificate with one key given twice, with the same value."""
    at = DATA.index(f'"{key}":'.encode())
    return DATA[:at] + f'"{key}":0,'.encode() + DATA[at:]


def counterexample(**changes: object) -> bytes:
    """The certificate with a counterexample, changed, in place of the paving."""
    return with_value(
        "evidence", {"kind": "counterexample", "point": ["0"], "entry": [0, 0], "precision": 64} | changes
    )


def numbered(text: str) -> bytes:
    """The certificate with a JSON number in the notes."""
    return DATA.replace(b'"grid":[4]', f'"grid":[{text}]'.encode())


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not a JSON document"),
        (b"attncert", "not a JSON document"),
        (DATA[:-2], "not a JSON document"),
        (DATA[: len(DATA) // 2], "not a JSON document"),
        (DATA + b"{}", "not a JSON document"),
        (DATA[:-1] + b"\0", "not a JSON document"),
        (bytes(64), "not a JSON document"),
        (b"\xff\xfe" + DATA.decode().encode("utf-16-le"), "not a JSON document"),
        (DATA.replace(b"hand", b"h\xe4nd"), "not a JSON document"),
        (b"[" * 200_000, "not a JSON document"),
        (b'{"a":' * 200_000, "not a JSON document"),
        (numbered("1" * 5000), "not a JSON document"),
        (numbered("04"), "not a JSON document"),
        (b"null", "has the keys"),
        (b"[]", "has the keys"),
        (b'"certificate"', "has the keys"),
        (b"{}", "has the keys"),
        (with_value("statement", None), "has the keys"),
        (with_value("evidence", None), "has the keys"),
        (with_value("format", None), "has the keys"),
        (with_value("comment", "mine"), "has the keys"),
        (with_value("notes", []), "notes"),
        (with_value("notes", "hello"), "notes"),
        (with_value("format", "attncert/2"), "'attncert/2'; this version reads 'attncert/1'"),
        (with_value("format", 1), "the format is 1"),
        (doubled("format"), "given twice"),
        (doubled("tolerance"), "given twice"),
        (doubled("made by"), "given twice"),
        (numbered("4.0"), "must be an integer, not 4.0"),
        (numbered("4e0"), "must be an integer, not 4e0"),
        (numbered("0." + "1" * 10_000), "must be an integer, not 0.111"),
        (numbered("NaN"), "must be an integer, not NaN"),
        (numbered("-Infinity"), "must be an integer, not -Infinity"),
        (DATA.replace(b'"precision":80', b'"precision":80.0'), "must be an integer"),
        (with_value("statement.claim.tolerance", "0.5x"), "0.5x"),
        (with_value("statement.attention.kind", "none"), "kind"),
        (with_value("statement.attention.R.shape", [1, 1]), "R"),
        (with_value("evidence", "trust me"), "evidence"),
        (with_value("evidence.kind", "belief"), "evidence"),
        (with_value("evidence.comment", "mine"), "evidence"),
        (with_value("evidence.precision", True), "evidence"),
        (with_value("evidence.precision", "80"), "evidence"),
        (with_value("evidence.silence", False), "evidence"),
        (with_value("evidence.silence", None), "evidence"),
        (with_value("evidence.trees", "0.."), "evidence"),
        (with_value("evidence.trees", [1]), "evidence"),
        (with_value("evidence.bound", "much"), "much"),
        (with_value("evidence.bound", 1), "evidence"),
        (counterexample(point=[0]), "evidence"),
        (counterexample(point="0"), "evidence"),
        (counterexample(entry=[0]), "evidence"),
        (counterexample(entry=[0, False]), "evidence"),
        (counterexample(precision=True), "evidence"),
        (counterexample(bound="1"), "evidence"),
    ],
)
def test_what_is_no_certificate_is_refused_with_the_reason(data: bytes, reason: str) -> None:
    assert reason in refusal(data)


@pytest.mark.parametrize("depth", [100, 2000])
def test_nested_notes_are_read_or_refused(depth: int) -> None:
    data = numbered("[" * depth + "]" * depth)
    if depth == 100:
        assert Document.from_bytes(data).to_bytes() == data
    else:
        assert refusal(data) == "not a JSON document"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("statement.target", "x**3"),
        ("statement.domain.box", [["0", "2"]]),
        ("statement.claim.tolerance", "0.4"),
        ("statement.claim.tolerance", "0.50"),
        ("statement_sha256", "0" * 64),
        ("statement_sha256", STATEMENT.sha256.upper()),
        ("statement_sha256", None),
        ("statement_sha256", 0),
    ],
)
def test_a_statement_with_another_digest_is_refused(path: str, value: object) -> None:
    parts = json.loads(DATA)
    *way, last = path.split(".")
    part = parts
    for key in way:
        part = part[key]
    part[last] = value
    assert "digest does not match" in refusal(json.dumps(parts).encode())


def test_every_cut_of_a_file_is_refused() -> None:
    packed = gzip.compress(DATA, mtime=0)
    for data in (DATA[:-1], packed):
        for length in range(0, len(data), 7):
            refusal(data[:length])


# --- gzip ------------------------------------------------------------------------------------------------------------


def test_gzip_is_recognised_by_its_content() -> None:
    assert Document.from_bytes(gzip.compress(DATA, mtime=0)).to_bytes() == DATA


def damaged(data: bytes) -> bytes:
    return data[:40] + bytes([data[40] ^ 255]) + data[41:]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (gzip.compress(DATA, mtime=0)[:-1], "truncated"),
        (gzip.compress(DATA, mtime=0)[:-9], "truncated"),
        (gzip.compress(DATA, mtime=0)[:5], "truncated"),
        (gzip.compress(DATA, mtime=0) + b"more", "followed by others"),
        (gzip.compress(DATA, mtime=0) + gzip.compress(DATA, mtime=0), "followed by others"),
        (damaged(gzip.compress(DATA, mtime=0)), "damaged"),
        (gzip.compress(DATA, mtime=0)[:-8] + bytes(8), "damaged"),
        (b"\x1f\x8b" + DATA, "damaged"),
        (gzip.compress(b"", mtime=0), "not a JSON document"),
        (gzip.compress(gzip.compress(DATA, mtime=0), mtime=0), "not a JSON document"),
    ],
)
def test_gzip_that_is_not_whole_is_refused(data: bytes, reason: str) -> None:
    assert reason in refusal(data)


def test_a_bomb_is_refused_before_it_goes_off(monkeypatch: pytest.MonkeyPatch) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(64)) + packer.flush()
    monkeypatch.setattr(document, "MAX_BYTES", 1 << 20)
    tracemalloc.start()
    try:
        reason = refusal(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert reason == "larger than 1048576 bytes when decompressed"
    assert peak < 16 << 20


def test_a_long_file_is_refused_before_it_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "c.json").write_bytes(DATA)
    monkeypatch.setattr(document, "MAX_BYTES", len(DATA))
    Document.load(tmp_path / "c.json")
    monkeypatch.setattr(document, "MAX_BYTES", len(DATA) - 1)
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("the file was read"))
    with pytest.raises(InvalidCertificate, match=r"c\.json: larger than \d+ bytes"):
        Document.load(tmp_path / "c.json")


# --- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["c.json", "c.json.gz", "certificate"])
def test_files_round_trip(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    PLAIN.save(path)
    assert [entry.name for entry in tmp_path.iterdir()] == [name]
    assert Document.load(path).to_bytes() == DATA
    assert Document.load(str(path)).to_bytes() == DATA
    assert path.read_bytes() == DATA or (name.endswith(".gz") and gzip.decompress(path.read_bytes()) == DATA)


def test_equal_certificates_make_equal_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    PLAIN.save(tmp_path / "a.json.gz")
    monkeypatch.setattr("time.time", lambda: 1e9)
    Document.load(tmp_path / "a.json.gz").save(tmp_path / "another name.json.gz")
    assert (tmp_path / "a.json.gz").read_bytes() == (tmp_path / "another name.json.gz").read_bytes()


def test_a_subclass_loads_as_itself(tmp_path: Path) -> None:
    class Mine(Document):
        pass

    PLAIN.save(tmp_path / "c.json")
    assert type(Mine.load(tmp_path / "c.json")) is Mine


def test_an_existing_file_is_kept_unless_told_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    path.write_text("mine")
    with pytest.raises(InvalidCertificate, match=r"cannot write .*c\.json: the file exists"):
        PLAIN.save(path)
    assert path.read_text() == "mine"
    PLAIN.save(path, overwrite=True)
    assert path.read_bytes() == DATA


@pytest.mark.parametrize("overwrite", [False, True])
def test_places_that_cannot_be_written_are_refused(tmp_path: Path, overwrite: bool) -> None:
    with pytest.raises(InvalidCertificate, match="it is a directory"):
        PLAIN.save(tmp_path, overwrite=overwrite)
    with pytest.raises(InvalidCertificate, match="there is no directory"):
        PLAIN.save(tmp_path / "no" / "c.json", overwrite=overwrite)
    with pytest.raises(InvalidCertificate, match="there is no directory"):
        check_writable(tmp_path / "no" / "c.json", overwrite=overwrite)
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_directory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: not (mode == os.W_OK and Path(path) == tmp_path))
    with pytest.raises(InvalidCertificate, match="not writable"):
        PLAIN.save(tmp_path / "c.json")


def test_new_files_have_the_usual_permissions(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        PLAIN.save(tmp_path / "c.json")
    finally:
        os.umask(old)
    assert (tmp_path / "c.json").stat().st_mode & 0o777 == 0o640


def fail(*_: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize("step", ["fsync", "chmod", "replace"])
@pytest.mark.parametrize("there", [False, True])
def test_a_failure_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, there: bool
) -> None:
    path = tmp_path / "c.json"
    if there:
        path.write_text("old")
    monkeypatch.setattr(os, step, fail)
    with pytest.raises(InvalidCertificate, match=r"cannot write .*c\.json: No space left on device"):
        PLAIN.save(path, overwrite=there)
    assert [entry.read_text() for entry in tmp_path.iterdir()] == (["old"] if there else [])


def test_an_interrupt_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "c.json"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        PLAIN.save(path, overwrite=True)
    assert [entry.read_text() for entry in tmp_path.iterdir()] == ["old"]


def test_a_reader_never_sees_half_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the moment of the renaming the new file is whole and the old one is still there."""
    path = tmp_path / "c.json"
    path.write_text("old")
    seen = []
    rename = os.replace

    def watched(source: str, target: Path) -> None:
        seen.append((Path(source).read_bytes(), Path(target).read_text(), Path(source).parent))
        rename(source, target)

    monkeypatch.setattr(os, "replace", watched)
    PLAIN.save(path, overwrite=True)
    assert seen == [(DATA, "old", tmp_path)]
    assert path.read_bytes() == DATA


@pytest.mark.parametrize(("name", "reason"), [("nowhere.json", "No such file"), ("", "directory|Is a directory")])
def test_files_that_cannot_be_read_are_refused(tmp_path: Path, name: str, reason: str) -> None:
    with pytest.raises(InvalidCertificate, match=reason) as caught:
        Document.load(tmp_path / name)
    assert str(tmp_path) in str(caught.value)


def test_a_file_that_is_no_certificate_is_named(tmp_path: Path) -> None:
    (tmp_path / "c.json").write_bytes(with_value("statement.target", "1 +"))
    with pytest.raises(InvalidCertificate, match=r"c\.json: column"):
        Document.load(tmp_path / "c.json")


# --- numbers ---------------------------------------------------------------------------------------------------------


def test_no_number_passes_through_a_float() -> None:
    text = "0.1000000000000000000000000000000000000000000001"
    read = Document.from_bytes(with_value("statement.claim.tolerance", text))
    assert read.statement.claim.tolerance == parse_exact(text)
    assert Document.from_bytes(read.to_bytes()).statement.claim.tolerance == Fraction(text)
