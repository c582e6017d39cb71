"""Evidence: why a claim is true (a paving, enlarged regions or both, an integral, layers, regions) or false (a
counterexample, an integral, a breach)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from string import ascii_uppercase
from typing import Any, ClassVar

from attncert.certificates.errors import InvalidCertificate
from attncert.certificates.numbers import format_exact, parse_exact

SCORES = ":;<=>?@"
"""Marks of the score box with a Taylor model of order 1 to 7."""


def _marked(trees: Sequence[str], marks: str) -> int:
    """How many leaves of split trees have one of the marks, or one from `A` to `Z`."""
    return sum(tree.count(mark) for tree in trees for mark in marks + ascii_uppercase)


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
        """The number of boxes to be proved: `.` by the score box, with a model `:` to `@`, `A` to `Z` by expansion."""
        return _marked(self.trees, "." + SCORES)

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
        return _marked(self.trees, ".*")

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


Multipliers = tuple[tuple[int, Fraction], ...]
"""Tokens, each with a number that is not negative: the weights of a sum of differences of scores."""


@dataclass(frozen=True)
class RegionProof:
    """Why a region is one of the best token: its bounding box with multipliers for its faces (lower and upper, axis by
    axis), multipliers for the tokens that the box alone does not show to be beaten, and the exact volume.
    """

    box: tuple[tuple[Fraction, Fraction], ...]
    faces: tuple[Multipliers, ...]
    beaten: tuple[tuple[int, Multipliers], ...]
    volume: Fraction | None

    def to_json(self) -> dict[str, object]:
        """The region's part of the evidence."""
        return {
            "box": [[format_exact(lo), format_exact(hi)] for lo, hi in self.box],
            "faces": [_spelled(face) for face in self.faces],
            "beaten": [[token, _spelled(terms)] for token, terms in self.beaten],
            "volume": None if self.volume is None else format_exact(self.volume),
        }


@dataclass(frozen=True)
class ColumnProof:
    """The proofs of an output column's regions, in the order of the claim, and for each token without a region
    multipliers over those with one.
    """

    regions: tuple[RegionProof, ...]
    undeclared: tuple[tuple[int, Multipliers], ...]

    def to_json(self) -> dict[str, object]:
        """The column's part of the evidence."""
        undeclared = [[token, _spelled(terms)] for token, terms in self.undeclared]
        return {"regions": [region.to_json() for region in self.regions], "undeclared": undeclared}


@dataclass(frozen=True)
class Regions:
    """The proof of a partition, column by column."""

    kind: ClassVar[str] = "regions"

    columns: tuple[ColumnProof, ...] = field(repr=False)

    @property
    def leaves(self) -> int:
        """The number of regions."""
        return sum(len(column.regions) for column in self.columns)

    def to_json(self) -> dict[str, object]:
        """The `evidence` object of a certificate."""
        return {"kind": self.kind, "columns": [column.to_json() for column in self.columns]}


@dataclass(frozen=True)
class TokenProof:
    """Why a token is near the target where it counts: rivals that bound its enlarged region, the bounding box with
    multipliers for its faces, and a split tree of that box; without a tree the box is empty, and so is the region.
    """

    rivals: tuple[int, ...]
    box: tuple[tuple[Fraction, Fraction], ...]
    faces: tuple[Multipliers, ...]
    tree: str | None

    def to_json(self) -> dict[str, object]:
        """The token's part of the evidence."""
        return {
            "rivals": list(self.rivals),
            "box": [[format_exact(lo), format_exact(hi)] for lo, hi in self.box],
            "faces": [_spelled(face) for face in self.faces],
            "tree": self.tree,
        }


@dataclass(frozen=True)
class Enlarged:
    """A proof of a bound in the sup norm by regions enlarged by kappa, for each token of each output column: there the
    target is within delta of its value.
    """

    kind: ClassVar[str] = "enlarged"

    bound: Fraction
    kappa: Fraction
    delta: Fraction
    precision: int
    columns: tuple[tuple[TokenProof, ...], ...] = field(repr=False)

    @property
    def regions(self) -> int:
        """The number of regions that are not shown to be empty."""
        return sum(proof.tree is not None for column in self.columns for proof in column)

    @property
    def leaves(self) -> int:
        """The number of boxes to be proved, all regions together."""
        return _marked([proof.tree or "" for column in self.columns for proof in column], ".")

    def to_json(self) -> dict[str, object]:
        """The `evidence` object of a certificate."""
        numbers = {name: format_exact(getattr(self, name)) for name in ("bound", "kappa", "delta")}
        columns = [[proof.to_json() for proof in column] for column in self.columns]
        return {"kind": self.kind, **numbers, "precision": self.precision, "columns": columns}


@dataclass(frozen=True)
class Both:
    """Two proofs of one claim, of which each is enough."""

    kind: ClassVar[str] = "both"

    paving: Paving
    enlarged: Enlarged

    @property
    def bound(self) -> Fraction:
        """The smaller of the two bounds."""
        return min(self.paving.bound, self.enlarged.bound)

    @property
    def leaves(self) -> int:
        """The number of boxes of both."""
        return self.paving.leaves + self.enlarged.leaves

    def to_json(self) -> dict[str, object]:
        """The `evidence` object of a certificate."""
        return {"kind": self.kind, "paving": self.paving.to_json(), "enlarged": self.enlarged.to_json()}


