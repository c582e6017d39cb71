"""The kernel on the case folders, and on certificates that were changed one place, or one byte, at a time.

tests/accept/, tests/reject/ and tests/malformed/ hold one certificate a file; beside each stands what the kernel has to
say, a verdict or the reason of the rejection (make_cases.py writes them).
"""

from __future__ import annotations

import copy
import gzip
import json
import math
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from fractions import Fraction
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from heads import error_at, errors_at, inputs_of, inside, kernel_says, points_of, sealed
from make_cases import FOLDERS, sidecar
from partitions import failures, telling_points
from test_expanded_integral import norm_on_a_line

from attncert.certificates.claim import LpError, Partition
from attncert.certificates.document import Document
from attncert.certificates.errors import InputError
from attncert.certificates.evaluate import evaluate_float
from attncert.certificates.statement import statement_from_json
from attncert.verifier import kernel

FOLDER = Path(__file__).parent
LEAST = {"accept": 12, "reject": 60, "malformed": 50}
LIMITS = kernel.Limits(precision=4096, exponent=5000, nodes=100_000, magnitude=20_000, exact=100_000)


def cases(folder: str) -> list[Path]:
    return sorted((FOLDER / folder).glob("*.json*"))


ALL = [path for folder in FOLDERS for path in cases(folder)]
GOOD = [path for path in cases("accept") if path.suffix == ".json"]


# ---------------------------------------------------------------------------------------------------------------------
# The folders


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_folders_are_complete(folder: str) -> None:
    """A folder that has lost its files would pass any test of its files."""
    files = cases(folder)
    assert len(files) >= LEAST[folder]
    assert sorted((FOLDER / folder).iterdir()) == sorted([*files, *map(sidecar, files)])
    assert all(path.stat().st_size < 25_000 for path in files)


@pytest.mark.parametrize("path", ALL, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_the_kernel_says_what_stands_beside_the_case(path: Path) -> None:
    expected = sidecar(path).read_text().strip()
    assert expected in (("proved", "refuted") if path.parent.name == "accept" else REASONS)
    assert kernel_says(path.read_bytes()) == expected
    if path.parent.name == "accept":
        found = kernel.check_file(path)
        assert found.obligations > 0
        assert found.statement_sha256 == Document.load(path).statement.sha256


REASONS = {
    "malformed",
    "format",
    "digest",
    "target",
    "shape",
    "unsupported",
    "claim",
    "domain",
    "tree",
    "leaf",
    "region",
    "undefined",
    "point",
    "evidence",
    "limit",
}


def test_every_reason_has_a_case() -> None:
    assert {sidecar(path).read_text().strip() for path in ALL} == REASONS | {"proved", "refuted"}


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name)
def test_the_good_cases_are_true(path: Path) -> None:
    data = path.read_bytes()
    assert disproof(data, kernel.check_bytes(data)) is None


# ---------------------------------------------------------------------------------------------------------------------
# One place at a time


def disproof(data: bytes, found: kernel.Finding) -> str | None:
    """Why a finding of the kernel is wrong, as far as sampling tells; None if nothing speaks against it."""
    statement = Document.from_bytes(data).statement
    if found.statement_sha256 != statement.sha256:
        return "another statement"
    if isinstance(statement.claim, LpError):
        return false_norm(statement.text, found)
    if isinstance(statement.claim, Partition):
        points = telling_points(statement) if found.point is None else [tuple(map(kernel_number, found.point))]
        failing = failures(statement, points)
        return None if bool(failing) == (found.verdict == "refuted") else f"failing obligations: {failing}"
    if found.verdict == "refuted":
        assert found.point is not None
        assert found.entry is not None
        point = tuple(map(kernel_number, found.point))
        error = errors_at(statement, point)[found.entry[0] * statement.target.shape[1] + found.entry[1]]
        bad = not inside(statement, point) or error is None or error <= statement.claim.tolerance
        return f"no violation at {point}" if bad else None
    bound = kernel_number(found.bound)
    if not 0 < bound <= statement.claim.tolerance:
        return f"the bound {bound} is not the claim"
    for x, error in sampled(statement.text):
        if error is None or error > bound:
            return f"the error at {x} is {error}"
    return None


