"""The numbers inside the kernel: digests of what its functions return on the way through some certificates.

python -m benchmarks.inner_values       writes tests/inner_values.json anew, after a change of the kernel that is meant

The verdicts on certificates tell whether a bound holds. These tell whether a number on the way to it is the one it was:
an error term, a rounding, a coefficient that no verdict depends on. They do not say that a number is right; other tests
compare with Arb and exact rationals. They say that it has changed, and in which function, so that somebody looks.
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

ROOT = Path(__file__).parent.parent
RECORD = ROOT / "tests" / "inner_values.json"
LONGEST = 20_000
"""Bytes of a certificate that is among them."""

FOLDERS = {"accept": 1, "reject": 9, "razor": 7}
"""Of these folders one file in so many, in the order of their names."""

ALL = ("layers", "point", "enlarged")
"""Razors of these names are among them anyway."""


def certificates() -> Iterator[bytes]:
    """The contents of the files."""
    for folder, step in FOLDERS.items():
        paths = sorted(path for path in (ROOT / "tests" / folder).glob("*.json") if path.stat().st_size <= LONGEST)
        yield from (path.read_bytes() for n, path in enumerate(paths) if n % step == 0 or path.name.startswith(ALL))


def plain(value: Any) -> str | None:
    """The numbers of a value, spelled; None where it holds anything else."""
    if value is None or isinstance(value, (int, str, Fraction)):
        return str(value)
    if isinstance(value, dict):
        value = [part for pair in value.items() for part in pair]
    if not isinstance(value, (list, tuple)):
        return None
    parts = [plain(part) for part in value]
    return None if None in parts else f"({','.join(map(str, parts))})"


def inner_values(kernel: ModuleType) -> dict[str, str]:
    """For each function of the kernel the digest of what it returns, in turn, on all these certificates."""
    digests: dict[str, Any] = {}

    def profile(frame: FrameType, event: str, value: Any) -> None:
        code = frame.f_code
        if event == "return" and code.co_filename == kernel.__file__ and "<" not in code.co_name:
            spelled = plain(value)
            if spelled is not None:
                digests.setdefault(code.co_qualname, hashlib.sha256()).update(spelled.encode())

    for remembered in vars(kernel).values():
        if hasattr(remembered, "cache_clear"):
            remembered.cache_clear()
    contents, before = list(certificates()), sys.getprofile()
    sys.setprofile(profile)
    try:
        for data in contents:
            with suppress(kernel.Rejected):
                kernel.check_bytes(data)
    finally:
        sys.setprofile(before)
    return {name: digest.hexdigest()[:16] for name, digest in sorted(digests.items())}


def main() -> None:
    """Write the record."""
    from attncert.verifier import kernel

    RECORD.write_text(json.dumps(inner_values(kernel), indent=1) + "\n")


if __name__ == "__main__":
    main()