@dataclass(frozen=True)
class Breach:
    """A point of the domain at which a declared partition fails.

    obligation: `argmax` (tokens i, j: j wins inside the region of i), `cover` (no region holds the point), `disjoint`
    (tokens i, k: the point lies inside both regions) or `radius` (token i: a point of its region outside its ball).
    """

    kind: ClassVar[str] = "breach"

    column: int
    obligation: str
    point: tuple[Fraction, ...]
    tokens: tuple[int, ...]

    def to_json(self) -> dict[str, object]:
        """The `evidence` object of a certificate."""
        point = [format_exact(x) for x in self.point]
        where = {"column": self.column, "obligation": self.obligation}
        return {"kind": self.kind, **where, "point": point, "tokens": list(self.tokens)}


Evidence = Paving | Enlarged | Both | Counterexample | Integral | Layers | Regions | Breach


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
        case {
            "kind": "enlarged",
            "bound": str(bound),
            "kappa": str(kappa),
            "delta": str(delta),
            "precision": int(p),
            "columns": list(columns),
        } if len(value) == 6 and not _is_bool(p) and all(isinstance(column, list) for column in columns):
            proofs = tuple(tuple(_token_from_json(proof) for proof in column) for column in columns)
            return Enlarged(parse_exact(bound), parse_exact(kappa), parse_exact(delta), p, proofs)
        case {"kind": "both", "paving": {"kind": "paving"} as first, "enlarged": {"kind": "enlarged"} as second} if (
            len(value) == 3
        ):
            paving, enlarged = evidence_from_json(first), evidence_from_json(second)
            assert isinstance(paving, Paving)
            assert isinstance(enlarged, Enlarged)
            return Both(paving, enlarged)
        case {"kind": "regions", "columns": list(columns)} if len(value) == 2:
            return Regions(tuple(_column_from_json(column) for column in columns))
        case {
            "kind": "breach",
            "column": int(column),
            "obligation": str(obligation),
            "point": list(point),
            "tokens": list(tokens),
        } if len(value) == 5 and _are_strings(point) and all(type(k) is int for k in (column, *tokens)):
            return Breach(column, obligation, tuple(parse_exact(x) for x in point), tuple(tokens))
        case _:
            raise InvalidCertificate("the evidence is not of a form that this version knows")


def _column_from_json(value: Any) -> ColumnProof:
    match value:
        case {"regions": list(regions), "undeclared": list(undeclared)} if len(value) == 2:
            return ColumnProof(
                tuple(_region_from_json(region) for region in regions), tuple(_beaten(pair) for pair in undeclared)
            )
    raise InvalidCertificate("a column of the evidence has the keys regions and undeclared")


def _region_from_json(value: Any) -> RegionProof:
    match value:
        case {"box": list(box), "faces": list(faces), "beaten": list(beaten), "volume": str() | None as volume} if (
            len(value) == 4
        ):
            return RegionProof(
                tuple(_side(side) for side in box),
                tuple(_multipliers(face) for face in faces),
                tuple(_beaten(pair) for pair in beaten),
                None if volume is None else parse_exact(volume),
            )
    raise InvalidCertificate("a region of the evidence has the keys box, faces, beaten and volume")


def _token_from_json(value: Any) -> TokenProof:
    match value:
        case {"rivals": list(rivals), "box": list(box), "faces": list(faces), "tree": str() | None as tree} if len(
            value
        ) == 4 and all(type(k) is int for k in rivals):
            return TokenProof(tuple(rivals), tuple(map(_side, box)), tuple(map(_multipliers, faces)), tree)
    raise InvalidCertificate("the proof of a token has the keys rivals, box, faces and tree")


def _side(value: Any) -> tuple[Fraction, Fraction]:
    match value:
        case [str(lo), str(hi)]:
            return parse_exact(lo), parse_exact(hi)
    raise InvalidCertificate("a side of a bounding box is a pair of exact numbers")


def _beaten(value: Any) -> tuple[int, Multipliers]:
    match value:
        case [int(token), terms] if not _is_bool(token):
            return token, _multipliers(terms)
    raise InvalidCertificate("a beaten token is a pair of a token and its multipliers")


def _multipliers(value: Any) -> Multipliers:
    terms = []
    for pair in value if isinstance(value, list) else [None]:
        match pair:
            case [int(token), str(number)] if not _is_bool(token):
                terms.append((token, parse_exact(number)))
            case _:
                raise InvalidCertificate("multipliers are pairs of a token and an exact number")
    return tuple(terms)


def _spelled(terms: Multipliers) -> list[list[object]]:
    return [[token, format_exact(number)] for token, number in terms]


def _are_strings(items: Sequence[object]) -> bool:
    return all(isinstance(item, str) for item in items)


def _is_bool(*items: object) -> bool:
    """Tell whether one of them is true or false, which Python counts as integers."""
    return any(isinstance(item, bool) for item in items)