def false_norm(text: str, found: kernel.Finding) -> str | None:
    """Why a finding about a norm of a head on a line is wrong, as far as quadrature tells."""
    assert found.lower is not None
    lower, bound, tolerance = kernel_number(found.lower), kernel_number(found.bound), claimed(text)
    if not (0 < bound <= tolerance if found.verdict == "proved" else lower > tolerance == bound):
        return f"the bounds {lower} and {bound} do not decide the claim"
    norm = measured(text)
    high = bound if found.verdict == "proved" else math.inf
    wrong = math.isfinite(norm) and not lower * (1 - Fraction(1, 10**6)) <= norm <= high * (1 + 1e-6)
    return f"the norm is {norm}" if wrong else None


def claimed(text: str) -> Fraction:
    claim = statement_from_json(json.loads(text)).claim
    assert isinstance(claim, LpError)
    return claim.tolerance


@lru_cache(maxsize=64)
def measured(text: str) -> float:
    with np.errstate(all="ignore"):
        return norm_on_a_line(statement_from_json(json.loads(text)), [])


def kernel_number(text: str) -> Fraction:
    return kernel.rational(text, "number", kernel.Limits())


@lru_cache(maxsize=64)
def sampled(text: str) -> list[tuple[Any, Fraction | None]]:
    """Errors of a statement at a few points with many digits, and where they seem largest among many in float64."""
    statement, rnd = statement_from_json(json.loads(text)), random.Random(1)
    points = [x for x in rnd.sample(points_of(statement.domain, 20, rnd), 5) if inside(statement, x)]
    near = [x for x in points_of(statement.domain, 40, rnd) if inside(statement, [Fraction(float(t)) for t in x])]
    if near:
        floats = np.array([[float(t) for t in x] for x in near])
        with np.errstate(all="ignore"):
            values = [statement.attention(*map(np.array, inputs_of(statement.attention, x))).ravel() for x in floats]
            errors = np.abs(evaluate_float(statement.target, floats) - np.array(values)).max(axis=1)
        order = np.argsort(-np.nan_to_num(errors, nan=np.inf))[:3]
        points += [tuple(Fraction(t) for t in floats[n].tolist()) for n in order]
    return [(x, error_at(statement, x)) for x in points]


