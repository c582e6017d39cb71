"""What the user demands of certificates, whatever they say of themselves.

A certificate that is proved may still prove something else: another target, a smaller box, a larger tolerance. A demand
is compared with the statement that the kernel proved.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Self

from attncert.certificates.claim import Indicator, LpError, Partition, SupError, error_claim, parse_tolerance
from attncert.certificates.condition import parse_condition
from attncert.certificates.domain import Box, parse_domain, union_condition
from attncert.certificates.errors import InputError, InvalidClaim
from attncert.certificates.numbers import parse_exact
from attncert.certificates.statement import Statement, canonical
from attncert.certificates.target import Instruction, Target, parse_target
from attncert.head_source import HeadSource
from attncert.verifier.kernel import Finding

LOCK_FORMAT = "attncert-lock/1"

_REQUIREMENT = re.compile(r"\s*(error|measure|delta|L(?P<p>[0-9./]+))\s*(?P<sign><=|>=)\s*(?P<number>\S+)\s*")


@dataclass(frozen=True)
class Requirement:
    """What every certificate has to say: a kind of claim, and for all but a partition a bound.

    `error<=0.05` and `error>=0.01` are about the sup norm, `L2<=0.05` and `L2>=0.01` about the norm with that p;
    `measure<=0.1` and `delta<=0.001` about an indicator claim, and `partition` about regions.
    """

    text: str
    name: str
    power: Fraction | None
    below: bool
    number: Fraction

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a requirement; raises InvalidClaim."""
        if text.strip() == "partition":
            return cls(text.strip(), "partition", None, True, Fraction(0))
        match = _REQUIREMENT.fullmatch(text)
        if match is None or (match["sign"] == ">=" and match[1] in ("measure", "delta")):
            raise InvalidClaim(
                f"the requirement {text!r} is none of error<=EPS, error>=EPS, LP<=EPS, LP>=EPS, measure<=MU, "
                "delta<=DELTA, partition"
            )
        number = parse_tolerance(match["number"])
        power = None if match["p"] is None else parse_exact(match["p"])
        if power is not None:
            error_claim(match["p"], number)
        return cls(text.strip(), "error" if power is not None else match[1], power, match["sign"] == "<=", number)

    def unmet(self, statement: Statement, found: Finding) -> str | None:
        """Why what the kernel found does not meet the requirement; None when it does."""
        claim = statement.claim
        match claim:
            case SupError() | LpError() if self.name == "error":
                if self.power != (claim.power if isinstance(claim, LpError) else None):
                    return "the claim is about another norm"
                return _off(proved_ends(statement, found), self.below, self.number)
            case Indicator() if self.name in ("measure", "delta"):
                value = claim.delta if self.name == "delta" else parse_exact(found.bound or "1e99")
                return _off((None, value), True, self.number)
            case Partition() if self.name == "partition":
                return None if found.verdict == "proved" else "the partition is refuted"
            case _:
                return f"the claim is of the kind {claim.to_json()['kind']!r}"


@dataclass(frozen=True)
class UserClaim:
    """A claim about the error of a head for a target on a domain, as somebody wrote it down.

    `below` tells whether the error is said to be at most `number`, or at least that. `kind` is that of the head, and
    `source` says where its weights are, if the claim does.
    """

    path: str
    target: str
    domain: Box
    conditions: tuple[str, ...]
    members: tuple[Box, ...]
    norm: str
    below: bool
    number: Fraction
    kind: str | None
    shape: str | None
    source: HeadSource | None = None

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a claim file (TOML); raises InvalidClaim with the file's name and the reason."""
        try:
            with open(path, "rb") as stream:
                table = tomllib.load(stream)
            return cls._from_table(str(path), table)
        except OSError as error:
            raise InvalidClaim(f"{path}: {error.strerror}") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError, InputError) as error:
            raise InvalidClaim(f"{path}: {error}") from None

    @classmethod
    def _from_table(cls, path: str, table: Mapping[str, Any]) -> Self:
        known = {"target", "domain", "norm", "tolerance", "at_least", "where", "shape", "attention"}
        if unknown := sorted(set(table) - known):
            raise InvalidClaim(f"unknown key {unknown[0]!r}; a claim file knows {', '.join(sorted(known))}")
        texts = {name: table[name] for name in ("target", "domain", "norm", "tolerance", "at_least", "shape")
                 if name in table}  # fmt: skip
        for name, value in texts.items():
            if not isinstance(value, str):
                raise InvalidClaim(f"{name} is a string, so that numbers are exact")
        if missing := [name for name in ("target", "domain") if name not in texts]:
            raise InvalidClaim(f"the key {missing[0]!r} is missing")
        if ("tolerance" in texts) == ("at_least" in texts):
            raise InvalidClaim("a claim has a tolerance, or at_least, and not both")
        where, attention = table.get("where", []), table.get("attention", {})
        if not isinstance(where, list) or not all(isinstance(condition, str) for condition in where):
            raise InvalidClaim("where is a list of conditions")
        kind = attention.get("kind") if isinstance(attention, dict) else attention
        if kind not in (None, "self", "cross"):
            raise InvalidClaim('the attention has the kind "self" or "cross"')
        source = None
        if isinstance(attention, dict) and set(attention) - {"kind"}:
            source = HeadSource.parse(attention, Path(path).parent)
        below = "tolerance" in texts
        number = parse_tolerance(texts["tolerance" if below else "at_least"])
        norm = texts.get("norm", "inf")
        error_claim(norm, number)
        box, members = parse_domain(texts["domain"])
        return cls(
            path, texts["target"], box, tuple(where), members, norm, below, number, kind, texts.get("shape"), source
        )

    def unmet(self, statement: Statement, found: Finding) -> str | None:
        """Why what the kernel found is not this claim, or less than it; None when it proves the claim."""
        space, claim = statement.space, statement.claim
        if not isinstance(claim, SupError | LpError):
            return f"the claim is of the kind {claim.to_json()['kind']!r}"
        if claim != error_claim(self.norm, claim.tolerance):
            return "the claim is about another norm"
        if self.kind not in (None, statement.attention.kind):
            return f"the head is of {statement.attention.kind}-attention"
        shapes = ",".join(f"{rows}x{columns}" for rows, columns in space.shapes)
        if self.shape is not None and self.shape.replace(" ", "").lower() != shapes:
            return f"the input has the shape {shapes}"
        if self.domain != statement.domain:
            return f"the domain is {statement.domain}"
        union = (union_condition(self.members, space.variable_name),) if len(self.members) > 1 else ()
        try:
            target = parse_target(self.target, space)
            conditions = [parse_condition(text, space).indicator for text in (*union, *self.conditions)]
        except InputError as error:
            return f"the input has the shape {shapes}: {error}"
        if _meaning(target) != _meaning(statement.function):
            return f"the target is {statement.function.source}"
        if {_meaning(c) for c in conditions} != {_meaning(c.indicator) for c in statement.conditions}:
            return "the conditions of the domain differ"
        return self._other_head(statement) or _off(proved_ends(statement, found), self.below, self.number)

    def _other_head(self, statement: Statement) -> str | None:
        """Why the head is not the one in the weights file of the claim, if it names one."""
        if self.source is None:
            return None
        from attncert.weights import load_head

        try:
            head = load_head(self.source, statement.space).attention
        except InputError as error:
            return str(error)
        same = canonical(head.to_json()) == canonical(statement.attention.to_json())
        return None if same else f"the head is not the one in {self.source.weights.name}"


