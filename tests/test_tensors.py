"""Weights files: exact numbers of every type, and damaged or hostile files answered by one line."""

from __future__ import annotations

import contextlib
import json
import math
import os
import pickle
import struct
import warnings
import zipfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from attncert.certificates.errors import InvalidWeights
from attncert.tensors import MAX_FILE, read_tensors
from attncert.torch_files import read_pickle

MODULES = Path(__file__).parent / "modules"


def numbers(path: Path, name: str = "a", dtype: str | None = None) -> tuple[tuple[int, ...], list[Fraction]]:
    return read_tensors(path, dtype).numbers(name)


def refusal(path: Path, name: str = "a", dtype: str | None = None) -> str:
    """The one line that answers a file, or one of its tensors."""
    with pytest.raises(InvalidWeights) as caught:
        numbers(path, name, dtype)
    line = str(caught.value)
    assert line.startswith(f"{path}: ")
    assert "\n" not in line
    return line


def safetensors(path: Path, header: Any, data: bytes) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def bits_to_fraction(bits: int, mantissa: int, exponent: int) -> Fraction:
    """The value of an IEEE number from its bits, by the definition."""
    sign, e, m = bits >> (mantissa + exponent), bits >> mantissa & (1 << exponent) - 1, bits & (1 << mantissa) - 1
    bias = (1 << exponent - 1) - 1
    value = Fraction(m, 1 << mantissa) * Fraction(2) ** (1 - bias)
    if e:
        value = (1 + Fraction(m, 1 << mantissa)) * Fraction(2) ** (e - bias)
    return -value if sign else value


FORMATS = {"F16": (10, 5, 2), "BF16": (7, 8, 2), "F32": (23, 8, 4), "F64": (52, 11, 8)}