def places(value: Any, at: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Every scalar of a document with its place."""
    if isinstance(value, dict | list):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        for step, part in items:
            yield from places(part, (*at, step))
    else:
        yield at, value


def put(document: dict[str, Any], at: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    document = copy.deepcopy(document)
    part: Any = document
    for step in at[:-1]:
        part = part[step]
    part[at[-1]] = value
    return document


def other_values(at: tuple[str | int, ...], value: Any) -> Iterator[Any]:
    """Values to put in the place of one: near and far ones, and some of another kind."""
    if isinstance(value, int):
        yield from (value + 1, value - 1, 0, 2 * value + 7, str(value), None)
    elif value is None:
        yield from ("1", 0, [])
    elif at[-1] == "target":
        for n in range(len(value)):
            yield value[:n] + value[n + 1 :]
            yield from (value[:n] + character + value[n + 1 :] for character in "2x*(" if value[n] != character)
    elif at[-2] == "trees":
        for n in range(len(value)):
            yield value[:n] + value[n + 1 :]
            yield from (value[:n] + character + value[n + 1 :] for character in ".01a" if value[n] != character)
        yield from (value + ".", value[::-1], "." + value)
    elif kernel.NUMBER.fullmatch(value):
        number = kernel_number(value)
        others = [number + 1, number - 1, 2 * number, -number, number / 2, number + Fraction(1, 10**9), Fraction(0)]
        yield from (str(other) for other in others if other != number)
        yield from (f" {value}", "1e99", int(number))
    else:
        yield from ("", value.upper(), f"{value} ", 1)


def shapes_changed(document: dict[str, Any]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """The places of all objects and lists, and what they would be without a key or an item, or with an item twice."""

    def containers(value: Any, at: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Any]]:
        if isinstance(value, dict | list):
            yield at, value
            for step, part in value.items() if isinstance(value, dict) else enumerate(value):
                yield from containers(part, (*at, step))

    for root in ("statement", "evidence"):
        for at, value in containers(document[root], (root,)):
            if isinstance(value, dict):
                yield from ((at, {k: v for k, v in value.items() if k != key}) for key in value)
            else:
                yield from ((at, value[:n] + value[n + 1 :]) for n in range(len(value)))
                yield from ((at, value[: n + 1] + value[n:]) for n in range(len(value)))


def check_change(changed: dict[str, Any], seal: str, said: Counter[str]) -> None:
    """A changed statement under the old digest is rejected; under its own digest, what is accepted is true."""
    data = sealed(changed)
    is_sealed = json.loads(data)["statement_sha256"] == seal
    if not is_sealed:
        assert kernel_says(json.dumps({**changed, "statement_sha256": seal}).encode(), LIMITS) in REASONS
    try:
        found = kernel.check_bytes(data, LIMITS)
    except kernel.Rejected as rejection:
        said[rejection.reason] += 1
        return
    said[f"{found.verdict}, {'the statement' if is_sealed else 'another statement'}"] += 1
    assert disproof(data, found) is None, data


def check_changes(path: Path, share: int | None) -> Counter[str]:
    """Change every place: in every way, or with a `share` in one of the ways in that many (and in one at least)."""
    document, rnd = json.loads(path.read_bytes()), random.Random(path.name)
    groups: list[list[Callable[[], dict[str, Any]]]] = [
        [partial(put, document, (root, *at), other) for other in other_values((root, *at), value)]
        for root in ("statement", "evidence")
        for at, value in places(document[root])
    ]
    groups.append([partial(put, document, at, value) for at, value in shapes_changed(document)])
    said: Counter[str] = Counter()
    for group in groups:
        for change in rnd.sample(group, -(-len(group) // share)) if share else group:
            check_change(change(), document["statement_sha256"], said)
    return said


@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name)
def test_no_change_makes_a_lie_of_a_certificate(path: Path) -> None:
    said = check_changes(path, 15)
    assert sum(said.values()) > 30, said
    assert sum(count for what, count in said.items() if what in REASONS) > 0.4 * sum(said.values()), said


@pytest.mark.slow
@pytest.mark.parametrize("path", GOOD, ids=lambda path: path.name)
def test_no_change_at_all_makes_a_lie_of_a_certificate(path: Path) -> None:
    said = check_changes(path, None)
    assert sum(said.values()) > 300, said
    assert any("another statement" in what for what in said), said  # some changes keep the claim true


def test_changes_can_be_accepted_and_lies_would_be_noticed() -> None:
    """The tests above are not vacuous: a true change passes, and `disproof` sees a false finding."""
    document = json.loads((FOLDER / "accept" / "line.json").read_bytes())
    wider = sealed(put(document, ("statement", "claim", "tolerance"), "0.6"))
    assert disproof(wider, kernel.check_bytes(wider)) is None
    false = sealed(put(document, ("statement", "claim", "tolerance"), "0.3"))
    lie = kernel.Finding("proved", json.loads(false)["statement_sha256"], "", "0.3", 1, 1, 8)
    assert disproof(false, lie) is not None
    point = kernel.Finding("refuted", json.loads(wider)["statement_sha256"], "", "0.6", 1, 0, 8, ("0",), (0, 0))
    assert disproof(wider, point) is not None
    norm = (FOLDER / "accept" / "taylor-norm.json").read_bytes()
    found = kernel.check_bytes(norm)
    for lie in ({"lower": "0.2402"}, {"bound": "0.2389"}, {"bound": "0.6"}, {"verdict": "refuted", "bound": "0.5"}):
        assert disproof(norm, replace(found, **lie)) is not None


# ---------------------------------------------------------------------------------------------------------------------
# One byte at a time


def damaged(data: bytes, rnd: random.Random) -> bytes:
    """A byte changed, inserted, removed or swapped with the next, a piece moved, or the end cut off."""
    n = rnd.randrange(len(data))
    match rnd.randrange(7):
        case 0:
            return data[:n] + bytes([data[n] ^ 1 << rnd.randrange(8)]) + data[n + 1 :]
        case 1:
            return (
                data[:n]
                + rnd.choice([b"0", b"9", b"-", b".", b"e", b'"', b",", b"[", b"}", b"x", b"/"])
                + data[n + 1 :]
            )
        case 2:
            return data[:n] + bytes([rnd.choice(data)]) + data[n:]
        case 3:
            return data[:n] + data[n + 1 :]
        case 4:
            return data[:n] + data[n : n + 2][::-1] + data[n + 2 :]
        case 5:
            m = rnd.randrange(len(data))
            return data[:n] + data[m : m + rnd.randrange(1, 40)] + data[n:]
        case _:
            return data[:n]


def check_damage(path: Path, count: int) -> Counter[str]:
    data, rnd = path.read_bytes(), random.Random(path.name)
    original = kernel.check_bytes(data)
    plain = gzip.decompress(data) if path.suffix == ".gz" else data
    statement = Document.from_bytes(plain).statement
    errors = [] if statement.target is None else [error for _, error in sampled(statement.text)]
    largest = max((error for error in errors if error is not None), default=0)
    said: Counter[str] = Counter()
    for _ in range(count):
        worse = damaged(data, rnd)
        if rnd.random() < 0.2:
            worse = damaged(worse, rnd) if worse else worse
        try:
            found = kernel.check_bytes(worse, LIMITS)
        except kernel.Rejected as rejection:
            said["rejected"] += 1
            said["by surprise"] += rejection.reason not in REASONS or "internal error" in rejection.detail
            continue
        said["accepted"] += 1
        assert found.statement_sha256 == original.statement_sha256
        assert found.verdict == original.verdict
        if found.verdict == "proved" and found.lower is None and found.bound is not None:
            assert kernel_number(found.bound) >= largest
        else:
            assert disproof(worse, found) is None
    assert said["by surprise"] == 0
    return said


@pytest.mark.parametrize("path", cases("accept"), ids=lambda path: path.name)
def test_damaged_bytes_are_rejected_or_harmless(path: Path) -> None:
    said = check_damage(path, 250)
    assert said["rejected"] > 150, said


@pytest.mark.slow
@pytest.mark.parametrize("path", cases("accept"), ids=lambda path: path.name)
def test_many_damaged_bytes_are_rejected_or_harmless(path: Path) -> None:
    said = check_damage(path, 5000)
    assert said["rejected"] > 3000, said


@pytest.mark.parametrize("path", [*cases("reject"), *cases("malformed")], ids=lambda path: path.name)
def test_damaged_cases_stay_rejected(path: Path) -> None:
    """Damage to a rejected certificate may change the reason; it never makes the kernel fail."""
    data, rnd = path.read_bytes(), random.Random(path.name)
    for _ in range(20 if data else 0):
        said = kernel_says(damaged(data, rnd), LIMITS)
        assert said in REASONS or said in ("proved", "refuted")


@pytest.mark.parametrize("seed", range(4))
def test_bytes_from_nowhere_are_rejected(seed: int) -> None:
    rnd = random.Random(seed)
    for n in range(100):
        data = rnd.randbytes(rnd.randrange(200))
        prefix = [b"", b"\x1f\x8b", b"\x1f\x8b\x08\0", b"{", b'{"format":"attncert/1",'][n % 5]
        assert kernel_says(prefix + data) == "malformed"


@pytest.mark.parametrize("path", [*cases("reject"), *cases("malformed")], ids=lambda path: path.name)
def test_reading_a_bad_case_is_an_input_error_or_fine(path: Path) -> None:
    """The reader checks less than the kernel (evidence out of range is read), but it fails in one way only."""
    try:
        Document.from_bytes(path.read_bytes())
    except InputError:
        return
    assert sidecar(path).read_text().strip() not in ("format", "digest", "target")
