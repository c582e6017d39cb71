"""Amounts of memory as people write them."""

from __future__ import annotations

import re
from decimal import Decimal

from attncert.certificates.errors import InputError

UNITS = {"mib": 1 << 20, "gib": 1 << 30, "tib": 1 << 40}


def parse_size(text: str) -> int:
    """The bytes in an amount such as `500MiB`, `2GiB` or `1.5 GiB`; raises InputError for anything else."""
    match = re.fullmatch(r"\s*([0-9]{1,12}(?:\.[0-9]{1,12})?)\s*([MGT]iB)\s*", text, re.ASCII | re.IGNORECASE)
    size = int(Decimal(match[1]) * UNITS[match[2].lower()]) if match else 0
    if size < 1:
        raise InputError(f"{text!r} is no amount of memory: write it as 500MiB or 2GiB")
    return size
