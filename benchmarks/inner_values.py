"""The numbers inside the kernel: digests of those that its functions know when they return, on some certificates.

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


KINDS = (int, Fraction, str, list, tuple, dict)
"""Of these types a value is spelled, if all within it can be."""


def spelled(value: Any) -> str:
    """The value in letters; none where an object is part of it whose place in memory would be."""
    if type(value) is int:
        return hex(value)  # which takes less time than decimal digits where there are many
    text = repr(value) if isinstance(value, KINDS) else ""
    return "" if " at 0x" in text else text


def inner_values(kernel: ModuleType, every: int = 1) -> dict[str, str]:
    """For each function of the kernel the digest of its variables and its answers, in turn, on these certificates.

    Those of a constructor are followed by those of its object. `every` takes one certificate in so many.
    """
    digests: dict[str, Any] = {}

    def profile(frame: FrameType, event: str, value: Any) -> None:
        code = frame.f_code
        if event == "return" and code.co_filename == kernel.__file__ and "<" not in code.co_name:
            known = [*frame.f_locals.values(), value]
            if code.co_name == "__init__":
                known += vars(frame.f_locals["self"]).values()
            digest = digests.setdefault(code.co_qualname, hashlib.sha256())
            digest.update(";".join(map(spelled, known)).encode())

    for remembered in vars(kernel).values():
        if hasattr(remembered, "cache_clear"):
            remembered.cache_clear()
    contents, before, digits = list(certificates())[::every], sys.getprofile(), sys.get_int_max_str_digits()
    sys.set_int_max_str_digits(0)
    sys.setprofile(profile)
    try:
        for data in contents:
            with suppress(kernel.Rejected):
                kernel.check_bytes(data)
    finally:
        sys.setprofile(before)
        sys.set_int_max_str_digits(digits)
    return {name: digest.hexdigest()[:16] for name, digest in sorted(digests.items())}


def main() -> None:
    """Write the record."""
    from attncert.verifier import kernel

    RECORD.write_text(json.dumps(inner_values(kernel), indent=1) + "\n")


if __name__ == "__main__":
    main()
