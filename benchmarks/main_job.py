"""Times the main job: certify and check as whole processes, and the engine and the kernel on large heads.

python -m benchmarks.main_job                 the small cases and the 100,000-token case
python -m benchmarks.main_job --million       also 1,000,000 tokens, and the exponent between 10^3 and 10^6
python -m benchmarks.main_job --kernel        also the kernel on 100,000 tokens
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from attncert import verify
from benchmarks.heads import grid_certificate

SMALL = [
    ("sin(2*pi*x)", "[0,1]", "0.05"),
    ("exp(-(x0**2+x1**2))*cos(3*x0*x1)", "[0,1]^2", "0.05"),
    ("x0*x1 - x2**2 + x0*x2/2", "[0,1]^3", "0.25"),
    ("[sin(3*x0)*x1, abs(x0-x1)]", "[-1,1]x[0,2]", "0.1"),
]
LARGE = "sin(3*x0)*cos(2*x1)"


def whole_process(arguments: list[str]) -> tuple[float, dict[str, object]]:
    """Seconds of wall clock and the JSON answer of one run of the command line."""
    started = time.perf_counter()
    answer = subprocess.run([sys.executable, "-m", "attncert", *arguments, "--json"], capture_output=True, text=True)
    seconds = time.perf_counter() - started
    return seconds, json.loads(answer.stdout) if answer.stdout.strip() else {"verdict": answer.stderr.strip()}


def small_cases(repeats: int) -> None:
    """Medians over whole processes: certify (kernel included), then check."""
    header = f"{'target':42} {'domain':14} {'tol':5} {'verdict':8} {'tokens':>7} {'boxes':>8}"
    print(f"{header} {'certify s':>9} {'check s':>8}")
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "certificate.json")
        for target, domain, tolerance in SMALL:
            times, checks = [], []
            for _ in range(repeats):
                seconds, answer = whole_process(
                    [
                        "certify",
                        target,
                        "--domain",
                        domain,
                        "--tol",
                        tolerance,
                        "--method",
                        "uniform",
                        "-o",
                        path,
                        "--force",
                    ]
                )
                times.append(seconds)
                checks.append(whole_process(["check", path])[0])
            row = [sorted(series)[len(series) // 2] for series in (times, checks)]
            print(
                f"{target:42} {domain:14} {tolerance:5} {answer['verdict']:8} {answer.get('tokens', 0):>7} "
                f"{answer.get('boxes', 0):>8} {row[0]:>9.2f} {row[1]:>8.2f}"
            )


def large_case(side: int, other: int, *, jobs: int, kernel: bool) -> float:
    """Seconds of the engine on a grid of side x other tokens; forks, so that memory is its own."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        beta = 48.0 * side * side
        certificate = grid_certificate(LARGE, "[0,1]^2", (side, other), beta, None)
        started = time.perf_counter()
        result = verify(certificate, jobs=jobs, check=False)
        seconds = time.perf_counter() - started
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        line = f"{result.tokens:>9} tokens: {result.verdict}, error <= {result.error_upper}, {result.boxes} boxes, "
        line += f"{seconds:.2f} s, {memory:.2f} GiB"
        if kernel:
            data = result.certificate.to_bytes()
            started = time.perf_counter()
            finding = type(result.certificate).from_bytes(data).check()
            line += f"; kernel {finding.verdict} in {time.perf_counter() - started:.1f} s ({len(data) / 2**20:.1f} MiB)"
        print(line, flush=True)
        os.write(write, f"{seconds}".encode())
        os._exit(0)
    os.waitpid(child, 0)
    return float(os.read(read, 100).decode())


def main() -> None:
    """Run what the options ask for and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--million", action="store_true")
    parser.add_argument("--kernel", action="store_true")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    small_cases(options.repeats)
    print(f"\n{LARGE} on [0,1]^2, engine in process, {options.jobs} jobs")
    sizes = [(32, 32), (100, 100), (316, 317)] + ([(1000, 1000)] if options.million else [])
    seconds = []
    for side, other in sizes:
        seconds.append(large_case(side, other, jobs=options.jobs, kernel=options.kernel and side == 316))
    (a, b), (c, d) = sizes[0], sizes[-1]
    exponent = math.log(seconds[-1] / seconds[0]) / math.log(c * d / (a * b))
    print(f"time grows with tokens to the power {exponent:.2f} from {a * b} to {c * d} tokens")


if __name__ == "__main__":
    main()
