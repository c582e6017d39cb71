"""The journal of a search for a paving: one SQLite file, from which an interrupted search goes on to the same evidence.

It holds the certificate as it was before the search (so that an interrupted `certify` can be resumed although there is
no certificate yet), the bounds to be tried and, for each search, its state after the last complete round: the open
boxes, the steps in which the tree grew, and what was found. A search that has ended leaves its answer and its tree.
Every round is one transaction. What a round popped from the stack is deleted and what it pushed is added, so that a
round costs as much as it did, however large the search has grown.

What can be lost. SQLite's write-ahead log with synchronous=NORMAL: the end of the process, by whatever signal, loses at
most the round in flight, because committed rounds are with the operating system. A power failure, or the end of the
operating system, may also lose the rounds committed since the log was last copied into the file (every LOG_BYTES and
whenever the journal is closed); what is left is the state after an earlier round.

Arrays are written as raw little-endian numbers of fixed types, each with a CRC-32. Nothing in a journal is trusted to
be true: evidence that was found with its help is checked by the kernel like any other.

A journal that is not resumed begins only when the search has run for DELAY seconds, with all that was found until then.
"""

from __future__ import annotations

import json
import math
import sqlite3
import struct
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from attncert.certificates.errors import InputError
from attncert.verifier import boxes, paving
from attncert.verifier.boxes import Block
from attncert.verifier.paving import PavingSearch, Search, State
from attncert.verifier.tree import Growth, SplitTree

FORMAT = "attncert-journal/1"
APPLICATION = 0x61744A4C
"""Marks the file as ours, in SQLite's header."""

DELAY = 0.5
LOG_BYTES = 1 << 26
PAGE_BYTES = 1 << 14

