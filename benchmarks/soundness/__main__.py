"""Asks attncert about claims whose truth is known, and counts right, undecided and wrong answers.

python -m benchmarks.soundness                                    all of them, in one process
python -m benchmarks.soundness --families needles,jumps --jobs 2
python -m benchmarks.soundness --share 0.1                        the first tenth of each family
python -m benchmarks.soundness --write DIR                        only write them: certificates without evidence, and
                                                                  ONNX and VNN-LIB where these can say the same

Exit code: 1 if an answer is wrong, 3 if more than 2 % are undecided, else 0.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import json
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from fractions import Fraction
from pathlib import Path

from attncert import Certificate
from attncert.certificates.numbers import format_exact
from benchmarks.soundness.cases import Case
from benchmarks.soundness.families import FAMILIES, cases
from benchmarks.soundness.running import Answer, run, table
from benchmarks.soundness.vnnlib import write

UNDECIDED = Fraction(2, 100)
"""The part of the answers that may be undecided."""


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.soundness", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--families", default=",".join(FAMILIES), help="some of: " + ", ".join(FAMILIES))
    parser.add_argument("--share", type=Fraction, default=Fraction(1), help="part of each family (default 1)")
    parser.add_argument("--budget", type=float, default=10.0, help="seconds for each search (default 10)")
    parser.add_argument("--jobs", type=int, default=1, help="processes (default 1)")
    parser.add_argument("--json", type=Path, help="a file for all answers")
    parser.add_argument("--write", type=Path, metavar="DIR", help="write the claims instead of asking")
    options = parser.parse_args(arguments)
    options.families = options.families.split(",")
    for name in options.families:
        if name not in FAMILIES:
            parser.error(f"there is no family {name!r}; there are {', '.join(FAMILIES)}")
    if not 0 < options.share <= 1 or options.budget <= 0 or options.jobs < 1:
        parser.error("the share lies in ]0, 1], the budget is positive, and there is at least one job")
    return options


def write_all(claims: Sequence[Case], folder: Path) -> None:
    """Write claims and their truth: certificates/, onnx/, vnnlib/, truth.csv, and instances.csv as VNN-COMP has it."""
    if importlib.util.find_spec("onnx") is None:
        print("onnx is not installed (pip install attncert[benchmarks]): certificates only", file=sys.stderr)
        write_network = None
    else:
        write_network = write
    (folder / "certificates").mkdir(parents=True, exist_ok=True)
    networks = 0
    with (
        (folder / "truth.csv").open("w", newline="") as truth,
        (folder / "instances.csv").open("w", newline="") as list_,
    ):
        rows, instances = csv.writer(truth), csv.writer(list_)
        rows.writerow(["certificate", "family", "holds", "margin", "worst point", "onnx", "vnnlib"])
        for case in claims:
            path = f"certificates/{case.name}.json"
            Certificate(case.statement, None).save(folder / path, overwrite=True)
            paths = write_network(case, folder) if write_network else None
            if paths is not None:
                networks += 1
                instances.writerow([*paths, 60])
            worst = " ".join(map(str, case.worst or ()))
            rows.writerow(
                [path, case.family, str(case.holds).lower(), format_exact(case.margin), worst, *(paths or ("", ""))]
            )
    print(f"{len(claims):,} certificates and {networks:,} networks with properties in {folder}")


def report(answers: Sequence[Answer], seconds: float) -> int:
    """Print what is wrong, and the table; return the exit code."""
    for each in answers:
        if each.wrong:
            print(f"!!! WRONG: {each.name}: {each.verdict}; a forged proof: {each.forged}")
    print(table(answers))
    print(f"{len(answers):,} claims in {seconds:.0f} s")
    if any(each.wrong for each in answers):
        return 1
    return 3 if sum(not each.right for each in answers) > UNDECIDED * len(answers) else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the options ask for."""
    options = parse(arguments)
    claims = list(cases(options.families, options.share))
    if options.write is not None:
        write_all(claims, options.write)
        return 0
    started, answers = time.perf_counter(), []
    for each in run(claims, budget=options.budget, jobs=options.jobs):
        answers.append(each)
        if len(answers) % 100 == 0:
            print(f"{len(answers):,} of {len(claims):,}", file=sys.stderr, flush=True)
        if not each.right:
            print(f"{'!!! WRONG' if each.wrong else 'undecided'}: {each.name}: {each.detail}", flush=True)
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(each) for each in answers], indent=1))
    return report(answers, time.perf_counter() - started)


if __name__ == "__main__":
    sys.exit(main())
