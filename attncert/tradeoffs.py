"""Tokens against certified error, for every construction: the table and the plot.

Each row is a head of its own whose error was enclosed and, unless asked otherwise, checked by the kernel. Beside it
stands what the paper's a-priori bound takes for the same error.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields
from fractions import Fraction
from pathlib import Path
from typing import Any

from attncert.api import Certificate, ProgressCallback, Result, certify, paper_tokens
from attncert.certificates.errors import InputError, TooLarge
from attncert.construct.methods import METHODS, NAMES
from attncert.pictures import save_picture

SUFFIXES = (".csv", ".md", ".json")
PICTURES = (".svg", ".pdf", ".png")

MOST_SIZES = 200
"""Most numbers of tokens in one table."""

BEYOND = 1000
"""The plot ends at this many times the most tokens of a head, also where the paper's bound takes more."""


@dataclass(frozen=True)
class Row:
    """A construction with at most `asked` tokens: the head it found, and the enclosure of its error.

    paper: the tokens that the paper's a-priori bound takes for error_upper; None where that is not known.
    """

    method: str
    asked: int
    tokens: int | None
    error_lower: str | None
    error_upper: str | None
    verdict: str
    paper: str | None
    seconds: float
    statement_sha256: str | None
    detail: str
    certificate: Certificate | None = field(repr=False, compare=False)

    def entries(self) -> dict[str, Any]:
        """What stands in the table."""
        return {each.name: getattr(self, each.name) for each in fields(self) if each.name != "certificate"}


