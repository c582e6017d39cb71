"""Named tensors of exact numbers, read from weights files: `.npz`, `.safetensors`, `.json` and PyTorch's own.

A file is opened, measured and its table of contents read; the numbers of a tensor are read when they are asked for, and
are then the very rationals that the file holds. Nothing in a file is executed, and no file needs PyTorch.
"""

from __future__ import annotations

import json
import math
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from attncert.certificates.errors import InputError, InvalidWeights
from attncert.certificates.numbers import parse_exact

Array = npt.NDArray[Any]
Shape = tuple[int, ...]

MAX_FILE = 4 << 30
"""Most bytes of a file whose tensors are read one by one."""

MAX_TEXT = 64 << 20
"""Most bytes of a JSON file, a header, or a pickle, which are read whole."""

MAX_NUMBERS = 4_000_000
"""Most numbers of a tensor that is used."""

MAX_STORAGE = 16 * MAX_NUMBERS
"""Most bytes that are read for a tensor."""

MAX_TENSORS = 100_000
"""Most tensors of a file."""

TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")
SUFFIXES = (".npz", ".safetensors", ".json", *TORCH_SUFFIXES)

_STORED = {
    "float16": "f2",
    "bfloat16": "u2",
    "float32": "f4",
    "float64": "f8",
    "int8": "i1",
    "int16": "i2",
    "int32": "i4",
    "int64": "i8",
    "uint8": "u1",
}
"""The types whose numbers are read, and how numpy reads their bytes."""


@dataclass(frozen=True)
class Tensor:
    """A tensor of a file: its shape, the type of its numbers as far as the file names one, and how to read them.

    `read` returns the numbers in row-major order.
    """

    shape: Shape
    dtype: str
    read: Callable[[], list[Fraction]] = field(repr=False)


@dataclass(frozen=True)
class TensorFile:
    """The tensors of a weights file, by name; `path` is for messages. `attention` is a head that a file spells out."""

    path: Path
    tensors: Mapping[str, Tensor]
    attention: Mapping[str, Any] | None = None

    def find(self, name: str) -> Tensor:
        """The tensor of that name; raises InvalidWeights when it is missing."""
        tensor = self.tensors.get(name)
        if tensor is None:
            known = ", ".join(list(self.tensors)[:12]) + (", ..." if len(self.tensors) > 12 else "")
            raise InvalidWeights(f"{self.path}: the tensor {name!r} is missing; the file has {known or 'none'}")
        return tensor

    def numbers(self, name: str) -> tuple[Shape, list[Fraction]]:
        """The shape and the exact numbers of a tensor, in row-major order.

        Raises InvalidWeights with the name of the tensor: missing, too large, damaged, or with NaN or an infinity.
        """
        tensor = self.find(name)
        with _named(self.path, f"the tensor {name!r}: "):
            if math.prod(tensor.shape) > MAX_NUMBERS:
                raise InvalidWeights(f"its shape {tensor.shape} means more than {MAX_NUMBERS:,} numbers")
            return tensor.shape, tensor.read()


def read_tensors(path: str | Path, dtype: str | None = None) -> TensorFile:
    """Open a weights file; its suffix says how it is written.

    dtype: for a `.json` file `"float32"`, `"float64"` and so on: each of its numbers means the nearest of that type,
    as in a file that was printed from such numbers. Otherwise it means the rational that it spells.

    Raises InvalidWeights with the path and one reason for a file that is too large, damaged, or of another kind.
    """
    from attncert.torch_files import open_torch

    path = Path(path)
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise InvalidWeights(f"{path}: a weights file ends in {', '.join(SUFFIXES)}")
    if dtype is not None and (suffix != ".json" or dtype not in ("float16", "float32", "float64")):
        raise InvalidWeights(f"{path}: dtype is float16, float32 or float64, and for .json files only")
    with _named(path):
        size = _size(path)
        limit = MAX_TEXT if suffix == ".json" else MAX_FILE
        if size > limit:
            raise InvalidWeights(f"{_bytes(size)} are too many: such a file may have {_bytes(limit)}")
        match suffix:
            case ".npz":
                return TensorFile(path, _open_npz(path))
            case ".safetensors":
                return TensorFile(path, _open_safetensors(path, size))
            case ".json":
                return _open_json(path, dtype)
            case _:
                return TensorFile(path, open_torch(path))


@contextmanager
def prefixed(words: str) -> Iterator[None]:
    """Put words before the message of bad input."""
    try:
        yield
    except InputError as error:
        raise InvalidWeights(f"{words}{error}") from None


_DAMAGE = (ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error, struct.error, SyntaxError, LookupError,
           OverflowError, MemoryError, TypeError)  # fmt: skip
"""What the readers of zip archives, arrays, JSON and pickles raise for damaged and hostile files."""


@contextmanager
def _named(path: Path, what: str = "") -> Iterator[None]:
    """Make every failure one line with the path."""
    try:
        with prefixed(f"{path}: {what}"):
            yield
    except InvalidWeights:
        raise
    except OSError as error:
        raise InvalidWeights(f"{path}: {what}{error.strerror or error}") from None
    except _DAMAGE as error:
        raise InvalidWeights(f"{path}: {what}damaged, or not what its suffix says: {error}") from None


