"""The child process that runs Z3: linear real arithmetic over exact integers, one request a line.

It imports nothing of attncert, so that it starts quickly, and is run as a script (see solver.py). Requests and answers
are JSON; numbers are hexadecimal integers, rows are slopes and a constant.

    {"base": [[name, row], ...], "timeout": ms}     from now on every row is >= 0
    {"ask": [row, ...]}                             is there a point at which also every one of these is > 0?

Answers to `ask`: {"sat": [[numerator, denominator], ...]}, {"unsat": [names in the core]} or {"unknown": reason}.
"""

import json
import signal
import sys
from typing import Any

import z3


def main() -> None:
    """Answer requests until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process
    sys.set_int_max_str_digits(0)
    solver, variables = z3.Solver(), []
    ready = False
    for line in sys.stdin:
        request = json.loads(line)
        if "base" in request:
            if ready:
                solver.pop()
            solver.push()
            ready = True
            solver.set("timeout", request["timeout"])
            variables = [z3.Real(f"x{k}") for k in range(len(request["base"][0][1]) - 1)]
            for name, row in request["base"]:
                solver.assert_and_track(affine(row, variables) >= 0, name)
            continue
        solver.push()
        for number, row in enumerate(request["ask"]):
            solver.assert_and_track(affine(row, variables) > 0, f"ask {number}")
        print(json.dumps(answer(solver, variables)), flush=True)
        solver.pop()


def affine(row: list[str], variables: list[Any]) -> Any:
    """The affine function of a row."""
    numbers = [z3.RealVal(str(int(number, 16))) for number in row]
    return z3.Sum([a * x for a, x in zip(numbers[:-1], variables, strict=True)] + [numbers[-1]])


def answer(solver: Any, variables: list[Any]) -> dict[str, Any]:
    """What Z3 says."""
    verdict = solver.check()
    if verdict == z3.unsat:
        return {"unsat": [str(name) for name in solver.unsat_core()]}
    if verdict == z3.sat:
        model = solver.model()
        values = [model.eval(x, model_completion=True) for x in variables]
        return {"sat": [[hex(v.numerator_as_long()), hex(v.denominator_as_long())] for v in values]}
    return {"unknown": solver.reason_unknown()}


if __name__ == "__main__":
    main()