SCHEMA = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE search (
  number INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE, status TEXT NOT NULL, cause TEXT NOT NULL,
  boxes INTEGER NOT NULL, volume REAL NOT NULL, worst REAL NOT NULL,
  point BLOB, entry INTEGER NOT NULL, upper REAL NOT NULL, stuck BLOB,
  steps INTEGER NOT NULL, blocks INTEGER NOT NULL, tree TEXT NOT NULL, crc INTEGER NOT NULL
);
CREATE TABLE step (
  search INTEGER, number INTEGER, code INTEGER NOT NULL, nodes BLOB NOT NULL, axes BLOB, crc INTEGER NOT NULL,
  PRIMARY KEY (search, number)
);
CREATE TABLE open (
  search INTEGER, place INTEGER, boxes BLOB NOT NULL, crc INTEGER NOT NULL, PRIMARY KEY (search, place)
);
"""

WHICH = "only searches for a paving in the sup norm keep one, once they have run for half a second"
RUNNING = "running"


class InvalidJournal(InputError):
    """A journal that cannot be resumed: damaged, in use, missing, or of another statement, format or search."""


@dataclass(frozen=True)
class SearchName:
    """Which search a state belongs to: all that tells one search of a statement from another."""

    bound: Fraction
    column: int
    silence: int
    order: int

    def __str__(self) -> str:
        """The text in the journal."""
        return f"bound {self.bound}, column {self.column}, silence {self.silence}, order {self.order}"


@dataclass(frozen=True)
class Plan:
    """What was settled before the first search: the bounds to be tried in turn, and the largest error seen by then."""

    bounds: tuple[Fraction, ...]
    error: float
    point: tuple[float, ...]
    column: int
    row: int

    def to_text(self) -> str:
        """The text in the journal; floats in hexadecimal."""
        point = [x.hex() for x in self.point]
        place = {"error": self.error.hex(), "point": point, "column": self.column, "row": self.row}
        return json.dumps({"bounds": [str(bound) for bound in self.bounds], **place})

    @classmethod
    def from_text(cls, text: str) -> Plan:
        """Read it again."""
        value = json.loads(text)
        point = tuple(float.fromhex(x) for x in value["point"])
        bounds = tuple(Fraction(bound) for bound in value["bounds"])
        return cls(bounds, float.fromhex(value["error"]), point, value["column"], value["row"])


def parameters() -> str:
    """What the course of a search depends on beside the statement: a journal of another search cannot be resumed."""
    of_paving = {name: getattr(paving, name) for name in ("ROUND_BYTES", "FIRST_ENTRIES", "MARGIN")}
    return json.dumps(of_paving | {"MAX_LEVEL": boxes.MAX_LEVEL, "engine": paving.ENGINE})


def journal_path(output: Path) -> Path:
    """Where the journal of a search stands whose certificate is to be written to `output`."""
    return output.with_name(output.name + ".journal")


def remove(path: Path) -> None:
    """Remove a journal, if it is there, with what SQLite keeps beside it."""
    for suffix in ("", "-wal", "-shm", "-journal"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def discard(path: Path) -> None:
    """Remove a file if it is a journal."""
    try:
        _require_journal(path)
    except InvalidJournal:
        return
    remove(path)


def read_document(path: Path) -> str:
    """The certificate that a journal is about; raises InvalidJournal."""
    journal = Journal.resume(path)
    journal.close()
    return journal.document()


@dataclass
class _Written:
    """What the journal holds of a search that has not ended."""

    number: int
    stack: tuple[Block, ...] = ()
    steps: int = 0


@dataclass
class Journal:
    """A journal, about to begin or resumed. `document` gives the certificate that is being proved, as text.

    A failure to write (a full disk, say) does not end the search: `failure` then says what went wrong, and the file
    stays at the last round that was written.
    """

    path: Path
    digest: str
    document: Callable[[], str]
    plan: Plan | None = None
    failure: str | None = None
    _db: sqlite3.Connection | None = None
    _started: float = field(default_factory=time.monotonic)
    _ended: dict[SearchName, tuple[Search, str]] = field(default_factory=dict)
    _begun: dict[SearchName, tuple[SplitTree, State]] = field(default_factory=dict)
    _written: dict[SearchName, _Written] = field(default_factory=dict)

    @classmethod
    def new(cls, path: Path, digest: str, document: Callable[[], str]) -> Journal:
        """A journal that takes the place of any other at that path, once it begins.

        Raises InvalidJournal if there is a file that is no journal, or one in use.
        """
        if path.exists():
            _require_journal(path)
            try:
                _open(path).close()
            except sqlite3.Error as error:
                if _is_busy(error):
                    raise _explained(path, error) from None
        return cls(path, digest, document)

    @classmethod
    def resume(cls, path: Path, digest: str | None = None) -> Journal:
        """Open a journal to go on with its search; raises InvalidJournal with the reason if that is not possible.

        digest: of the statement that it must belong to.
        """
        if not path.exists():
            raise InvalidJournal(f"{path}: there is no journal to resume ({WHICH})")
        _require_journal(path)
        journal = cls(path, "", str)
        try:
            journal._db = _open(path)
            journal._load(digest)
        except BaseException as error:
            journal.close()
            raise _explained(path, error) from None
        return journal

    @property
    def begun(self) -> bool:
        """Whether there is a file that this journal has written or resumed."""
        return self._db is not None

    def ended(self, name: SearchName) -> tuple[Search, str] | None:
        """The answer of a search that has ended, and its tree."""
        return self._ended.get(name)

    def running(self, name: SearchName, search: PavingSearch) -> tuple[SplitTree, State] | None:
        """The state that the search was left in; asked once."""
        if not self._begun:
            return None
        if name not in self._begun:
            raise InvalidJournal(f"{self.path}: the journal is of another search")
        begun = self._begun.pop(name)
        if not search.fits(*begun):
            raise InvalidJournal(f"{self.path}: the journal is damaged: it is not of a search for this statement")
        return begun

    def save(self, name: SearchName, tree: SplitTree, state: State) -> None:
        """Record the state of a search after a round; the first time once DELAY has passed."""
        if self.failure is not None or (self._db is None and time.monotonic() - self._started < DELAY):
            return
        with self._writing() as db:
            self._save(db, name, tree, state)

    def finish(self, name: SearchName, search: Search, text: str) -> None:
        """Record the answer of a search that has ended, and its tree as it stands in the evidence."""
        self._ended[name] = search, text
        if self.failure is None and self._db is not None:
            with self._writing() as db:
                self._finish(db, name, search, text)

    def close(self) -> None:
        """Copy the log into the file and let go of it."""
        if self._db is not None:
            self._db.close()

    # --- writing -----------------------------------------------------------------------------------------------------

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction in the file, which is made if need be."""
        try:
            if self._db is None:
                self._db = self._create()
            with self._db:
                self._db.execute("BEGIN IMMEDIATE")
                yield self._db
        except (sqlite3.Error, OSError, OverflowError) as error:
            self.failure = f"{self.path}: the journal could not be written: {_reason(error)}"

    def _create(self) -> sqlite3.Connection:
        assert self.plan is not None
        texts = {"format": FORMAT, "version": _version(), "parameters": parameters(), "plan": self.plan.to_text()}
        texts |= {"statement_sha256": self.digest, "document": self.document()}
        remove(self.path)
        db = None
        try:
            db = _open(self.path, new=True)
            with db:
                db.execute("BEGIN IMMEDIATE")
                for statement in SCHEMA.split(";"):
                    db.execute(statement)
                rows = [(name, text, _crc(text.encode())) for name, text in texts.items()]
                db.executemany("INSERT INTO meta VALUES (?, ?, ?)", rows)
                for name, (search, text) in self._ended.items():
                    self._finish(db, name, search, text)
        except BaseException:
            if db is not None:
                db.close()
            remove(self.path)
            raise
        return db

    def _save(self, db: sqlite3.Connection, name: SearchName, tree: SplitTree, state: State) -> None:
        written = self._written.get(name) or _Written(_next_number(db))
        common = 0
        while common < min(len(written.stack), len(state.stack)) and written.stack[common] is state.stack[common]:
            common += 1
        db.execute("DELETE FROM open WHERE search = ? AND place >= ?", (written.number, common))
        for place in range(common, len(state.stack)):
            data = block_to_bytes(state.stack[place])
            db.execute("INSERT INTO open VALUES (?, ?, ?, ?)", (written.number, place, data, _crc(data)))
        for place in range(written.steps, len(tree.steps)):
            step = tree.steps[place]
            nodes, axes = _raw(step.nodes, "<i8"), None if step.axes is None else _raw(step.axes, "<i1")
            crc = _crc(nodes + (axes or b""))
            db.execute(
                "INSERT INTO step VALUES (?, ?, ?, ?, ?, ?)", (written.number, place, step.code, nodes, axes, crc)
            )
        counts = len(tree.steps), len(state.stack)
        _write_row(db, written.number, name, RUNNING, "", state, math.inf, counts, "")
        self._written[name] = _Written(written.number, state.stack, len(tree.steps))

    def _finish(self, db: sqlite3.Connection, name: SearchName, search: Search, text: str) -> None:
        written = self._written.pop(name, None)
        number = _next_number(db) if written is None else written.number
        for table in ("open", "step"):
            db.execute(f"DELETE FROM {table} WHERE search = ?", (number,))
        found = State((), search.boxes, 0.0, search.worst, search.worst_point, search.worst_entry, search.stuck_at)
        _write_row(db, number, name, search.status, search.cause, found, search.upper, (0, 0), text)

    # --- reading -----------------------------------------------------------------------------------------------------

    def _load(self, digest: str | None) -> None:
        db = self._db
        assert db is not None
        if not db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]:
            raise InvalidJournal(f"{self.path}: the journal is empty: the search was stopped before it was recorded")
        meta = _meta(db)
        self._require(meta, "format", FORMAT, "of another format")
        self._require(meta, "version", _version(), "of another version of attncert")
        self._require(meta, "parameters", parameters(), "of a search with other parameters")
        if digest is not None:
            self._require(meta, "statement_sha256", digest, "of another statement than the certificate")
        if db.execute("PRAGMA quick_check").fetchone() != ("ok",):
            raise ValueError("its pages do not fit together")
        self.digest, text = meta["statement_sha256"], meta["document"]
        self.document = lambda: text
        self.plan = Plan.from_text(meta["plan"])
        for row in db.execute(f"SELECT number, {', '.join(COLUMNS)}, crc FROM search ORDER BY number").fetchall():
            self._load_search(db, row)

    def _require(self, meta: dict[str, str], name: str, value: str, otherwise: str) -> None:
        if meta[name] != value:
            raise InvalidJournal(f"{self.path}: the journal is {otherwise}")

    def _load_search(self, db: sqlite3.Connection, row: tuple[Any, ...]) -> None:
        number, fields, crc = row[0], row[1:-1], row[-1]
        if _crc(repr(fields).encode()) != crc:
            raise ValueError("the checksum of a search is wrong")
        value = dict(zip(COLUMNS, fields, strict=True))
        name = _name_of(value["name"])
        point = None if value["point"] is None else tuple(_array(value["point"], "<f8").tolist())
        sides = None if value["stuck"] is None else _array(value["stuck"], "<f8").reshape(-1, 2).tolist()
        stuck = None if sides is None else tuple((lo, hi) for lo, hi in sides)
        found = value["worst"], point, value["entry"]
        if value["status"] != RUNNING:
            end = value["status"], SplitTree(), value["boxes"], *found, value["upper"], stuck
            self._ended[name] = Search(*end, cause=value["cause"]), value["tree"]
            return
        tree = SplitTree.grown(_steps(db, number, value["steps"]))
        stack = _blocks(db, number, value["blocks"], tree.size)
        self._begun[name] = tree, State(stack, value["boxes"], value["volume"], *found, stuck)
        self._written[name] = _Written(number, stack, len(tree.steps))


