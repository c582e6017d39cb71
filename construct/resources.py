"""What fits: a head is refused before the memory it needs is asked for."""

from __future__ import annotations

import os
from decimal import Decimal

from attncert.certificates.errors import TooLarge

BYTES_PER_NUMBER = 220
"""An exact number of a head with its spelling in the certificate, measured on heads of 106 bits."""


def approximately(number: int) -> str:
    """Two digits of an integer of any size."""
    return str(number) if number < 10_000 else f"{Decimal(number):.1e}"


def require_memory(tokens: int, inputs: int, outputs: int) -> None:
    """Raise TooLarge when a head of that many tokens cannot be held beside its certificate."""
    needed = tokens * (inputs + outputs + 1) * BYTES_PER_NUMBER
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    if needed > available:
        raise TooLarge(
            f"a head of {approximately(tokens)} tokens needs about {approximately(needed >> 30)} GiB of memory; "
            f"{approximately(available >> 30)} GiB are free"
        )
