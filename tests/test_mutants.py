"""What is said of the mutants of the kernel is about mutants that there are."""

from __future__ import annotations

from benchmarks.mutate_kernel import KERNEL, mutants, reasons


def test_known_survivors_are_mutants_of_the_kernel() -> None:
    source = KERNEL.read_text(encoding="utf-8")
    lines = source.splitlines()
    found = {(lines[each.line - 1].strip(), each.column, each.what) for each in mutants(source)}
    assert set(reasons()) <= found
    assert len(found) > 3000
