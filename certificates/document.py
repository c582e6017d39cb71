"""The certificate file: read, and written atomically (docs/certificate-format.md)."""

from __future__ import annotations

import gzip
import json
import os
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Self

from attncert.certificates.errors import InputError, InvalidCertificate
from attncert.certificates.evidence import Evidence, evidence_from_json
from attncert.certificates.statement import Statement, canonical, statement_from_json

FORMAT = "attncert/1"
MAX_BYTES = 1 << 31
"""Longest document that is read, after decompression."""

_GZIP_MAGIC = b"\x1f\x8b"


@dataclass(frozen=True)
class Document:
    """A statement, the evidence for or against it, and notes for people that no checker reads."""

    statement: Statement
    evidence: Evidence | None = None
    notes: Mapping[str, Any] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The canonical JSON document and a final newline; raises InvalidCertificate if it cannot hold the notes."""
        parts = {
            "evidence": canonical(self.evidence.to_json() if self.evidence else None),
            "format": canonical(FORMAT),
            "notes": _notes_text(self.notes),
            "statement": self.statement.text,
            "statement_sha256": canonical(self.statement.sha256),
        }
        return ("{" + ",".join(f'"{key}":{parts[key]}' for key in sorted(parts)) + "}\n").encode("ascii")

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        """Read a document, gzip or plain; raises InvalidCertificate (or another InputError) with the reason.

        Reading is not checking: the digest must match, the evidence is only parsed.
        """
        value = _parse_json(_decompressed(data))
        keys = {"format", "statement", "statement_sha256", "evidence"}
        if not isinstance(value, dict) or not keys <= set(value) <= keys | {"notes"}:
            raise InvalidCertificate("a certificate has the keys format, statement, statement_sha256, evidence, notes")
        if value["format"] != FORMAT:
            raise InvalidCertificate(f"the format is {value['format']!r}; this version reads {FORMAT!r}")
        if not isinstance(value.get("notes", {}), dict):
            raise InvalidCertificate("the notes of a certificate are a JSON object")
        statement = statement_from_json(value["statement"])
        if value["statement_sha256"] != statement.sha256:
            raise InvalidCertificate("the digest does not match the statement: the file was altered")
        return cls(statement, evidence_from_json(value["evidence"]), value.get("notes", {}))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a file; raises InvalidCertificate with the file's name and the reason."""
        try:
            if os.path.getsize(path) > MAX_BYTES:
                raise InvalidCertificate(f"larger than {MAX_BYTES} bytes")
            return cls.from_bytes(Path(path).read_bytes())
        except OSError as error:
            raise InvalidCertificate(f"{path}: {error.strerror}") from None
        except InputError as error:
            raise InvalidCertificate(f"{path}: {error}") from None

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write the file atomically, compressed when its name ends in `.gz`.

        Raises InvalidCertificate when the file exists and `overwrite` is false, or when it cannot be written. A
        reader never sees half a certificate: the bytes go to a new file beside it that is renamed at the end.
        """
        target = Path(path)
        check_writable(target, overwrite=overwrite)
        data = self.to_bytes()
        if target.suffix == ".gz":
            data = gzip.compress(data, compresslevel=6, mtime=0)  # no time stamp: equal certificates, equal bytes
        scratch = None
        try:
            with tempfile.NamedTemporaryFile(dir=target.parent, prefix=f".{target.name}.", delete=False) as handle:
                scratch = handle.name
                handle.write(data)
                handle.flush()
                os.fsync(handle.fileno())
            os.chmod(scratch, 0o666 & ~_umask())
            os.replace(scratch, target)
        except OSError as error:
            raise InvalidCertificate(f"cannot write {target}: {error.strerror}") from None
        finally:
            if scratch is not None and os.path.exists(scratch):
                os.unlink(scratch)


def check_writable(path: Path, *, overwrite: bool) -> None:
    """Raise InvalidCertificate unless a certificate can be written there; asked before long work begins."""
    if path.is_dir():
        raise InvalidCertificate(f"cannot write {path}: it is a directory")
    if path.exists() and not overwrite:
        raise InvalidCertificate(f"cannot write {path}: the file exists")
    if not path.parent.is_dir():
        raise InvalidCertificate(f"cannot write {path}: there is no directory {path.parent}")
    if not os.access(path.parent, os.W_OK):
        raise InvalidCertificate(f"cannot write {path}: the directory is not writable")


def _notes_text(notes: Mapping[str, Any]) -> str:
    try:
        text = canonical(dict(notes))
        _parse_json(text.encode("ascii"))  # what could not be read again, such as a float, is not written
    except (TypeError, ValueError, RecursionError):
        raise InvalidCertificate("notes hold strings, integers, booleans, null, lists and objects only") from None
    return text


def _umask() -> int:
    mask = os.umask(0o022)
    os.umask(mask)
    return mask


def _decompressed(data: bytes) -> bytes:
    if not data.startswith(_GZIP_MAGIC):
        return data
    try:
        stream = zlib.decompressobj(wbits=31)
        text = stream.decompress(data, MAX_BYTES)
    except zlib.error:
        raise InvalidCertificate("the gzip data are damaged") from None
    if stream.unconsumed_tail:
        raise InvalidCertificate(f"larger than {MAX_BYTES} bytes when decompressed")
    if not stream.eof or stream.unused_data:
        raise InvalidCertificate("the gzip data are truncated or followed by others")
    return text


def _parse_json(data: bytes) -> Any:
    def refuse(text: str) -> NoReturn:
        raise InvalidCertificate(f"a JSON number must be an integer, not {text[:40]}")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) != len(pairs):
            raise InvalidCertificate("a key is given twice")
        return value

    try:
        return json.loads(data.decode("utf-8"), parse_float=refuse, parse_constant=refuse, object_pairs_hook=unique)
    except InvalidCertificate:
        raise
    except (ValueError, RecursionError):
        raise InvalidCertificate("not a JSON document") from None
