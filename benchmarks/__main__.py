"""Measures attncert beside the peers that are installed, on one set of instances in one run.

python -m benchmarks                                    all instances and peers; results in benchmarks/results
python -m benchmarks --instances A,B --limit 10         some of them, ten seconds each
python -m benchmarks --python /tmp/peers/bin/python     also look for peers in another virtual environment
python -m benchmarks --scaling                          the verifier on 10^4, 10^5 and 10^6 tokens
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import scaling
from benchmarks.instances import INSTANCES
from benchmarks.measure import Measurement, measure
from benchmarks.plot import have_matplotlib, plot
from benchmarks.registry import ATTNCERT, PEERS, SAMPLING, Found, find
from benchmarks.table import Row, markdown, number

FEWEST_POINTS = 1000
"""Samples where attncert needed no boxes."""


def run(
    instances: Sequence[str], found: dict[str, Found], *, repeat: int, limit: float, log: Any = sys.stdout
) -> list[Row]:
    """Measure every instance: attncert first, since the sampler takes as many points as it used boxes."""
    rows = []
    for name in instances:
        row = Row(INSTANCES[name])
        points = FEWEST_POINTS
        for peer in found.values():
            if peer.interpreter is None or row.instance.dimension > peer.peer.dimensions:
                continue
            job = row.instance.job(repeat=repeat, limit=limit, points=points)
            measured = row.measured[peer.peer.name] = measure(peer.peer.module, job, peer.interpreter)
            if peer.peer is ATTNCERT:
                points = measured.boxes or FEWEST_POINTS
            print(f"{name:3} {peer.peer.name:10} {_line(measured)}", file=log, flush=True)
            if peer.peer is ATTNCERT and measured.verdict in ("proved", "refuted"):
                row.kernel = measure("run_kernel", job, peer.interpreter)
                print(f"{name:3} {'kernel':10} {_line(row.kernel)}", file=log, flush=True)
        for text in row.disagreements:
            print(f"!!! DISAGREEMENT: {text}", file=log, flush=True)
        rows.append(row)
    return rows


def _line(measured: Measurement) -> str:
    parts = [measured.verdict]
    parts += [f"{number(measured.seconds)} s"] if measured.seconds is not None else []
    parts += [f"{measured.boxes:,} boxes"] if measured.boxes is not None else []
    return ", ".join(parts + ([measured.detail] if measured.detail else []))


def about(repeat: int) -> dict[str, Any]:
    """Where and how the run was made."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": round(load, 2),
        "repeat": repeat,
    }


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--instances", default=",".join(INSTANCES), help="names, separated by commas")
    parser.add_argument("--peers", default=",".join(PEERS), help="names, separated by commas; attncert always runs")
    parser.add_argument("--limit", type=float, default=None, help="seconds for a measurement (60; with --scaling 600)")
    parser.add_argument("--repeat", type=int, default=5, help="runs of each measurement, as far as the limit allows")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"), metavar="DIR")
    parser.add_argument("--python", action="append", default=[], metavar="INTERPRETER", help="where else peers may be")
    parser.add_argument("--scaling", action="store_true", help="the verifier on ever more tokens, instead of the peers")
    parser.add_argument("--tokens", default="10000,100000,1000000", help="sizes for --scaling")
    options = parser.parse_args(arguments)
    options.instances = [name for name in options.instances.split(",") if name]
    options.peers = [name for name in options.peers.split(",") if name]
    for kind, names, known in (("instance", options.instances, INSTANCES), ("peer", options.peers, PEERS)):
        for name in names:
            if name not in known:
                parser.error(f"there is no {kind} {name!r}; there are {', '.join(known)}")
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; 1 if a verdict is wrong."""
    options = parse(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    facts = about(options.repeat)
    plots = have_matplotlib()
    if options.scaling:
        sizes = [int(size) for size in options.tokens.split(",")]
        limit = options.limit or 600.0
        text = scaling.run(sizes, repeat=options.repeat, limit=limit, output=options.output, about=facts)
        print(f"\n{text}")
        return 0
    limit = options.limit or 60.0
    names = dict.fromkeys([ATTNCERT.name, *options.peers])
    found = {name: find(PEERS[name], [sys.executable, *options.python]) for name in names}
    for name, peer in found.items():
        if peer.interpreter is None:
            print(f"absent: {name} ({peer.detail})")
    rows = run(options.instances, found, repeat=options.repeat, limit=limit)
    text = markdown(rows, found, limit, facts)
    (options.output / "benchmark.md").write_text(text)
    record = {
        "about": {**facts, "limit": limit},
        "peers": {
            name: {"present": peer.interpreter is not None, "detail": peer.detail} for name, peer in found.items()
        },
        "rows": [row.to_json() for row in rows],
    }
    (options.output / "benchmark.json").write_text(json.dumps(record, indent=1))
    print(f"\n{text}")
    if plots:
        present = [name for name, peer in found.items() if peer.interpreter is not None and name != SAMPLING.name]
        plot(
            rows,
            [*present, *([SAMPLING.name] if SAMPLING.name in found else [])],
            limit,
            options.output / "benchmark.png",
        )
    else:
        print("no plot: matplotlib is not installed")
    return 1 if any(row.disagreements for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