def _size(path: Path) -> int:
    """The bytes of a regular file."""
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise InvalidWeights("not a regular file")
    return status.st_size


def _bytes(size: int) -> str:
    return f"{size / (1 << 30):.1f} GiB" if size >= 1 << 30 else f"{size / (1 << 20):.1f} MiB"


def stored(array: Array) -> list[Fraction]:
    """The exact values of an array of numbers, row by row; raises InvalidWeights for NaN and infinities."""
    if not np.isfinite(array).all():
        place = tuple(map(int, np.argwhere(~np.isfinite(array))[0]))
        raise InvalidWeights(f"the entry {list(place)} is not a finite number")
    return [Fraction(number) for number in array.ravel().tolist()]  # float16 and float32 are floats exactly


def decoded(data: bytes, dtype: str, shape: Shape, order: str = "<") -> Array:
    """The array that bytes hold; bfloat16 is widened to float32, whose upper half it is."""
    array = np.frombuffer(data, np.dtype(order + _STORED[dtype]))
    if dtype == "bfloat16":
        array = (array.astype(np.uint32) << 16).view(np.float32)
    return array.reshape(shape)


def width(dtype: str) -> int:
    """The bytes of a number; raises InvalidWeights for a type that is not read."""
    if dtype not in _STORED:
        raise InvalidWeights(f"numbers of the type {dtype} are not read, only {', '.join(_STORED)}")
    return int(_STORED[dtype][1:])


def require_contents(names: list[str]) -> None:
    """Raise InvalidWeights when a name stands twice, or there are too many."""
    if len(names) > MAX_TENSORS:
        raise InvalidWeights(f"more than {MAX_TENSORS:,} tensors")
    if len(set(names)) < len(names):
        twice = next(name for k, name in enumerate(names) if name in names[:k])
        raise InvalidWeights(f"the name {twice!r} stands twice")


def open_zip(path: Path) -> zipfile.ZipFile:
    """Open a zip archive whose members have different names; raises InvalidWeights."""
    if not zipfile.is_zipfile(path):
        raise InvalidWeights("not a zip archive, or a truncated one")
    archive = zipfile.ZipFile(path)
    require_contents(archive.namelist())
    return archive


def member(path: Path, name: str, size: int) -> bytes:
    """The bytes of a member of a zip archive, which must be exactly that many."""
    with zipfile.ZipFile(path) as archive:
        found = archive.getinfo(name)
        if found.file_size != size:
            raise InvalidWeights(f"{name} has {found.file_size:,} bytes where {size:,} are needed")
        if size > MAX_STORAGE:
            raise InvalidWeights(f"{name} has {size:,} bytes, more than {MAX_STORAGE:,}")
        with archive.open(found) as stream:
            return stream.read(size)


# --- the formats -----------------------------------------------------------------------------------------------------


def _open_npz(path: Path) -> dict[str, Tensor]:
    tensors = {}
    with open_zip(path) as archive:
        for found in archive.infolist():
            if not found.filename.endswith(".npy"):
                raise InvalidWeights(f"{found.filename} is no array of numpy")
            name = found.filename[:-4]
            with archive.open(found) as stream, prefixed(f"the tensor {name!r}: "):
                version = np.lib.format.read_magic(stream)
                readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
                if version not in readers:
                    raise InvalidWeights(f"arrays of the version {version} are not read")
                shape, column_major, dtype = readers[version](stream)
                begin = stream.tell()
                if min(shape, default=0) < 0:
                    raise InvalidWeights(f"the shape {shape} is none")
            tensors[name] = Tensor(shape, str(dtype), _npy_reader(path, found, begin, shape, column_major, dtype))
    return tensors


def _npy_reader(
    path: Path, found: zipfile.ZipInfo, begin: int, shape: Shape, column_major: bool, dtype: np.dtype[Any]
) -> Callable[[], list[Fraction]]:
    def read() -> list[Fraction]:
        if dtype.name == "bfloat16" or dtype.kind == "V":
            raise InvalidWeights("numpy does not say what its numbers are; bfloat16 is read from .safetensors and .pt")
        size = begin + math.prod(shape) * width(dtype.name)
        data = member(path, found.filename, size)[begin:]
        order = ">" if dtype.str.startswith(">") else "<"
        array = decoded(data, dtype.name, shape[::-1] if column_major else shape, order)
        return stored(array.T if column_major else array)

    return read


_SAFETENSORS = {
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
    "I8": "int8",
    "I16": "int16",
    "I32": "int32",
    "I64": "int64",
    "U8": "uint8",
}