# --- the file --------------------------------------------------------------------------------------------------------

COLUMNS = (
    *("name", "status", "cause", "boxes", "volume", "worst", "point", "entry", "upper", "stuck", "steps", "blocks"),
    "tree",
)


def _write_row(
    db: sqlite3.Connection,
    number: int,
    name: SearchName,
    status: str,
    cause: str,
    found: State,
    upper: float,
    counts: tuple[int, int],
    tree: str,
) -> None:
    point = None if found.worst_point is None else _raw(np.array(found.worst_point), "<f8")
    stuck = None if found.stuck_at is None else _raw(np.array(found.stuck_at), "<f8")
    best = found.worst, point, found.worst_entry, upper, stuck
    fields = (str(name), status, cause, found.boxes, found.volume, *best, *counts, tree)
    marks = ", ".join("?" * (len(COLUMNS) + 2))
    db.execute(
        f"INSERT OR REPLACE INTO search (number, {', '.join(COLUMNS)}, crc) VALUES ({marks})",
        (number, *fields, _crc(repr(fields).encode())),
    )


def _next_number(db: sqlite3.Connection) -> int:
    number: int = db.execute("SELECT coalesce(max(number), 0) + 1 FROM search").fetchone()[0]
    return number


def _meta(db: sqlite3.Connection) -> dict[str, str]:
    meta = {}
    for name, value, crc in db.execute("SELECT name, value, crc FROM meta"):
        if _crc(value.encode()) != crc:
            raise ValueError(f"the checksum of the {name} is wrong")
        meta[name] = value
    return meta


