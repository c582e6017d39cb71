"""PyTorch's own files: the state_dict that `torch.save` wrote, read without PyTorch, and without running its pickle.

Such a file is a zip archive: a pickle that names tensors, their shapes and their storages, and one member for each
storage with its raw bytes. A pickle is a program for a stack machine that may call anything. Here its instructions are
interpreted one by one, and nothing is imported or called: what a state_dict needs (dictionaries, tuples, numbers,
strings, and the two functions that make a tensor or a parameter of a storage) is written down as data, and everything
else is refused.
"""

from __future__ import annotations

import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from attncert.certificates.errors import InvalidWeights
from attncert.tensors import MAX_TENSORS, MAX_TEXT, Shape, Tensor, decoded, member, open_zip, stored, width

_STORAGES = {
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "CharStorage": "int8",
    "ShortStorage": "int16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "ByteStorage": "uint8",
}

MAX_NESTING = 8
"""Most dictionaries inside one another in a checkpoint."""


@dataclass(frozen=True)
class _Global:
    """A name that the pickle wants imported. It is not."""

    name: str


@dataclass(frozen=True)
class _Storage:
    """The raw numbers that a tensor is a view of."""

    key: str
    dtype: str
    count: int


@dataclass(frozen=True)
class _View:
    """A tensor: the place of its first number in the storage, its shape, and the steps along each axis."""

    storage: _Storage
    offset: int
    shape: Shape
    strides: Shape


