"""Z3 in a child process that can be killed: it finds points and cores, and is trusted with nothing.

Z3 does not keep its own time limits, so a query that takes too long ends with its process, and is answered by None. A
core says which rows to look for multipliers in; a point counts once it has been put into the exact scores.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from importlib.util import find_spec
from math import gcd, lcm
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from attncert.certificates.errors import InputError
from attncert.verifier.farkas import Affine, Sides

CHILD = Path(__file__).with_name("z3_child.py")

PATIENCE = 20.0
"""Seconds that one query may take, and besides that the start of the process."""


class MissingSolver(InputError):
    """Z3 is not installed."""


@dataclass(frozen=True)
class Answer:
    """A point at which all rows asked for are positive, or the tokens of the rows that exclude one."""

    point: tuple[Fraction, ...] | None
    core: tuple[int, ...] = ()


class Solver:
    """A polytope, and questions about it. A context manager: leaving it ends the process."""

    def __init__(self, patience: float = PATIENCE) -> None:
        """Start no process yet."""
        if find_spec("z3") is None:
            raise MissingSolver("claims and proofs about regions need the package z3-solver: pip install z3-solver")
        self.patience = patience
        self.queries = 0
        self._base: dict[str, Any] | None = None
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str] = queue.Queue()

    def __enter__(self) -> Self:
        """Nothing to do."""
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        """End the process."""
        self.stop()

    def polytope(self, rows: Mapping[int, Affine], box: Sides) -> None:
        """From now on ask about the points of the box at which every row, named by a token, is >= 0."""
        m = len(box)
        base = []
        for k, (lo, hi) in enumerate(box):
            base.append([f"box {k}", _hexadecimal((*(int(i == k) for i in range(m)), -lo))])
            base.append([f"box -{k}", _hexadecimal((*(-int(i == k) for i in range(m)), hi))])
        base += [[str(name), _hexadecimal(row)] for name, row in rows.items()]
        self._base = {"base": base, "timeout": int(self.patience * 1000)}
        if self._process is not None:
            self._send(self._base)

    def ask(self, rows: Sequence[Affine], patience: float | None = None) -> Answer | None:
        """A point of the polytope at which all these rows are > 0, or the core that excludes one; None: not known."""
        return self._answer({"ask": [_hexadecimal(row) for row in rows]}, patience)

    def ask_any(self, rows: Sequence[Affine], patience: float | None = None) -> Answer | None:
        """A point of the polytope at which one of these rows is > 0, or the core that excludes one; None: not known."""
        return self._answer({"any": [_hexadecimal(row) for row in rows]}, patience)

    def ask_about(self, functions: Mapping[str, object], patience: float) -> Answer | None:
        """A point of the polytope, rounded, where a function is far from its value, or that there is none; None: not
        known. The functions are spelled as in z3_child.py.
        """
        grace = 2 * patience + 0.5  # Z3 has its own limit, and is killed when it does not keep it
        return self._answer({"far": functions, "timeout": int(patience * 1000)}, grace)

    def _answer(self, request: Mapping[str, object], patience: float | None) -> Answer | None:
        self.queries += 1
        wait = self.patience if patience is None else max(0.001, min(self.patience, patience))
        if self._process is None:
            self._start()
            wait += PATIENCE
            self._send(self._base)
        self._send(request)
        try:
            line = self._answers.get(timeout=wait)
        except queue.Empty:
            line = ""
        if not line:
            self.stop()
            return None
        answer = json.loads(line)
        if "sat" in answer:
            return Answer(tuple(Fraction(int(top, 16), int(bottom, 16)) for top, bottom in answer["sat"]))
        if "unsat" in answer:
            return Answer(None, tuple(int(name) for name in answer["unsat"] if name.isdigit()))
        return None

    def stop(self) -> None:
        """Kill the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            for stream in (self._process.stdin, self._process.stdout):
                if stream is not None:
                    with suppress(OSError):
                        stream.close()
            self._process = None

    def _start(self) -> None:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(CHILD)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        self._answers = queue.Queue()
        threading.Thread(target=_read, args=(self._process.stdout, self._answers), daemon=True).start()

    def _send(self, request: object) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        with suppress(OSError):  # the process is gone: the empty line of its end is the answer
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()


def _read(stream: Any, answers: queue.Queue[str]) -> None:
    with suppress(ValueError):  # closed
        for line in stream:
            answers.put(line)
    answers.put("")


def _hexadecimal(row: Affine) -> list[str]:
    """The row times a positive number that makes it integers without a common divisor."""
    unit = lcm(*(Fraction(number).denominator for number in row))
    numbers = [int(number * unit) for number in row]
    size = gcd(*numbers) or 1
    return [hex(number // size) for number in numbers]