def _open_safetensors(path: Path, size: int) -> dict[str, Tensor]:
    """Read the header: 8 bytes with its length, then JSON; the bytes of all tensors follow without holes."""
    with path.open("rb") as stream:
        start = stream.read(8)
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else 0
        if not 2 <= length <= min(size - 8, MAX_TEXT):
            raise InvalidWeights(f"not a safetensors file: its header is said to have {length:,} bytes")
        header = _load_json(stream.read(length))
    if not isinstance(header, dict):
        raise InvalidWeights("not a safetensors file: its header is no object")
    header.pop("__metadata__", None)
    require_contents(list(header))
    tensors, places = {}, []
    for name, entry in header.items():
        match entry:
            case {"dtype": str(kind), "shape": list(sides), "data_offsets": [int(begin), int(end)]} if (
                all(type(side) is int and side >= 0 for side in sides) and 0 <= begin <= end <= size - 8 - length
            ):
                dtype, shape = _SAFETENSORS.get(kind, kind), tuple(sides)
                places.append((begin, end))
                tensors[name] = Tensor(shape, dtype, _slice_reader(path, 8 + length + begin, end - begin, dtype, shape))
            case _:
                raise InvalidWeights(f"the tensor {name!r}: its dtype, shape or data_offsets do not fit the file")
    at = 0
    for begin, end in sorted(places):
        if begin != at:
            raise InvalidWeights("the bytes of its tensors overlap, or leave holes")
        at = end
    if at != size - 8 - length:
        raise InvalidWeights(f"{size - 8 - length - at:,} bytes after the last tensor")
    return tensors


def _slice_reader(path: Path, begin: int, size: int, dtype: str, shape: Shape) -> Callable[[], list[Fraction]]:
    def read() -> list[Fraction]:
        if size != math.prod(shape) * width(dtype):
            raise InvalidWeights(f"{size:,} bytes do not make {dtype} numbers of shape {shape}")
        with path.open("rb") as stream:
            stream.seek(begin)
            return stored(decoded(stream.read(size), dtype, shape))

    return read


def _open_json(path: Path, dtype: str | None) -> TensorFile:
    """An object of nested lists of numbers; or the `attention` object of a certificate, or a whole certificate."""
    value = _load_json(path.read_bytes())
    if not isinstance(value, dict):
        raise InvalidWeights("not an object that maps names to nested lists of numbers")
    if isinstance(statement := value.get("statement"), dict):
        value = statement.get("attention")
    if isinstance(value, dict) and "kind" in value:
        if dtype is not None:
            raise InvalidWeights("dtype does not go with the numbers of a certificate, which are exact")
        return TensorFile(path, {}, value)
    if not isinstance(value, dict):
        raise InvalidWeights("the certificate has no head")
    tensors = {}
    for name, entries in value.items():
        with prefixed(f"the tensor {name!r}: "):
            shape = _json_shape(entries)
            flat = [entries]
            for _ in shape:
                flat = [entry for entries in flat for entry in entries]
        tensors[name] = Tensor(shape, dtype or "exact", _json_reader(flat, dtype))
    return TensorFile(path, tensors)


def _json_shape(entries: Any) -> Shape:
    """The shape of nested lists; raises InvalidWeights unless they are rectangular."""
    if not isinstance(entries, list):
        return ()
    shapes = {_json_shape(entry) for entry in entries}
    if len(shapes) > 1:
        raise InvalidWeights("its rows differ in length")
    return (len(entries), *(shapes.pop() if shapes else ()))


def _json_reader(flat: list[Any], dtype: str | None) -> Callable[[], list[Fraction]]:
    def read() -> list[Fraction]:
        if not all(isinstance(entry, str) or type(entry) is int for entry in flat):
            raise InvalidWeights("its entries are numbers, or exact numbers in strings")
        exact = [parse_exact(entry) if isinstance(entry, str) else Fraction(entry) for entry in flat]
        return exact if dtype is None else [_nearest(x, dtype) for x in exact]

    return read


def _nearest(x: Fraction, dtype: str) -> Fraction:
    """The number of a floating-point type that is nearest to x; ties to even.

    What rounding to float64 first would spoil, a tie of the narrower type, is told apart exactly.
    """
    try:
        wide = float(x)
    except OverflowError:
        raise InvalidWeights(f"a number is out of the range of {dtype}") from None
    with np.errstate(over="ignore"):
        kind: Any = np.dtype(dtype).type
        near = kind(wide)
        around = [kind(near), np.nextafter(near, kind(-np.inf)), np.nextafter(near, kind(np.inf))]
    if not np.isfinite(near):
        raise InvalidWeights(f"a number is out of the range of {dtype}")
    finite = [Fraction(float(y)) for y in around if np.isfinite(y)]
    distance = min(abs(x - y) for y in finite)
    nearest = [y for y in finite if abs(x - y) == distance]
    return nearest[0]


def _load_json(text: bytes) -> Any:
    """JSON whose fractions stay the strings that spell them. Names that stand twice, NaN and Infinity are refused."""

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        require_contents([name for name, _ in items])
        return dict(items)

    def constant(name: str) -> Any:
        raise InvalidWeights(f"{name} is not a finite number")

    return json.loads(text, parse_float=str, parse_constant=constant, object_pairs_hook=pairs)
