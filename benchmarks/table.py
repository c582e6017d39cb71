"""The table of a run: one row for each instance, the ratios to attncert, and what does not agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from benchmarks.instances import Instance
from benchmarks.measure import Measurement
from benchmarks.registry import ATTNCERT, SAMPLING, Found


@dataclass
class Row:
    """What was measured on one instance, by the name of the peer."""

    instance: Instance
    measured: dict[str, Measurement] = field(default_factory=dict)
    kernel: Measurement | None = None

    @property
    def truth(self) -> str:
        """What a right verdict is."""
        return "proved" if self.instance.holds else "refuted"

    @property
    def disagreements(self) -> list[str]:
        """Verdicts that contradict the truth, and certificates that the kernel does not accept."""
        found = [
            f"{self.instance.name}: {name} says {measured.verdict}, but the claim is to be {self.truth}"
            for name, measured in self.measured.items()
            if measured.verdict in {"proved", "refuted"} - {self.truth}
        ]
        if self.kernel is not None and self.kernel.verdict not in (self.truth, "limit"):
            found.append(f"{self.instance.name}: the kernel says {self.kernel.verdict} {self.kernel.detail}".rstrip())
        return found

    @property
    def own(self) -> Measurement | None:
        """The measurement of attncert."""
        return self.measured.get(ATTNCERT.name)

    def ratios(self) -> dict[str, float]:
        """kernel / search, the price of proof, and the seconds of each peer that answered / attncert's."""
        own = self.own
        if own is None or not own.seconds:
            return {}
        found: dict[str, float] = {}
        kernel, search = self.kernel.seconds if self.kernel else None, own.median("search")
        if kernel and search:
            found["kernel / search"] = kernel / search
        sampling = self.measured.get(SAMPLING.name)
        if sampling is not None and sampling.seconds and own.boxes:
            found["price of proof"] = own.seconds / sampling.seconds
        for name, measured in self.measured.items():
            if name not in (ATTNCERT.name, SAMPLING.name) and measured.seconds:
                found[name] = measured.seconds / own.seconds
        return found

    def to_json(self) -> dict[str, Any]:
        """All that is known."""
        instance = self.instance
        return {
            "instance": instance.name,
            "target": instance.target,
            "tokens": len(instance.values),
            "beta": instance.beta,
            "sup": instance.sup,
            "tolerance": instance.tolerance,
            "truth": self.truth,
            "measured": {name: measured.to_json() for name, measured in self.measured.items()},
            "kernel": self.kernel.to_json() if self.kernel else None,
            "ratios": self.ratios(),
            "disagreements": self.disagreements,
        }


def markdown(rows: Sequence[Row], found: Mapping[str, Found], limit: float, about: Mapping[str, Any]) -> str:
    """The report: the table, whole processes, the peers and their absence, disagreements."""
    peers = [name for name in found if name not in (ATTNCERT.name, SAMPLING.name)]
    lines = ["# attncert beside its peers", ""]
    loud = [text for row in rows for text in row.disagreements]
    if loud:
        lines += ["**DISAGREEMENT**", "", *[f"* **{text}**" for text in loud], ""]
    lines += [
        f"Seconds in process, without imports, median of up to {about['repeat']} runs on one core, limit {limit:g} s. "
        f"In brackets: times attncert's `verify`. Load when the run began: {about['load']}.",
        "",
    ]
    head = [
        "instance",
        "tokens",
        "tolerance / sup",
        "verdict",
        "verify",
        "search",
        "boxes",
        "kernel",
        "kernel / search",
    ]
    head += ["sampling", "price of proof", *peers]
    lines += table(head, [cells(row, found, peers, limit) for row in rows])
    lines += [
        "",
        "Whole processes: seconds from the start of the interpreter to the first answer, imports included.",
        "",
    ]
    lines += table(
        ["instance", *found],
        [
            [row.instance.name, *[number(row.measured[n].process) if n in row.measured else "" for n in found]]
            for row in rows
        ],
    )
    lines += ["", "Peers:", ""]
    for name, peer in found.items():
        state = f"absent ({peer.detail})" if peer.interpreter is None else f"{peer.detail}; {peer.peer.rigour}"
        lines.append(f"* {name}: {state}")
    failed = [
        f"* {row.instance.name}, {name}: {measured.verdict}, {measured.detail}"
        for row in rows
        for name, measured in row.measured.items()
        if measured.detail
    ]
    return "\n".join([*lines, *(["", "Without an answer:", "", *failed] if failed else [])]) + "\n"


def cells(row: Row, found: Mapping[str, Found], peers: Sequence[str], limit: float) -> list[str]:
    """One row of the table."""
    instance, own, ratios = row.instance, row.own, row.ratios()
    sampling = row.measured.get(SAMPLING.name)
    first = [instance.name, f"{len(instance.values):,}", f"{instance.tolerance / instance.sup:.3f}"]
    first += [own.verdict if own else "", number(own.seconds if own else None)]
    first += [number(own.median("search") if own else None), f"{own.boxes:,}" if own and own.boxes is not None else ""]
    first += [_kernel_cell(row.kernel, limit), number(ratios.get("kernel / search"))]
    first += [number(sampling.seconds if sampling else None), number(ratios.get("price of proof"))]
    return first + [peer_cell(row, found[name], name, limit) for name in peers]


def _kernel_cell(kernel: Measurement | None, limit: float) -> str:
    """The kernel's seconds."""
    if kernel is None:
        return ""
    return f"> {limit:g}" if kernel.verdict == "limit" else number(kernel.seconds) or kernel.verdict


def peer_cell(row: Row, found: Found, name: str, limit: float) -> str:
    """A peer's seconds and their ratio to attncert's; or why there are none."""
    if found.interpreter is None:
        return "absent"
    measured = row.measured.get(name)
    if measured is None:
        return "not for this dimension" if row.instance.dimension > found.peer.dimensions else ""
    own = row.own.seconds if row.own else None
    if measured.verdict == "limit":
        return f"> {limit:g}" + (f" (> {number(limit / own)})" if own else "")
    if measured.seconds is None:
        return measured.verdict
    ratio = f" ({number(measured.seconds / own)})" if own else ""
    note = "" if measured.verdict == row.truth else f" {measured.verdict}"
    return number(measured.seconds) + ratio + note


def number(x: float | None) -> str:
    """Three digits, without an exponent."""
    if x is None:
        return ""
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}" if x >= 0.001 else f"{x:.5f}"


def table(head: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    """A markdown table."""
    return [f"| {' | '.join(line)} |" for line in [head, ["---"] * len(head), *body]]
