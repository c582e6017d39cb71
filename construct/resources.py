"""What fits: a head is refused before the memory it needs is asked for."""

from __future__ import annotations

import os

from attncert.certificates.errors import TooLarge

BYTES_PER_NUMBER = 220
"""An exact number of a head with its spelling in the certificate, measured on heads of 106 bits."""


def require_memory(tokens: int, inputs: int, outputs: int) -> None:
    """Raise TooLarge when a head of that many tokens cannot be held beside its certificate."""
    needed = tokens * (inputs + outputs + 1) * BYTES_PER_NUMBER
    available = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    if needed > available:
        raise TooLarge(
            f"a head of {tokens:.3g} tokens needs about {needed / 2**30:.3g} GiB of memory; "
            f"{available / 2**30:.3g} GiB are free"
        )
