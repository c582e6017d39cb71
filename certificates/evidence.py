"""Evidence: why a claim is true (a paving, an integral, layers) or false (a counterexample, an integral)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, ClassVar

from attncert.certificates.errors import InvalidCertificate
from attncert.certificates.numbers import format_exact, parse_exact


@dataclass(frozen=True)
class Paving:
    """A split tree for each output column, whose leaves a checker proves with `bound` in place of the tolerance."""

    kind: ClassVar[str] = "paving"

    bound: Fraction
    precision: int
    silence: int
    trees: tuple[str, ...] = field(repr=False)

    @property
    def leaves(self) -> int:
        """The number of boxes to be proved: `.` by the score box, `A` to `Z` by expansion."""
        return sum(tree.count(".") + sum(map(str.isupper, tree)) for tree in self.trees)

    def to_json(self) -> dict[str, object]:
        """The `evidence` object of a certificate."""
        bound = format_exact(self.bound)
        numbers = {"precision": self.precision, "silence": self.silence}
        return {"kind": self.kind, "bound": bound, **numbers, "trees": list(self.trees)}


@dataclass(frozen=True)
class Counterexample:
    """A point of the domain where one entry of the head misses the target by more than the tolerance."""

    kind: ClassVar[str] = "counterexample"

    point: tuple[Fraction, ...]
    entry: tuple[int, int]
    precision: int

    def to_json(self) -> dict[str, object]:
        """The `evidence` object of a certificate."""
        point = [format_exact(x) for x in self.point]
        return {"kind": self.kind, "point": point, "entry": list(self.entry), "precision": self.precision}


@dataclass(frozen=True)
class Integral:
    """A split tree for each output column, whose leaves prove lower <= norm <= upper for an L_p norm of the error."""

    kind: ClassVar[str] = "integral"

    lower: Fraction
    upper: Fraction
    precision: int
    silence: int
    trees: tuple[str, ...]

    @property
    def leaves(self) -> int:
        """The number of boxes that are bounded: `.` by the score box, `*` in closed form, `A` to `Z` by expansion."""
        return sum(tree.count(".") + tree.count("*") + sum(map(str.isupper, tree)) for tree in self.trees)

    def to_json(self) -> dict[str, object]:
        """The `evidence` object of a certificate."""
        bounds = {"lower": format_exact(self.lower), "upper": format_exact(self.upper)}
        numbers = {"precision": self.precision, "silence": self.silence}
        return {"kind": self.kind, **bounds, **numbers, "trees": list(self.trees)}


@dataclass(frozen=True)
class Layers:
    """A split tree for each output column: boxes on which one token takes nearly all weight, and boxes of the layer."""

    kind: ClassVar[str] = "layers"

    precision: int
    silence: int
    trees: tuple[str, ...]

    @property
    def leaves(self) -> int:
        """The number of boxes, those of the layer included."""
        return sum(tree.count(".") + tree.count("!") for tree in self.trees)

    def to_json(self) -> dict[str, object]:
        """The `evidence` object of a certificate."""
        return {
            "kind": self.kind,
            "precision": self.precision,
            "silence": self.silence,
            "trees": list(self.trees),
        }


Evidence = Paving | Counterexample | Integral | Layers


def evidence_from_json(value: Any) -> Evidence | None:
    """Read the `evidence` object of a certificate; raises InvalidCertificate or InvalidNumber."""
    match value:
        case None:
            return None
        case {"kind": "paving", "bound": str(bound), "precision": int(p), "silence": int(k), "trees": list(trees)} if (
            len(value) == 5 and _are_strings(trees) and not _is_bool(p, k)
        ):
            return Paving(parse_exact(bound), p, k, tuple(trees))
        case {
            "kind": "integral",
            "lower": str(lower),
            "upper": str(upper),
            "precision": int(p),
            "silence": int(k),
            "trees": list(trees),
        } if len(value) == 6 and _are_strings(trees) and not _is_bool(p, k):
            return Integral(parse_exact(lower), parse_exact(upper), p, k, tuple(trees))
        case {"kind": "layers", "precision": int(p), "silence": int(k), "trees": list(trees)} if (
            len(value) == 4 and _are_strings(trees) and not _is_bool(p, k)
        ):
            return Layers(p, k, tuple(trees))
        case {"kind": "counterexample", "point": list(point), "entry": [int(r), int(j)], "precision": int(p)} if (
            len(value) == 4 and _are_strings(point) and not _is_bool(r, j, p)
        ):
            return Counterexample(tuple(parse_exact(x) for x in point), (r, j), p)
        case _:
            raise InvalidCertificate("the evidence is not of a form that this version knows")


def _are_strings(items: Sequence[object]) -> bool:
    return all(isinstance(item, str) for item in items)


def _is_bool(*items: object) -> bool:
    """Tell whether one of them is true or false, which Python counts as integers."""
    return any(isinstance(item, bool) for item in items)