@pytest.mark.parametrize("kind", FORMATS)
@given(data=st.data())
def test_floating_point_numbers_are_read_as_the_rationals_they_are(
    kind: str, data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    mantissa, exponent, width = FORMATS[kind]
    finite = st.integers(0, (1 << 8 * width) - 1).filter(
        lambda b: b >> mantissa & (1 << exponent) - 1 != (1 << exponent) - 1
    )
    bits = data.draw(st.lists(finite, min_size=1, max_size=6))
    raw = b"".join(b.to_bytes(width, "little") for b in bits)
    path = tmp_path_factory.mktemp("bits") / "a.safetensors"
    safetensors(path, {"a": {"dtype": kind, "shape": [len(bits)], "data_offsets": [0, len(raw)]}}, raw)
    assert numbers(path)[1] == [bits_to_fraction(b, mantissa, exponent) for b in bits]


@pytest.mark.parametrize("dtype", ["<f2", "<f4", ">f4", "<f8", ">f8", "i1", "<i4", ">i8", "u1"])
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_of_numpy_are_read_row_by_row(dtype: str, order: Any, save: Any, tmp_path: Path) -> None:
    array = np.array([[1, -2, 3], [4, 5.5, 6]]).astype(dtype, order=order)
    save(tmp_path / "w.npz", a=array, b=np.array(7, dtype))
    assert numbers(tmp_path / "w.npz") == ((2, 3), [Fraction(float(x)) for row in array for x in row])
    assert numbers(tmp_path / "w.npz", "b") == ((), [Fraction(7)])


def test_json_numbers_mean_what_they_spell(tmp_path: Path) -> None:
    path = tmp_path / "w.json"
    path.write_text('{"a": [[0.1, "1/3"], [1e-400, "0x1.8p+1"]], "b": 12345678901234567890}')
    assert numbers(path) == ((2, 2), [Fraction(1, 10), Fraction(1, 3), Fraction(1, 10**400), Fraction(3)])
    assert numbers(path, "b") == ((), [Fraction(12345678901234567890)])


@given(x=st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_json_numbers_of_a_type_mean_the_nearest(x: float, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("json") / "w.json"
    path.write_text(json.dumps({"a": [str(np.float32(x)) if abs(x) < 1e16 else repr(float(x)), repr(x)]}))
    assert numbers(path, dtype="float32")[1] == [Fraction(x), Fraction(x)]
    assert numbers(path, dtype="float64")[1][1] == Fraction(x)


def test_ties_and_double_rounding(tmp_path: Path) -> None:
    """Slightly above the middle of two float32: rounding to float64 first would lose that."""
    path = tmp_path / "w.json"
    middle = Fraction(1) + Fraction(1, 1 << 24)
    above, below = middle + Fraction(1, 1 << 90), middle - Fraction(1, 1 << 90)
    path.write_text(json.dumps({"a": [str(middle), str(above), str(below)]}))
    one, next_one = Fraction(1), 1 + Fraction(1, 1 << 23)
    assert numbers(path, dtype="float32")[1] == [one, next_one, one]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_refused_with_its_place(bad: float, tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", a=np.array([[1, 2], [3, bad]], "f4"))
    assert "the tensor 'a': the entry [1, 1] is not a finite number" in refusal(tmp_path / "w.npz")
    raw = np.array([bad], "<f8").tobytes()
    path = safetensors(tmp_path / "w.safetensors", {"a": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]}}, raw)
    assert "the entry [0] is not a finite number" in refusal(path)
    path = tmp_path / "w.json"
    path.write_text(json.dumps({"a": [bad]}))
    assert "is not a finite number" in refusal(path)


@pytest.mark.parametrize(
    "array", [np.array([None]), np.array([1j]), np.array(["x"]), np.array([True]), np.zeros(2, "V2")]
)
def test_other_types_of_numpy_are_refused(array: Any, tmp_path: Path) -> None:
    np.savez(tmp_path / "w.npz", a=array)
    assert "'a': " in refusal(tmp_path / "w.npz")


def test_ten_gigabytes_are_refused_unread(tmp_path: Path) -> None:
    for suffix in ("npz", "safetensors", "json", "pt"):
        path = tmp_path / f"w.{suffix}"
        path.touch()
        os.truncate(path, 10 * 10**9)
        assert "9.3 GiB are too many" in refusal(path)
        os.truncate(path, 0)
    assert MAX_FILE < 10 * 10**9


def npy(shape: str, dtype: str = "<f8", data: bytes = b"") -> bytes:
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + data


def archive(path: Path, *members: tuple[str, bytes], **kind: Any) -> Path:
    with warnings.catch_warnings(), zipfile.ZipFile(path, "w", **kind) as out:
        warnings.simplefilter("ignore")  # zipfile's, about names that stand twice
        for name, data in members:
            out.writestr(name, data)
    return path


@pytest.mark.parametrize(
    ("members", "said"),
    [
        ([("a.npy", npy("(3,)", data=bytes(16)))], "bytes where"),
        ([("a.npy", npy("(9999999999999,)"))], "more than 4,000,000 numbers"),
        ([("a.npy", npy("(-1,)"))], "the shape"),
        ([("a.npy", b"\x93NUMPY\x01\x00\xff\xff{'descr'")], "damaged"),
        ([("a.npy", npy("(__import__('os').system('true'),)"))], "damaged"),
        ([("a.npy", npy("(1,)", dtype="|O", data=pickle.dumps([1])))], "the type object"),
        ([("a.npy", npy("()", data=bytes(8))), ("a.npy", npy("()", data=bytes(8)))], "'a.npy' stands twice"),
        ([("a.txt", b"no array")], "no array of numpy"),
        ([], "the tensor 'a' is missing; the file has none"),
    ],
)
def test_hostile_archives_of_numpy(members: list[tuple[str, bytes]], said: str, tmp_path: Path) -> None:
    assert said in refusal(archive(tmp_path / "w.npz", *members))


def test_truncated_archives(tmp_path: Path) -> None:
    np.savez(tmp_path / "whole.npz", a=np.ones(100))
    whole = (tmp_path / "whole.npz").read_bytes()
    path = tmp_path / "w.npz"
    for size in (0, 4, 100, len(whole) - 30, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert "zip archive" in refusal(path) or "damaged" in refusal(path)
    path.write_bytes(whole[:200] + b"\xff" + whole[201:])
    assert "Bad CRC" in refusal(path)


def test_a_small_archive_of_very_much(tmp_path: Path) -> None:
    """A member that unpacks to far more than its shape needs is not unpacked."""
    path = archive(tmp_path / "w.npz", ("a.npy", npy("(2,)", data=bytes(50_000_000))), compression=zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 100_000
    assert "bytes where" in refusal(path)


ONE = {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}


@pytest.mark.parametrize(
    ("header", "data", "said"),
    [
        ({"a": {**ONE, "dtype": "F8_E4M3"}}, bytes(4), "numbers of the type F8_E4M3 are not read"),
        ({"a": {**ONE, "shape": [2]}}, bytes(4), "4 bytes do not make float32 numbers of shape (2,)"),
        ({"a": {**ONE, "shape": [-1]}}, bytes(4), "do not fit the file"),
        ({"a": {**ONE, "shape": [True]}}, bytes(4), "do not fit the file"),
        ({"a": {**ONE, "data_offsets": [0, 5]}}, bytes(4), "do not fit the file"),
        ({"a": {**ONE, "data_offsets": [4, 0]}}, bytes(4), "do not fit the file"),
        ({"a": ONE, "b": ONE}, bytes(4), "overlap, or leave holes"),
        ({"a": ONE}, bytes(8), "4 bytes after the last tensor"),
        (b'{"a": 1, "a": 2}', b"", "'a' stands twice"),
        (b"[" * 100_000, b"", "damaged"),
        (b"\xff\xfe", b"", "damaged"),
        (b"[]", b"", "its header is no object"),
    ],
)
def test_hostile_safetensors(header: Any, data: bytes, said: str, tmp_path: Path) -> None:
    assert said in refusal(safetensors(tmp_path / "w.safetensors", header, data))


@pytest.mark.parametrize("length", [0, 1, 100, 1 << 40, (1 << 64) - 1])
def test_headers_of_a_false_length(length: int, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(struct.pack("<Q", length) + b"{}")
    assert f"its header is said to have {length:,} bytes" in refusal(path)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[1]", "not an object"),
        ('{"a": [1, [2]]}', "'a': its rows differ in length"),
        ('{"a": [[1, 2], [3]]}', "'a': its rows differ in length"),
        ('{"a": [null]}', "'a': its entries are numbers"),
        ('{"a": [true]}', "'a': its entries are numbers"),
        ('{"a": ["x"]}', "'a': not an exact number: 'x'"),
        ('{"a": [1e99999999]}', "'a': the exponent"),
        ('{"a": 1, "a": 2}', "'a' stands twice"),
        ('{"a": ' + "[" * 100_000, "damaged"),
        ('{"a": [1', "damaged"),
        ("", "damaged"),
    ],
)
def test_hostile_json(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "w.json").write_text(text)
    assert said in refusal(tmp_path / "w.json")


def test_files_of_another_kind(tmp_path: Path) -> None:
    assert "No such file" in refusal(tmp_path / "none.npz")
    assert "a weights file ends in" in refusal(tmp_path / "w.txt")
    (tmp_path / "folder.npz").mkdir()
    assert "not a regular file" in refusal(tmp_path / "folder.npz")
    os.mkfifo(tmp_path / "pipe.pt")
    assert "not a regular file" in refusal(tmp_path / "pipe.pt")
    (tmp_path / "w.json").write_text("{}")
    assert "dtype is" in refusal(tmp_path / "w.json", dtype="float8")
    np.savez(tmp_path / "w.npz", a=np.ones(1))
    assert "for .json files only" in refusal(tmp_path / "w.npz", dtype="float32")


# --- PyTorch's files -------------------------------------------------------------------------------------------------


class Evil:
    """What a pickle may carry."""

    def __reduce__(self) -> Any:
        return os.system, ("touch executed",)


def torch_file(path: Path, value: Any, protocol: int = 2, storages: dict[str, bytes] | None = None) -> Path:
    data = value if isinstance(value, bytes) else pickle.dumps(value, protocol)
    members = [("w/data.pkl", data), *((f"w/data/{key}", raw) for key, raw in (storages or {}).items())]
    return archive(path, *members)


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_a_pickle_with_code_is_refused_and_not_run(
    protocol: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    line = refusal(torch_file(tmp_path / "w.pt", {"a": Evil()}, protocol))
    assert "its pickle calls posix.system: not run" in line or "its pickle has the instruction" in line
    assert not (tmp_path / "executed").exists()


ATTACKS = {
    "getattr": b"cbuiltins\ngetattr\n(cos\nsystem\nX\x01\x00\x00\x00xtR.",
    "eval": b"cbuiltins\neval\n(X\x01\x00\x00\x001tR.",
    "reduce a string": b"X\x01\x00\x00\x00a)R.",
    "instance": b"(cos\nsystem\no.",
    "build on a tuple": b")}b.",
    "no stop": b"}",
    "empty": b"",
    "pop of nothing": b"u.",
    "memo of nothing": b"h\x05.",
    "a tuple of nothing": b"\x86.",
    "huge string": b"X\xff\xff\xff\x7fabc.",
    "a list holds itself": b"]q\x00h\x00a.",
    "a dictionary holds itself": b"}q\x00X\x01\x00\x00\x00ah\x00s.",
    "a name twice": b"}X\x01\x00\x00\x00aNsX\x01\x00\x00\x00aNs.",
    "an odd number of items": b"}(X\x01\x00\x00\x00au.",
    "a list as a key": b"}]Ns.",
    "extension": b"\x82\x01.",
    "a persistent name of text": b"Pabc\n.",
    "a persistent name of another kind": b"NQ.",
    "not a dictionary": b"K\x05.",
    "global without a call": b"}X\x01\x00\x00\x00acos\nsystem\ns.",
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_hostile_pickles(attack: str, tmp_path: Path) -> None:
    refusal(torch_file(tmp_path / "w.pt", ATTACKS[attack]))


def tensor_pickle(
    shape: str, strides: str, offset: str = "K\x00", count: str = "K\x06", kind: str = "FloatStorage"
) -> bytes:
    """{"a": a tensor that is a view of storage 0}, in PyTorch's words."""
    text = (
        "}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\n"
        f"{kind}\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu{count}tQ{offset}{shape}{strides}\x89NtRs."
    )
    return text.encode("latin-1")


RAW = np.arange(6, dtype="<f4").tobytes()


def test_a_view_is_read_through_its_strides(tmp_path: Path) -> None:
    path = torch_file(tmp_path / "w.pt", tensor_pickle("K\x03K\x02\x86", "K\x01K\x03\x86"), storages={"0": RAW})
    assert numbers(path) == ((3, 2), [Fraction(x) for x in (0, 3, 1, 4, 2, 5)])


@pytest.mark.parametrize(
    ("pickled", "raw", "said"),
    [
        (tensor_pickle("K\x03K\x02\x86", "K\x01K\x03\x86", offset="K\x01"), RAW, "reaches beyond its storage"),
        (tensor_pickle("K\x07\x85", "K\x01\x85"), RAW, "reaches beyond its storage"),
        (tensor_pickle("K\x02\x85", "J\xff\xff\xff\xff\x85"), RAW, "without a proper shape"),
        (tensor_pickle("K\x02\x85", "K\x01K\x01\x86"), RAW, "without a proper shape"),
        (tensor_pickle("J\x00\x00\x00\x7f\x85", "K\x00\x85"), RAW, "more than 4,000,000 numbers"),
        (tensor_pickle("K\x02\x85", "K\x01\x85"), RAW[:-1], "bytes where"),
        (tensor_pickle("K\x02\x85", "K\x01\x85", count="J\xff\xff\xff\x7f"), RAW, "bytes where"),
        (tensor_pickle("K\x02\x85", "K\x01\x85", kind="QInt8Storage"), RAW, "the type QInt8Storage are not read"),
        (tensor_pickle("K\x02\x85", "K\x01\x85"), None, "damaged"),
    ],
)
def test_hostile_tensors(pickled: bytes, raw: bytes | None, said: str, tmp_path: Path) -> None:
    path = torch_file(tmp_path / "w.pt", pickled, storages={} if raw is None else {"0": raw})
    assert said in refusal(path)


def test_other_files_of_pytorch(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    path.write_bytes(pickle.dumps(0x1950A86A20F9469CFC6C))
    assert "not a zip archive" in refusal(path)
    assert "no data.pkl in it" in refusal(archive(tmp_path / "v.pt", ("a.npy", b"")))
    two = archive(tmp_path / "two.pt", ("a/data.pkl", b"}."), ("b/data.pkl", b"}."))
    assert "no data.pkl in it" in refusal(two)
    assert "too many for a state_dict" in refusal(
        archive(tmp_path / "long.pt", ("a/data.pkl", bytes(70 << 20)), compression=zipfile.ZIP_DEFLATED)
    )


def test_nested_checkpoints_have_dotted_names(tmp_path: Path) -> None:
    inner = tensor_pickle("K\x02\x85", "K\x01\x85")[:-1].decode("latin-1")
    path = torch_file(tmp_path / "w.pt", f"}}X\x05\x00\x00\x00model{inner}s.".encode("latin-1"), storages={"0": RAW})
    assert numbers(path, "model.a") == ((2,), [Fraction(0), Fraction(1)])


@given(data=st.binary(max_size=60))
def test_no_bytes_make_the_reader_of_pickles_fall_over(data: bytes) -> None:
    with contextlib.suppress(ValueError, LookupError, TypeError, OverflowError, struct.error):
        read_pickle(data)


@given(place=st.integers(0, 2396), byte=st.integers(0, 255))
def test_no_changed_byte_of_a_file_makes_another_failure(
    place: int, byte: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = bytearray((MODULES / "float16.pt").read_bytes())
    data[place] = byte
    path = tmp_path_factory.mktemp("changed") / "w.pt"
    path.write_bytes(data)
    with contextlib.suppress(InvalidWeights):
        file = read_tensors(path)
        for name in file.tensors:
            file.numbers(name)
