"""A point in time after which work stops."""

from __future__ import annotations

import time
from dataclasses import dataclass


class OutOfTime(Exception):
    """The deadline has passed."""


@dataclass(frozen=True)
class Deadline:
    """A deadline on the clock of `time.monotonic`; `at` None means there is none."""

    at: float | None = None

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """The deadline that many seconds from now, or none."""
        return cls(None if seconds is None else time.monotonic() + seconds)

    def passed(self) -> bool:
        """Tell whether the time is over."""
        return self.at is not None and time.monotonic() > self.at

    def left(self) -> float | None:
        """The seconds that are left, or None."""
        return None if self.at is None else self.at - time.monotonic()

    def check(self) -> None:
        """Raise OutOfTime if the time is over."""
        if self.passed():
            raise OutOfTime


NEVER = Deadline()
