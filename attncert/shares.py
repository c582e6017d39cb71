"""Work that several processes share, each a copy of this one at the moment it starts."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, TypeVar

Item = TypeVar("Item")


def in_processes(function: Callable[[Item], Any], items: Sequence[Item]) -> Iterator[Any]:
    """As `map`, with a process for each item where there are several; only answers and exceptions are sent between.

    Raises MemoryError when a process ends without an answer, as one does that the system ends for want of memory.
    Processes are forked, so that they need not read again what has been read; where there is no fork this is `map`.
    """
    try:
        context = get_context("fork")
    except ValueError:
        context = None
    if context is None or len(items) == 1:
        yield from map(function, items)
        return
    workers = []
    try:
        for item in items:
            ours, theirs = context.Pipe(duplex=False)
            worker = context.Process(target=_answer, args=(theirs, function, item), daemon=False)
            worker.start()
            theirs.close()
            workers.append((worker, ours))
        for _, ours in workers:
            with closing(ours):
                try:
                    done, answer = ours.recv()
                except EOFError:
                    raise MemoryError("a process ended without an answer") from None
            if not done:
                raise answer
            yield answer
    finally:
        for worker, _ in workers:
            worker.terminate()
            worker.join()


def _answer(sender: Connection, function: Callable[[Item], Any], item: Item) -> None:
    """Send what the function returns or raises; Ctrl-C is left to the parent process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        answer = True, function(item)
    except Exception as error:
        answer = False, error
    sender.send(answer)
