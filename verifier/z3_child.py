"""The child process that runs Z3: real arithmetic over exact numbers, one request a line.

It imports nothing of attncert, so that it starts quickly, and is run as a script (see solver.py). Requests and answers
are JSON; numbers are hexadecimal integers, rows are slopes and a constant.

    {"base": [[name, row], ...], "timeout": ms}     from now on every row is >= 0
    {"ask": [row, ...]}                             is there a point at which also every one of these is > 0?
    {"any": [row, ...]}                             is there a point at which also one of these is > 0?
    {"far": functions, "timeout": ms}               is there a point at which a function is far from its value?

`functions` is {"tape": [[op, slots, payload], ...], "outputs": [slot, ...], "values": [ratio, ...], "delta": ratio,
"conditions": [[tape, slot], ...]}: a program in single-assignment form for piecewise polynomials, whose outputs are far
where one differs from its value by more than delta, at points where the conditions are 1. Ratios are in hexadecimal,
payloads of `const` as well.

Answers: {"sat": [[numerator, denominator], ...]}, rounded if irrational, {"unsat": [names in the core]} or
{"unknown": reason}.
"""

import json
import signal
import sys
from typing import Any

import z3

OPERATIONS: dict[str, Any] = {
    "neg": lambda a: -a,
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: a / b,
    "abs": lambda a: z3.If(a >= 0, a, -a),
    "min": lambda a, b: z3.If(a <= b, a, b),
    "max": lambda a, b: z3.If(a >= b, a, b),
    "sign": lambda a: z3.If(a > 0, z3.RealVal(1), z3.If(a < 0, z3.RealVal(-1), z3.RealVal(0))),
    "less": lambda a, b: a < b,
    "less_equal": lambda a, b: a <= b,
    "not_": z3.Not,
    "and_": z3.And,
    "or_": z3.Or,
    "where": z3.If,
}

PLACES = 30
"""Decimal places of a point whose coordinates are irrational."""


def main() -> None:
    """Answer requests until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this process
    sys.set_int_max_str_digits(0)
    solver, variables, base = z3.Solver(), [], []
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
            base = [affine(row, variables) >= 0 for _, row in request["base"]]
            for (name, _), row in zip(request["base"], base, strict=True):
                solver.assert_and_track(row, name)
            continue
        if "far" in request:
            print(json.dumps(answer(nonlinear(request, base, variables), variables)), flush=True)
            continue
        solver.push()
        if "any" in request:
            solver.assert_and_track(z3.Or([affine(row, variables) > 0 for row in request["any"]]), "any")
        for number, row in enumerate(request.get("ask", [])):
            solver.assert_and_track(affine(row, variables) > 0, f"ask {number}")
        print(json.dumps(answer(solver, variables)), flush=True)
        solver.pop()


def affine(row: list[str], variables: list[Any]) -> Any:
    """The affine function of a row."""
    numbers = [z3.RealVal(str(int(number, 16))) for number in row]
    return z3.Sum([a * x for a, x in zip(numbers[:-1], variables, strict=True)] + [numbers[-1]])


def nonlinear(request: dict[str, Any], base: list[Any], variables: list[Any]) -> Any:
    """A solver of nonlinear arithmetic, asked for a point where a function is far from its value."""
    solver, functions = z3.SolverFor("QF_NRA"), request["far"]
    solver.set("timeout", request["timeout"])
    solver.add(base)
    for tape, slot in functions["conditions"]:
        solver.add(run(tape, variables)[slot] == 1)
    slots, delta = run(functions["tape"], variables), ratio(functions["delta"])
    apart = [slots[slot] - ratio(value) for slot, value in zip(functions["outputs"], functions["values"], strict=True)]
    solver.add(z3.Or([z3.Or(gap > delta, gap < -delta) for gap in apart]))
    return solver


def run(tape: list[Any], variables: list[Any]) -> list[Any]:
    """The terms of all slots of a program."""
    slots: list[Any] = []
    for op, places, payload in tape:
        operands = [slots[place] for place in places]
        if op == "const":
            slots.append(ratio(payload))
        elif op == "var":
            slots.append(variables[payload])
        elif op == "ipow":
            slots.append(z3.Product([operands[0]] * payload) if payload else z3.RealVal(1))
        else:
            slots.append(OPERATIONS[op](*operands))
    return slots


def ratio(pair: list[str]) -> Any:
    """An exact number."""
    return z3.Q(int(pair[0], 16), int(pair[1], 16))


def answer(solver: Any, variables: list[Any]) -> dict[str, Any]:
    """What Z3 says."""
    verdict = solver.check()
    if verdict == z3.unsat:
        return {"unsat": [str(name) for name in solver.unsat_core()]}
    if verdict == z3.sat:
        model = solver.model()
        values = [model.eval(x, model_completion=True) for x in variables]
        exact = [v.approx(PLACES) if z3.is_algebraic_value(v) else v for v in values]
        return {"sat": [[hex(v.numerator_as_long()), hex(v.denominator_as_long())] for v in exact]}
    return {"unknown": solver.reason_unknown()}


if __name__ == "__main__":
    main()