def open_torch(path: Path) -> dict[str, Tensor]:
    """The tensors of a PyTorch file; those in nested dictionaries have names joined by dots.

    Raises InvalidWeights for anything but dictionaries of tensors and plain values, and whatever the readers of damaged
    archives and pickles raise.
    """
    with open_zip(path) as archive:
        sizes = {found.filename: found.file_size for found in archive.infolist()}
        pickles = [name for name in sizes if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise InvalidWeights("not a file that torch.save wrote: no data.pkl in it")
        if sizes[pickles[0]] > MAX_TEXT:
            raise InvalidWeights(f"its pickle has {sizes[pickles[0]]:,} bytes, too many for a state_dict")
        value = read_pickle(archive.read(pickles[0]))
        folder = pickles[0].removesuffix("data.pkl")
        ends = archive.read(f"{folder}byteorder") if sizes.get(f"{folder}byteorder", 99) < 99 else b"little"
    if ends not in (b"little", b"big"):
        raise InvalidWeights("its byte order is neither little nor big")
    order = ">" if ends == b"big" else "<"
    return {
        name: Tensor(view.shape, view.storage.dtype, _reader(path, f"{folder}data/{view.storage.key}", view, order))
        for name, view in _flat(value).items()
    }


def _flat(value: Any) -> dict[str, _View]:
    """The tensors of nested dictionaries, by their names joined with dots; other entries are left out."""
    found: dict[str, _View] = {}
    level, seen = [("", value)], 0
    for _ in range(MAX_NESTING):
        inner = []
        for prefix, entries in level:
            if not isinstance(entries, dict):
                raise InvalidWeights("not a state_dict: it holds no dictionary of tensors")
            seen += len(entries)
            if seen > MAX_TENSORS:
                raise InvalidWeights(f"more than {MAX_TENSORS:,} entries")
            for key, entry in entries.items():
                name = f"{prefix}{key}"
                if name in found:
                    raise InvalidWeights(f"the name {name!r} stands twice")
                if isinstance(entry, _View):
                    found[name] = entry
                elif isinstance(entry, dict):
                    inner.append((f"{name}.", entry))
        level = inner
        if not level:
            return found
    raise InvalidWeights(f"more than {MAX_NESTING} dictionaries inside one another")


def _reader(path: Path, name: str, view: _View, order: str) -> Callable[[], list[Fraction]]:
    storage = view.storage

    def read() -> list[Fraction]:
        data = member(path, name, storage.count * width(storage.dtype))
        numbers = decoded(data, storage.dtype, (storage.count,), order)
        places = np.full(view.shape, view.offset, np.int64)
        for axis, (side, step) in enumerate(zip(view.shape, view.strides, strict=True)):
            shape = [1] * len(view.shape)
            shape[axis] = side
            places += (np.arange(side, dtype=np.int64) * step).reshape(shape)
        return stored(numbers[places])

    return read


# --- the pickle ------------------------------------------------------------------------------------------------------

_MARK = object()
_HINT = "not run, as only tensors in dictionaries are read (save model.state_dict())"


def read_pickle(data: bytes) -> Any:
    """The value of a pickle that is made of plain values and tensors only.

    Raises InvalidWeights for an instruction or a name that no state_dict needs; ValueError, LookupError or TypeError
    for a damaged pickle.
    """
    stack: list[Any] = []
    memo: dict[Any, Any] = {}

    def marked() -> list[Any]:
        """Take everything above the last mark off the stack, and the mark."""
        items = []
        while (item := stack.pop()) is not _MARK:
            items.append(item)
        return items[::-1]

    for instruction, argument, _ in pickletools.genops(data):
        match instruction.name:
            case "PROTO" | "FRAME":
                pass
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(instruction.name == "NEWTRUE")
            case "BININT" | "BININT1" | "BININT2" | "LONG1" | "LONG4" | "BINFLOAT" | "BINUNICODE" | "SHORT_BINUNICODE":
                stack.append(argument)
            case "MARK":
                stack.append(_MARK)
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE":
                stack.append(tuple(marked()))
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(instruction.name[-1])
                if len(stack) < count:
                    raise ValueError("a tuple of what is not there")
                stack[-count:] = [tuple(stack[-count:])]
            case "EMPTY_LIST":
                stack.append([])
            case "APPEND":
                item = stack.pop()
                _kept(stack, list).append(item)
            case "APPENDS":
                items = marked()
                _kept(stack, list).extend(items)
            case "EMPTY_DICT":
                stack.append({})
            case "SETITEM":
                entry = stack.pop()
                _set(stack, [stack.pop(), entry])
            case "SETITEMS":
                _set(stack, marked())
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "GLOBAL":
                stack.append(_Global(str(argument).replace(" ", ".")))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                stack.append(_Global(f"{module}.{name}"))
            case "BINPERSID":
                stack.append(_storage(stack.pop()))
            case "REDUCE":
                arguments, function = stack.pop(), stack.pop()
                stack.append(_rebuilt(function, arguments))
            case "BUILD":  # attributes of a state_dict, such as _metadata, say nothing of its tensors
                stack.pop()
                _kept(stack, dict)
            case "STOP":
                return stack.pop()
            case other:
                raise InvalidWeights(f"its pickle has the instruction {other}, which no state_dict needs: {_HINT}")
    raise ValueError("a pickle without an end")


def _kept(stack: list[Any], kind: type[Any]) -> Any:
    """The top of the stack, which stays there."""
    if type(stack[-1]) is not kind:
        raise InvalidWeights(f"its pickle fills what is no dictionary or list: {_HINT}")
    return stack[-1]


def _set(stack: list[Any], items: list[Any]) -> None:
    entries = _kept(stack, dict)
    for key, entry in zip(items[::2], items[1::2], strict=True):
        if not isinstance(key, str | int):  # optimizers number their entries
            raise InvalidWeights("the keys of a state_dict are names")
        if key in entries:
            raise InvalidWeights(f"the name {key!r} stands twice")
        entries[key] = entry


def _storage(name: Any) -> _Storage:
    match name:
        case ("storage", _Global(kind), str(key), _, int(count)) if kind.startswith("torch.") and count >= 0:
            stored_as = kind.removeprefix("torch.")
            return _Storage(key, _STORAGES.get(stored_as, stored_as), count)
    raise InvalidWeights("its pickle refers to what is no storage of a tensor")


def _rebuilt(function: Any, arguments: Any) -> Any:
    """What PyTorch's functions for tensors and parameters would return; raises InvalidWeights for any other call."""
    name = function.name if isinstance(function, _Global) else "what is no function"
    match name, arguments:
        case "collections.OrderedDict", ():
            return {}
        case "torch._utils._rebuild_parameter", (_View() as view, *_):
            return view
        case "torch._utils._rebuild_tensor_v2", (_Storage() as storage, int(offset), tuple(shape), tuple(strides), *_):
            return _view(storage, offset, shape, strides)
    raise InvalidWeights(f"its pickle calls {name}: {_HINT}")


def _view(storage: _Storage, offset: int, shape: tuple[Any, ...], strides: tuple[Any, ...]) -> _View:
    """A tensor that lies inside its storage."""
    if len(shape) != len(strides) or not all(type(n) is int and n >= 0 for n in (offset, *shape, *strides)):
        raise InvalidWeights("its pickle has a tensor without a proper shape")
    last = offset + sum((side - 1) * step for side, step in zip(shape, strides, strict=True))
    if math.prod(shape) > 0 and last >= storage.count:
        raise InvalidWeights(f"its pickle has a tensor of shape {shape} that reaches beyond its storage")
    return _View(storage, offset, shape, strides)