def _version() -> str:
    try:
        return version("attncert")
    except PackageNotFoundError:
        return "not installed"


def _name_of(text: str) -> SearchName:
    parts = [part.split(" ") for part in text.split(", ")]
    if [key for key, _ in parts] != ["bound", "column", "silence", "order"]:
        raise ValueError("the name of a search cannot be read")
    bound, *numbers = [number for _, number in parts]
    return SearchName(Fraction(bound), *map(int, numbers))


def _steps(db: sqlite3.Connection, search: int, count: int) -> list[Growth]:
    rows = db.execute("SELECT code, nodes, axes, crc FROM step WHERE search = ? ORDER BY number", (search,))
    steps = []
    for code, nodes, axes, crc in rows:
        if _crc(nodes + (axes or b"")) != crc:
            raise ValueError("the checksum of a step of the tree is wrong")
        steps.append(Growth(_array(nodes, "<i8"), None if axes is None else _array(axes, "<i1"), code))
    if len(steps) != count:
        raise ValueError("steps of the tree are missing")
    return steps


def _blocks(db: sqlite3.Connection, search: int, count: int, nodes: int) -> tuple[Block, ...]:
    rows = db.execute("SELECT boxes, crc FROM open WHERE search = ? ORDER BY place", (search,))
    blocks = []
    for data, crc in rows:
        if _crc(data) != crc:
            raise ValueError("the checksum of a block of boxes is wrong")
        blocks.append(block_from_bytes(data))
        if not 0 <= int(blocks[-1].node.min()) <= int(blocks[-1].node.max()) < nodes:
            raise ValueError("an open box is not in the tree")
    if len(blocks) != count:
        raise ValueError("open boxes are missing")
    return tuple(blocks)


