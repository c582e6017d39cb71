"""The obligations of a declared partition as SMT-LIB 2 scripts, for any solver to decide once more.

Each script asks for a point at which one obligation fails; every `check-sat` is answered `unsat` exactly when the
obligation holds. Nothing of the evidence is in them: they state the claim, from the exact scores.

    argmax.smt2     for each region a query: some other token wins inside it         (linear)
    cover.smt2      for each column a query: a point outside every region            (linear)
    disjoint.smt2   for each region a query: a point inside it and inside another    (linear)
    radius.smt2     for each region a query: a point of it outside its ball          (quadratic)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from fractions import Fraction

from attncert.certificates.claim import Partition, Region
from attncert.certificates.domain import Box
from attncert.certificates.errors import InputError
from attncert.certificates.statement import Statement
from attncert.verifier.cells import Cells, cells_of
from attncert.verifier.farkas import Affine
from attncert.verifier.reduction import reduce_head


def scripts(statement: Statement) -> dict[str, str]:
    """The scripts, by the names of their files. Raises InputError for a claim of another kind."""
    if not isinstance(statement.claim, Partition):
        raise InputError("no partition is declared there: `attncert regions FILE` makes a certificate of one")
    heads = reduce_head(statement.attention)
    columns = [
        _Column(cells_of(head, statement.domain), regions)
        for head, regions in zip(heads, statement.claim.columns, strict=True)
    ]
    makers: dict[str, tuple[str, Callable[[_Column], Iterator[str]]]] = {
        "argmax": ("QF_LRA", _Column.argmax),
        "cover": ("QF_LRA", _Column.cover),
        "disjoint": ("QF_LRA", _Column.disjoint),
        "radius": ("QF_NRA", _Column.radius),
    }
    return {
        f"{name}.smt2": _script(statement, name, logic, [query for column in columns for query in make(column)])
        for name, (logic, make) in makers.items()
    }


def _script(statement: Statement, name: str, logic: str, queries: Iterable[str]) -> str:
    lines = [f"; attncert: obligation {name} of the partition {statement.sha256}", f"(set-logic {logic})"]
    lines += [f"(declare-const x{k} Real)" for k in range(statement.domain.dimension)]
    lines += [f"(assert {_inside(statement.domain, '<=')})"]
    for query in queries:
        lines += ["(push 1)", f"(assert {query})", "(check-sat)", "(pop 1)"]
    return "\n".join([*lines, "(exit)"]) + "\n"


class _Column:
    """The queries of an output column."""

    def __init__(self, cells: Cells, regions: Sequence[Region]) -> None:
        self.cells, self.regions = cells, regions

    def argmax(self) -> Iterator[str]:
        for region in self.regions:
            i = region.token
            wins = [f"(> {_affine(self.cells.lead(k, i))} 0)" for k in range(self.cells.tokens) if k != i]
            yield _all([*self._faces(region, ">="), _any(wins)])

    def cover(self) -> Iterator[str]:
        yield _all(_any(f"(not {face})" for face in self._faces(region, ">=")) for region in self.regions)

    def disjoint(self) -> Iterator[str]:
        for n, region in enumerate(self.regions):
            others = [_all(self._faces(other, ">")) for other in self.regions[n + 1 :]]
            yield _all([_inside(self.cells.box, "<"), *self._faces(region, ">"), _any(others)])

    def radius(self) -> Iterator[str]:
        for region in self.regions:
            terms = [f"(- x{k} {_number(c)})" for k, c in enumerate(region.centre)]
            square = f"(+ 0.0 {' '.join(f'(* {term} {term})' for term in terms)})"
            yield _all([*self._faces(region, ">="), f"(> {square} {_number(region.radius**2)})"])

    def _faces(self, region: Region, sign: str) -> list[str]:
        """The half-spaces of a region; its inside leaves out neighbours with the same score."""
        leads = [self.cells.lead(region.token, k) for k in region.neighbours]
        return [f"({sign} {_affine(lead)} 0)" for lead in leads if sign == ">=" or any(lead)]


def _inside(box: Box, sign: str) -> str:
    return _all(f"({sign} {_number(lo)} x{k} {_number(hi)})" for k, (lo, hi) in enumerate(box.sides))


def _all(parts: Iterable[str]) -> str:
    return f"(and true {' '.join(parts)})"


def _any(parts: Iterable[str]) -> str:
    return f"(or false {' '.join(parts)})"


def _affine(f: Affine) -> str:
    terms = [f"(* {_number(Fraction(a))} x{k})" for k, a in enumerate(f[:-1]) if a]
    return f"(+ 0.0 {' '.join([*terms, _number(Fraction(f[-1]))])})"


def _number(x: Fraction) -> str:
    size = f"{abs(x.numerator)}.0" if x.denominator == 1 else f"(/ {abs(x.numerator)}.0 {x.denominator}.0)"
    return f"(- {size})" if x < 0 else size
