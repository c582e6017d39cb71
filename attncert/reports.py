"""How results are worded: lines for people, one JSON object for programs. No decision is taken here.

The rooms are imported where a certificate is described: `--help` and `check` do without numpy and mpmath."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import MAX_EMAX, MIN_EMIN, Context, Decimal, Inexact
from fractions import Fraction
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from attncert.api import Certificate, Result
    from attncert.auditing import Audit
    from attncert.certificates.claim import Claim
    from attncert.certificates.evidence import Evidence
    from attncert.tradeoffs import Row
    from attncert.verifier.boxes import Progress

LONGEST = 300
"""Longest text shown in one field for people; JSON is never cut."""


def one_line(text: object, longest: int | None = None) -> str:
    """The text on one line, safe for a terminal: white space collapsed, control characters spelled out."""
    line = " ".join(str(text).split())
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in line)
    if longest is not None and len(line) > longest:
        line = f"{line[:longest]}... ({len(line):,} characters)"
    return line


def dump(report: Mapping[str, object]) -> str:
    """One JSON object on one line; values that JSON does not know are spelled by str."""
    return json.dumps(report, default=str)


def table(rows: Iterable[tuple[str, object]]) -> str:
    """Aligned `name  value` lines; rows without a value are left out."""
    shown = [(name, one_line(value, LONGEST)) for name, value in rows if value is not None]
    width = max((len(name) for name, _ in shown), default=0)
    return "\n".join(f"  {name:<{width}}  {value}" for name, value in shown)


def result_json(result: Result, file: str | None) -> dict[str, object]:
    """The object that `--json` prints for a result: the notes, such as `apriori`, stand beside the fixed keys."""
    return {
        **result.notes,
        "verdict": result.verdict,
        "error_lower": result.error_lower,
        "error_upper": result.error_upper,
        "tokens": result.tokens,
        "boxes": result.boxes,
        "seconds": round(result.seconds, 3),
        "statement_sha256": result.statement_sha256,
        "file": file,
        "point": None if result.point is None else list(result.point),
        "detail": result.detail,
        "journal": None if file is not None or result.journal is None else str(result.journal),
    }


def result_text(result: Result, file: str | None) -> str:
    """The verdict and what is known, for people."""
    kind = _kind(result)
    rows: list[tuple[str, object]] = [
        ("layer" if kind == "indicator" else "error", enclosure(result.error_lower, result.error_upper)),
        ("a priori", apriori_text(result.notes.get("apriori"))),
        ("paper", apriori_text(result.notes.get("paper"))),
        ("optimum", optimum_text(result.notes.get("optimum"))),
        ("method", result.notes.get("method")),
        ("dtype", result.notes.get("dtype")),
        ("tokens", f"{result.tokens:,}"),
        ("regions" if kind == "partition" else "boxes", f"{result.boxes:,}"),
        ("point", None if result.point is None else "(" + ", ".join(result.point) + ")"),
        ("seconds", f"{result.seconds:.2f}"),
        ("statement", result.statement_sha256),
        ("file", file),
    ]
    return f"{result.verdict}: {one_line(result.detail)}\n{table(rows)}"


def audit_json(audit: Audit, file: str | None) -> dict[str, object]:
    """The object that `audit --json` prints: the keys of every result, and those of the claim and its weights."""
    return {
        "verdict": audit.verdict,
        "claim": audit.claim,
        "error_lower": audit.error_lower,
        "error_upper": audit.error_upper,
        "point": audit.point,
        "tokens": audit.tokens,
        "boxes": audit.boxes,
        "seconds": round(audit.seconds, 3),
        "statement_sha256": audit.statement_sha256,
        "file": file,
        "weights": audit.weights,
        "unused": list(audit.unused),
        "detail": audit.detail,
    }


def audit_text(audit: Audit, file: str | None) -> str:
    """The verdict on a claim, and what is known of the error, for people."""
    from attncert.certificates.numbers import parse_exact

    place = None
    if audit.point is not None:
        place = ", ".join(f"{name} = {spell(parse_exact(x))}" for name, x in audit.point.items())
    rows: list[tuple[str, object]] = [
        ("claim", audit.claim),
        ("error", enclosure(audit.error_lower, audit.error_upper)),
        ("point", None if place is None else f"{place}: the error there is more than {audit.error_lower}"),
        ("weights", audit.weights),
        ("not used", ", ".join(audit.unused) or None),
        ("tokens", f"{audit.tokens:,}"),
        ("boxes", f"{audit.boxes:,}"),
        ("seconds", f"{audit.seconds:.2f}"),
        ("statement", audit.statement_sha256),
        ("file", file),
    ]
    return f"{audit.verdict}: {one_line(audit.detail)}\n{table(rows)}"


def tradeoff_text(row: Row) -> str:
    """One line for a row of a table of tokens against error."""
    if row.tokens is None:
        return f"{row.method}, at most {row.asked:,} tokens: {row.verdict}: {one_line(row.detail)}"
    error = enclosure(row.error_lower, row.error_upper) or "unknown"
    theory = "" if row.paper is None else f" (the paper, a priori: {row.paper} tokens)"
    return f"{row.method}, {row.tokens:,} tokens: {row.verdict}: error {error}{theory}"


def progress_text(progress: Progress) -> str:
    """What stands beside the bar."""
    parts = [f"{progress.boxes:,} boxes", f"{progress.tokens:,} tokens"]
    if progress.worst is not None and progress.bound is not None:
        parts.append(f"error seen {progress.worst:.4g}, proving {progress.bound:.4g}")
    return ", ".join(parts)


def _kind(result: Result) -> object:
    return None if result.certificate is None else result.certificate.statement.claim.to_json()["kind"]


def enclosure(lower: str | None, upper: str | None) -> str | None:
    """What is proved of the error, as an inequality."""
    if lower is None and upper is None:
        return None
    if lower is None:
        return f"at most {upper}"
    if upper is None:
        return f"at least {lower}"
    return f"between {lower} and {upper}"


def apriori_text(apriori: object) -> str | None:
    """What the theory promises before any verification: the bound and what it asks for, or why it promises nothing."""
    if not isinstance(apriori, Mapping):
        return None
    if "none" in apriori:
        return f"none: {apriori['none']}"
    names = ("norm", "bound", "delta", "tokens", "beta", "lipschitz", "sup")
    text = ", ".join(f"{name} {apriori[name]}" for name in names if name in apriori)
    return f"{text} (not proved: in part by {apriori['tail']})" if "tail" in apriori else text


def optimum_text(optimum: object) -> str | None:
    """How far a head is from the best with its keys and biases."""
    if not isinstance(optimum, Mapping) or "least" not in optimum:
        return None
    if "ratio" not in optimum:
        return "no bound is known for other values with these keys"
    return f"at least {optimum['least']} with these keys, whatever the values; ratio {optimum['ratio']}"


def check_json(outcome: Mapping[str, object]) -> dict[str, object]:
    """The object that `check --json` prints for a file: the keys of every result, then what the kernel found."""
    fixed = ("verdict", "error_lower", "error_upper", "tokens", "boxes", "seconds", "statement_sha256", "file")
    return {key: outcome.get(key) for key in fixed} | dict(outcome)


def check_text(outcome: Mapping[str, Any]) -> str:
    """One line for a checked file."""
    unmet = "".join(f"; not {line}" for line in outcome.get("unmet", ()))
    return f"{one_line(outcome['file'])}: {outcome['verdict']}: {one_line(outcome['detail'], LONGEST)}{one_line(unmet)}"


def check_summary(outcomes: Sequence[Mapping[str, Any]]) -> str:
    """A table of the checked files, and a line with the numbers of verdicts."""
    columns = ("verdict", "bound", "tokens", "boxes", "obligations", "seconds", "file")
    rows = [columns] + [
        (
            f"{o['verdict']}, failed" if o["verdict"] == "proved" and not o["ok"] else str(o["verdict"]),
            one_line(o.get("error_upper") or o.get("error_lower") or "", 24),
            *(f"{o[name]:,}" if o.get(name) is not None else "" for name in columns[2:5]),
            f"{o['seconds']:.2f}",
            one_line(o["file"]),
        )
        for o in outcomes
    ]
    widths = [max(len(row[k]) for row in rows) for k in range(len(columns))]
    marks = "<<>>>><"
    lines = [
        "  ".join(f"{cell:{mark}{width}}" for cell, mark, width in zip(row, marks, widths, strict=True)) for row in rows
    ]
    counts = Counter(str(o["verdict"]) for o in outcomes)
    failed = sum(not o["ok"] and o["verdict"] == "proved" for o in outcomes)
    total = f"{len(outcomes)} files: " + ", ".join(f"{count} {verdict}" for verdict, count in sorted(counts.items()))
    return "\n".join(
        [
            "",
            *(f"  {line.rstrip()}" for line in lines),
            total + (f"; {failed} of them not as demanded" if failed else ""),
        ]
    )


def certificate_json(certificate: Certificate, file: str) -> dict[str, object]:
    """The object that `show --json` prints: what the certificate says. Loading it compared the digest."""
    from attncert.certificates.claim import Partition
    from attncert.certificates.evidence import Both, Breach, Counterexample, Enlarged, Integral, Paving
    from attncert.certificates.numbers import format_exact

    statement, evidence = certificate.statement, certificate.evidence
    claim = statement.claim.to_json()
    bounds = evidence if isinstance(evidence, Integral) else None
    partition = statement.claim if isinstance(statement.claim, Partition) else None
    return {
        "file": file,
        "checked": False,
        "target": None if statement.target is None else statement.target.source,
        "domain": str(statement.domain),
        "where": [condition.source for condition in statement.conditions],
        "attention": statement.attention.kind,
        "input_shapes": [list(shape) for shape in statement.attention.input_shapes],
        "output_shape": list(statement.attention.output_shape),
        "tokens": statement.attention.tokens,
        "claim": claim["kind"],
        "norm": claim.get("norm"),
        "tolerance": claim.get("tolerance"),
        "delta": claim.get("delta"),
        "measure": claim.get("measure"),
        "regions": None if partition is None else partition.regions,
        "facets": None if partition is None else partition.facets,
        "evidence": None if evidence is None else evidence.kind,
        "bound": format_exact(evidence.bound) if isinstance(evidence, Paving | Enlarged | Both) else None,
        "lower": None if bounds is None else format_exact(bounds.lower),
        "upper": None if bounds is None else format_exact(bounds.upper),
        "leaves": None if evidence is None or isinstance(evidence, Counterexample | Breach) else evidence.leaves,
        "point": list(map(format_exact, evidence.point)) if isinstance(evidence, Counterexample | Breach) else None,
        "obligation": evidence.obligation if isinstance(evidence, Breach) else None,
        "statement_sha256": certificate.statement_sha256,
        "digest_matches": True,
        "notes": certificate.notes,
    }


def certificate_text(certificate: Certificate, file: str) -> str:
    """What a certificate says, for people; of the notes only those that constructors write."""
    from attncert.certificates.attention import SumAttention

    statement, notes = certificate.statement, certificate.notes
    head = statement.attention
    kind = f"{head.kind}-attention"
    if isinstance(head, SumAttention):
        kind = f"{len(head.heads)} heads of {head.heads[0].kind}-attention"
    shapes = [f"{rows} x {columns}" for rows, columns in (*head.input_shapes, head.output_shape)]
    made = (
        f"{name} {_words(notes[name])}" for name in ("method", "grid", "beta", "precision", "dtype") if name in notes
    )
    rows: list[tuple[str, object]] = [
        ("target", None if statement.target is None else statement.target.source),
        ("domain", " where ".join([str(statement.domain), *(condition.source for condition in statement.conditions)])),
        (
            "head",
            f"{kind}, {head.tokens:,} tokens, input {' and '.join(shapes[:-1])}, output {shapes[-1]}",
        ),
        ("made by", ", ".join(made) or None),
        ("claim", claim_text(statement.claim)),
        ("evidence", _evidence_text(certificate.evidence)),
        ("a priori", apriori_text(notes.get("apriori"))),
        ("paper", apriori_text(notes.get("paper"))),
        ("optimum", optimum_text(notes.get("optimum"))),
        ("statement", f"{certificate.statement_sha256} (the digest matches)"),
    ]
    return f"{one_line(file)}: not checked; run `attncert check` on it\n{table(rows)}"


def claim_text(claim: Claim) -> str:
    """What is claimed, in a line."""
    from attncert.certificates.claim import Indicator, LpError, SupError

    match claim:
        case SupError():
            return f"|target - head| <= {spell(claim.tolerance)} everywhere on the domain"
        case LpError():
            return (
                f"the L_{spell(claim.power)} norm of target - head over the domain is at most {spell(claim.tolerance)}"
            )
        case Indicator():
            return (
                f"the softmax is within {spell(claim.delta)} of the one-hot vector of the best token, outside a set of "
                f"measure {spell(claim.measure)}"
            )
        case _:
            return (
                f"the {claim.regions:,} declared regions, with {claim.facets:,} facets, are those of the best token, "
                "cover the domain, meet on faces only, and each lies in its ball"
            )


def _evidence_text(evidence: Evidence | None) -> str:
    from attncert.certificates.evidence import (
        Both,
        Breach,
        Counterexample,
        Enlarged,
        Integral,
        Layers,
        Paving,
        Regions,
    )

    match evidence:
        case None:
            return "none: the claim is stated without proof"
        case Paving():
            return f"paving of {evidence.leaves:,} boxes for the bound {spell(evidence.bound)}"
        case Enlarged():
            return (
                f"{evidence.regions:,} regions enlarged by kappa {spell(evidence.kappa)}, {evidence.leaves:,} boxes on "
                f"which values are within {spell(evidence.delta)}, for the bound {spell(evidence.bound)}"
            )
        case Both():
            return f"{_evidence_text(evidence.paving)}; and {_evidence_text(evidence.enlarged)}"
        case Integral():
            bounds = f"the norm lies between {spell(evidence.lower)} and {spell(evidence.upper)}"
            return f"integral over {evidence.leaves:,} boxes: {bounds}"
        case Layers():
            layer = sum(tree.count("!") for tree in evidence.trees)
            return f"paving of {evidence.leaves:,} boxes, {layer:,} of them in the layer"
        case Regions():
            terms = [
                terms
                for column in evidence.columns
                for terms in (
                    *(face for region in column.regions for face in region.faces),
                    *(terms for region in column.regions for _, terms in region.beaten),
                    *(terms for _, terms in column.undeclared),
                )
            ]
            return f"bounding boxes of {evidence.leaves:,} regions, {sum(map(len, terms)):,} multipliers"
        case Breach():
            return f"obligation {evidence.obligation} fails at ({', '.join(map(spell, evidence.point))})"
        case Counterexample():
            return f"counterexample at ({', '.join(map(spell, evidence.point))})"


def _words(value: object) -> str:
    return " x ".join(map(str, value)) if isinstance(value, list) else str(value)


def spell(x: Fraction) -> str:
    """An exact number for people: a decimal or a ratio where that is short, else about nine digits, marked so."""
    exact = Context(prec=24, Emin=MIN_EMIN, Emax=MAX_EMAX)
    digits = exact.divide(Decimal(x.numerator), Decimal(x.denominator))
    if not exact.flags[Inexact]:
        return str(digits.normalize(exact))
    ratio = str(x) if max(abs(x.numerator), x.denominator) < 10**12 else ""
    return ratio or f"about {digits:.9g}"