TYPES = {"node": "<i8", "index": "<i8", "level": "<i1", "dropped": "<i4", "counts": "<i4", "tokens": "<i4"}
"""How the arrays of a block are written, in this order, after the numbers of boxes, dimensions and tokens."""


def block_to_bytes(block: Block) -> bytes:
    """A block as bytes."""
    boxes, m = block.index.shape
    arrays = (_raw(getattr(block, name), dtype) for name, dtype in TYPES.items())
    return b"".join((struct.pack("<3q", boxes, m, len(block.tokens)), *arrays))


def block_from_bytes(data: bytes) -> Block:
    """The block again; raises ValueError or struct.error where the bytes make none."""
    boxes, m, tokens = struct.unpack_from("<3q", data)
    sizes = {"node": boxes, "index": boxes * m, "level": boxes * m, "dropped": boxes, "counts": boxes, "tokens": tokens}
    place = struct.calcsize("<3q")
    arrays: dict[str, Any] = {}
    for name, dtype in TYPES.items():
        stop = place + sizes[name] * np.dtype(dtype).itemsize
        native = np.int32 if name == "tokens" else np.int64
        arrays[name] = np.frombuffer(data[place:stop], dtype).astype(native)
        place = stop
    if place != len(data) or boxes < 1:
        raise ValueError("a block of boxes has the wrong length")
    for name in ("index", "level"):
        arrays[name] = arrays[name].reshape(boxes, m)
    block = Block(**arrays)
    if block.counts.min() < 1 or int(block.counts.sum()) != tokens:
        raise ValueError("a block of boxes has the wrong number of tokens")
    return block


def _raw(array: npt.NDArray[Any], dtype: str) -> bytes:
    return array.astype(dtype, copy=False).tobytes()


def _array(data: bytes, dtype: str) -> npt.NDArray[Any]:
    read = np.frombuffer(data, dtype)
    return read.astype(read.dtype.newbyteorder("="))


def _crc(data: bytes) -> int:
    return zlib.crc32(data)


def _open(path: Path, *, new: bool = False) -> sqlite3.Connection:
    """A connection that holds the file alone; raises sqlite3.Error, SQLITE_BUSY if another process has it."""
    mode = "rwc" if new else "rw"
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode={mode}", uri=True, isolation_level=None, timeout=0.0)
    try:
        if new:
            db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            db.execute(f"PRAGMA application_id = {APPLICATION}")
        db.execute("PRAGMA locking_mode = EXCLUSIVE")  # before the log is first used: there is then no -shm file
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute(f"PRAGMA wal_autocheckpoint = {LOG_BYTES // PAGE_BYTES}")
        db.execute("BEGIN IMMEDIATE")
        db.execute("COMMIT")
    except BaseException:
        db.close()
        raise
    return db


def _require_journal(path: Path) -> None:
    """Raise InvalidJournal for a file of somebody else's: it is neither resumed nor overwritten."""
    try:
        with path.open("rb") as file:
            header = file.read(100)
    except OSError as error:
        raise InvalidJournal(f"{path}: {error.strerror}") from None
    ours = header[:16] == b"SQLite format 3\0" and header[68:72] == struct.pack(">I", APPLICATION)
    if header and not ours:
        raise InvalidJournal(f"{path}: the file is no journal of attncert, or damaged")


def _is_busy(error: BaseException) -> bool:
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorname", "").startswith("SQLITE_BUSY")


def _explained(path: Path, error: BaseException) -> BaseException:
    """What the user is told when a journal cannot be read; the error itself where that is no fault of the journal."""
    if _is_busy(error):
        return InvalidJournal(f"{path}: the journal is in use by another process")
    faults = (sqlite3.Error, ValueError, LookupError, TypeError, AttributeError, OverflowError, struct.error)
    if isinstance(error, faults) and not isinstance(error, InvalidJournal):
        return InvalidJournal(f"{path}: the journal is damaged: {_reason(error)}")
    return error


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError):
        return str(error.strerror)
    return f"it lacks {error}" if isinstance(error, LookupError) else str(error)