@dataclass(frozen=True)
class Tradeoff:
    """The table for one target, domain and norm."""

    target: str
    domain: str
    norm: str
    rows: tuple[Row, ...]

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the table, as its suffix says: .csv, .md or .json. Raises InputError for another, FileExistsError."""
        path = Path(path)
        text = self.text(require_suffix(path, SUFFIXES, "a table"))
        with path.open("w" if overwrite else "x", encoding="utf-8", newline="") as file:
            file.write(text)

    def text(self, suffix: str) -> str:
        """The table in the form of a suffix."""
        if suffix == ".json":
            about = {"target": self.target, "domain": self.domain, "norm": self.norm}
            return json.dumps({**about, "rows": [row.entries() for row in self.rows]}, indent=1) + "\n"
        if suffix == ".md":
            return self._markdown()
        out = io.StringIO()
        writer = csv.DictWriter(out, [each.name for each in fields(Row) if each.name != "certificate"])
        writer.writeheader()
        writer.writerows(row.entries() for row in self.rows)
        return out.getvalue()

    def _markdown(self) -> str:
        lines = [
            f"`{self.target}` on {self.domain}, norm {self.norm}",
            "",
            "| method | tokens | certified error | at least | verdict | tokens of the paper, a priori | seconds |",
            "|---|---|---|---|---|---|---|",
        ]
        for row in self.rows:
            entries = (row.tokens, row.error_upper, row.error_lower, row.verdict, row.paper, f"{row.seconds:.1f}")
            lines.append(
                f"| {row.method} | " + " | ".join("" if entry is None else str(entry) for entry in entries) + " |"
            )
        return "\n".join(lines) + "\n"

    def draw(self, path: str | Path) -> None:
        """Draw certified errors against tokens, both on logarithmic scales, with the paper's a-priori line.

        Raises InputError for a picture that matplotlib cannot write, or when it is not installed.
        """
        path = Path(path)
        require_suffix(path, PICTURES, "a picture")
        try:
            import matplotlib

            matplotlib.use("Agg")
            from matplotlib import pyplot
        except ImportError:
            raise InputError("drawing needs matplotlib: pip install attncert[plots]") from None
        figure, axes = pyplot.subplots(figsize=(6.4, 4.8))
        proved = [row for row in self.rows if row.tokens is not None and float(row.error_upper or 0) > 0]
        for method, marker in zip(dict.fromkeys(row.method for row in proved), "osD^vP*X" * 9, strict=False):
            points = sorted({(row.tokens or 0, float(row.error_upper or 0)) for row in proved if row.method == method})
            axes.loglog(*zip(*points, strict=True), marker=marker, markersize=4, lw=1, label=method)
        theory = sorted({(float(row.paper), float(row.error_upper or 0)) for row in proved if row.paper is not None})
        if theory:
            axes.loglog(*zip(*theory, strict=True), "k--", lw=1, label="the paper, a priori")
        if proved:
            most = max(row.tokens or 1 for row in proved)
            right = max([float(most), *(x for x, _ in theory)])
            axes.set_xlim(0.8, min(1.3 * right, BEYOND * most))
        axes.set_xlabel("tokens")
        axes.set_ylabel(f"certified error, norm {self.norm}")
        axes.set_title(self.target if len(self.target) <= 60 else f"{self.target[:57]}...", fontsize=9)
        axes.grid(visible=True, which="major", lw=0.3)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=8)
        save_picture(figure, path)


def tradeoff(
    target: str,
    *,
    domain: str,
    tokens: int | Sequence[int] = 32,
    methods: Sequence[str] | None = None,
    norm: str = "inf",
    attention: str = "self",
    shape: str | None = None,
    where: Sequence[str] = (),
    precision: int = 106,
    dtype: str | None = None,
    budget: float | None = None,
    jobs: int = 1,
    check: bool = True,
    progress: ProgressCallback | None = None,
    each: Callable[[Row], None] | None = None,
) -> Tradeoff:
    """Certify the smallest error for each construction and number of tokens.

    tokens: the numbers of tokens, or the greatest: powers of 2 up to it then, and itself. methods: all that fit the
    norm, unless named. budget: seconds for each head. each: called with every row when it is known. Other arguments as
    for `certify`. Raises InputError for input that makes no claim.
    """
    sizes = sizes_up_to(tokens) if isinstance(tokens, int) else sorted(set(tokens))
    if not sizes or len(sizes) > MOST_SIZES:
        raise InputError(f"give between 1 and {MOST_SIZES} numbers of tokens")
    if methods is None:
        methods = [name for name in reversed(METHODS) if norm == "inf" or METHODS[name].powers]
    for name in methods:
        if name not in NAMES:
            raise InputError(f"unknown method {name!r}; this version knows: {', '.join(NAMES)}")
    statement: dict[str, Any] = {"norm": norm, "attention": attention, "shape": shape, "where": where}
    search: dict[str, Any] = {"precision": precision, "dtype": dtype, "budget": budget, "jobs": jobs, "check": check}
    rows = []
    for name in methods:
        for size in sizes:
            try:
                result = certify(
                    target, domain=domain, tokens=size, method=name, **statement, **search, progress=progress
                )
            except TooLarge as error:
                row = Row(name, size, None, None, None, "none", None, 0.0, None, str(error), None)
            else:
                theory = None
                if result.error_upper is not None and Fraction(result.error_upper) > 0:
                    theory = paper_tokens(target, domain=domain, tolerance=result.error_upper, **statement)
                row = _row(name, size, result, theory)
            rows.append(row)
            if each is not None:
                each(row)
            if row.certificate is not None and result.interrupted:
                return Tradeoff(target, domain, norm, tuple(rows))
    return Tradeoff(target, domain, norm, tuple(rows))


def sizes_up_to(most: int) -> list[int]:
    """Powers of 2 below a number, and the number; raises InputError for one that is not positive."""
    if most < 1:
        raise InputError("the number of tokens must be positive")
    return [*(1 << k for k in range((most - 1).bit_length())), most]


def require_suffix(path: Path, known: Sequence[str], what: str) -> str:
    """The suffix of a path, if it is known; else InputError."""
    if path.suffix not in known:
        raise InputError(f"{path}: {what} is written to a file whose name ends in {', '.join(known)}")
    return path.suffix


def _row(name: str, size: int, result: Result, paper: str | None) -> Row:
    known = result.certificate is not None
    return Row(
        method=name,
        asked=size,
        tokens=result.tokens if known else None,
        error_lower=result.error_lower,
        error_upper=result.error_upper,
        verdict=result.verdict,
        paper=paper,
        seconds=round(result.seconds, 3),
        statement_sha256=result.statement_sha256 if result.certificate is None else result.certificate.statement_sha256,
        detail=result.detail,
        certificate=result.certificate,
    )
