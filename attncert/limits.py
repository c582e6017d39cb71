"""The kernel's limits, as a user adjusts them: NAME=VALUE."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, replace

from attncert.certificates.errors import InputError
from attncert.verifier.kernel import Limits

MOST = 1 << 62
"""The greatest value of a limit."""


def limits_of(settings: Sequence[str]) -> Limits:
    """The kernel's limits with some of them set, such as `nodes=100000000`; raises InputError with the reason."""
    known, values = asdict(Limits()), {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals:
            raise InputError(f"a limit is set like nodes=100000000, not {setting[:60]!r}")
        if name not in known:
            raise InputError(f"there is no limit {name[:40]!r}; there are {', '.join(known)}")
        if name in values:
            raise InputError(f"the limit {name} is set twice")
        if not re.fullmatch("[0-9]{1,19}", value) or not 1 <= int(value) <= MOST:
            raise InputError(f"the limit {name} is a whole number from 1 to {MOST}, not {value[:40]!r}")
        values[name] = int(value)
    return replace(Limits(), **values)