def _meaning(target: Target) -> tuple[tuple[int, int], tuple[Instruction, ...], tuple[int, ...]]:
    """What a target computes: two spellings that differ in blanks or brackets only have the same."""
    return target.shape, target.tape, target.outputs


def proved_ends(statement: Statement, found: Finding) -> tuple[Fraction | None, Fraction | None]:
    """What was proved of the norm of the error: it is at least the first number, and at most the second."""
    if found.verdict == "proved":
        return _number(found.lower), _number(found.bound)
    claim = statement.claim
    assert isinstance(claim, SupError | LpError)
    return max(claim.tolerance, _number(found.lower) or claim.tolerance), None


def _number(text: str | None) -> Fraction | None:
    return None if text is None else parse_exact(text)


def _off(proved: tuple[Fraction | None, Fraction | None], below: bool, number: Fraction) -> str | None:
    lower, upper = proved
    if below:
        if upper is None:
            return f"the error is more than {lower}"
        return None if upper <= number else f"what is proved is at most {upper}"
    if lower is None:
        return "no lower bound is proved"
    return None if lower >= number else f"what is proved is at least {lower}"


# --- lock files ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lock:
    """The digests of the statements that certificates have to prove or refute, by file.

    Paths are relative to the folder of the lock file, with slashes.
    """

    path: Path
    entries: Mapping[str, tuple[str, str]]

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a lock file; raises InputError with its name and the reason."""
        try:
            value = json.loads(path.read_bytes())
        except OSError as error:
            raise InputError(f"{path}: {error.strerror}") from None
        except (ValueError, RecursionError):
            raise InputError(f"{path}: not a lock file: not JSON") from None
        match value:
            case {"format": str(form), "certificates": dict(items)} if form == LOCK_FORMAT and len(value) == 2:
                entries = {name: _entry(item, path, name) for name, item in items.items()}
                return cls(path, entries)
        raise InputError(f"{path}: not a lock file of the format {LOCK_FORMAT}")

    @classmethod
    def of(cls, path: Path, outcomes: list[dict[str, object]]) -> Self:
        """The lock of what was found, to be written to that path."""
        found = [(_relative(str(o["file"]), path), o) for o in outcomes]
        return cls(path, {name: (str(o["verdict"]), str(o["statement_sha256"])) for name, o in found})

    def save(self) -> None:
        """Write the file: one entry a line, in the order of the names."""
        items = [
            f"    {json.dumps(name)}: {json.dumps({'verdict': verdict, 'statement_sha256': digest})}"
            for name, (verdict, digest) in sorted(self.entries.items())
        ]
        text = f'{{\n  "format": "{LOCK_FORMAT}",\n  "certificates": {{\n' + ",\n".join(items) + "\n  }\n}\n"
        self.path.write_text(text)

    def unmet(self, outcome: Mapping[str, object]) -> str | None:
        """Why a checked file is not what was locked; None when it is."""
        entry = self.entries.get(_relative(str(outcome["file"]), self.path))
        if entry is None:
            return "the file is not in the lock"
        verdict, digest = entry
        if outcome.get("statement_sha256") != digest:
            return f"the statement is not the locked one, {digest}"
        return None if outcome["verdict"] == verdict else f"the locked verdict is {verdict}"

    def missing(self, files: list[Path]) -> list[str]:
        """The locked files that are not among those checked."""
        checked = {_relative(str(file), self.path) for file in files}
        return [name for name in self.entries if name not in checked]


def _relative(file: str, lock: Path) -> str:
    return Path(os.path.relpath(file, lock.parent)).as_posix()


def _entry(item: Any, path: Path, name: str) -> tuple[str, str]:
    match item:
        case {"verdict": "proved" | "refuted" as verdict, "statement_sha256": str(digest)} if len(item) == 2:
            return verdict, digest
    raise InputError(f"{path}: {name}: an entry has a verdict, proved or refuted, and a statement_sha256")
