"""The fewest tokens for each error: certified heads of every construction, and those that none beats.

    python -m benchmarks.fronts [--budget SECONDS]

prints a table of docs/tokens.md: for each target and tolerance every construction is asked for its head, and those
rows are kept that no other row beats in tokens and certified error.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from attncert import certify
from attncert.certificates.errors import InputError
from attncert.construct.methods import METHODS

CASES: tuple[tuple[str, dict[str, Any], Sequence[str]], ...] = (
    ("sin(2*pi*x)", {"domain": "[0,1]"}, ("1e-2", "1e-4", "1e-6", "1e-8", "1e-12", "1e-18")),
    ("exp(-(x0**2+x1**2))*cos(3*x0*x1)", {"domain": "[0,1]^2"}, ("1e-2", "1e-4", "1e-6")),
    ("1/(1+25*x**2)", {"domain": "[-1,1]"}, ("1e-2", "1e-4", "1e-6", "1e-9")),
    ("abs(x-1/3)", {"domain": "[-1,1]"}, ("1e-1", "1e-3", "1e-6")),
    ("tanh(50*x)", {"domain": "[-1,1]"}, ("1e-2", "1e-12")),
    ("x0*x1 - x2**2 + x0*x2/2", {"domain": "[0,1]^3"}, ("1e-1", "1e-2", "1e-4", "1e-8")),
    (
        "[[X[0,0]*X[0,1], X[1,1]], [sin(X[0,0]), X[1,0]-X[0,1]]]",
        {"domain": "[0,1]^4", "shape": "2x2"},
        ("1e-1", "1e-2", "1e-3"),
    ),
)


@dataclass(frozen=True)
class Row:
    """A head that the kernel accepted."""

    tokens: int
    error: str
    method: str
    paper: str


def rows_of(target: str, options: dict[str, Any], tolerances: Sequence[str], budget: float) -> list[Row]:
    """The heads of all constructions that are proved in time."""
    rows = []
    for tolerance in tolerances:
        for method in METHODS:
            try:
                result = certify(target, tolerance=tolerance, method=method, budget=budget, **options)
            except InputError:
                continue
            if result.verdict == "proved":
                theory = result.notes.get("paper", result.notes["apriori"])
                rows.append(Row(result.tokens, str(result.error_upper), method, str(theory.get("tokens", ""))))
    return rows


def front(rows: Sequence[Row]) -> list[Row]:
    """Those rows that no other beats in tokens and error, the fewest tokens first."""
    kept: list[Row] = []
    for row in sorted(rows, key=lambda row: (row.tokens, float(row.error))):
        if not kept or float(row.error) < float(kept[-1].error):
            kept.append(row)
    return kept


def main() -> None:
    """Print the fronts as a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", type=float, default=40.0, help="seconds for each head")
    budget = parser.parse_args().budget
    print("| target | domain | tokens | certified error | method | the paper's grid, a priori |")
    print("|---|---|---|---|---|---|")
    for target, options, tolerances in CASES:
        for row in front(rows_of(target, options, tolerances, budget)):
            domain = options["domain"]
            print(f"| `{target}` | {domain} | {row.tokens} | {row.error} | {row.method} | {row.paper} |", flush=True)


if __name__ == "__main__":
    main()
