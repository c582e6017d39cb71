"""Claims as networks and properties for other verifiers: ONNX (double precision) and VNN-LIB 1.0.

The network computes f - T for an input of m entries, T as a softmax over affine scores; the property is that an output
reaches beyond the tolerance, so that `unsat` is the claim. A claim is written only if float64 holds every number of the
network and decimals those of the property exactly: then both say what the certificate says.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from attncert.certificates.claim import SupError
from attncert.certificates.target import Target
from benchmarks.soundness.cases import Case
from benchmarks.soundness.heads import Head, spelled

OPERATORS = {
    "neg": "Neg",
    "add": "Add",
    "sub": "Sub",
    "mul": "Mul",
    "div": "Div",
    "exp": "Exp",
    "log": "Log",
    "sqrt": "Sqrt",
    "sin": "Sin",
    "cos": "Cos",
    "tan": "Tan",
    "sinh": "Sinh",
    "cosh": "Cosh",
    "tanh": "Tanh",
    "atan": "Atan",
    "erf": "Erf",
    "sigmoid": "Sigmoid",
    "abs": "Abs",
    "min": "Min",
    "max": "Max",
    "sign": "Sign",
    "floor": "Floor",
    "less": "Less",
    "less_equal": "LessOrEqual",
    "not_": "Not",
    "and_": "And",
    "or_": "Or",
    "where": "Where",
}
"""Operations of targets that ONNX has under another name; powers are `Pow`."""


class Inexact(Exception):
    """A number that float64 does not hold."""


def expressible(case: Case) -> bool:
    """Tell whether a claim can be written without rounding anything."""
    if case.head is None or not isinstance(case.statement.claim, SupError):
        return False
    try:
        for end in (case.statement.claim.tolerance, *(end for side in case.statement.domain.sides for end in side)):
            decimal(end)
        _Network(case.head, case.statement.function)
    except Inexact:
        return False
    return True


def decimal(value: Fraction) -> str:
    """A number as VNN-LIB spells it; raises Inexact for one that has no finite decimal expansion."""
    text = spelled(value)
    if "/" in text:
        raise Inexact
    return text.strip("()")


def double(value: Fraction) -> float:
    """The same number in float64, or Inexact."""
    try:
        number = float(value)
    except OverflowError:
        raise Inexact from None
    if Fraction(number) != value:
        raise Inexact
    return number


class _Network:
    """The nodes and constants of the network of a claim: X (1, m) to Y (1, outputs)."""

    def __init__(self, head: Head, target: Target) -> None:
        self.nodes: list[tuple[str, list[str], str, dict[str, Any]]] = []
        self.constants: dict[str, np.ndarray[Any, Any]] = {}
        self.inputs, self.outputs = target.space.size, len(target.outputs)
        ranges = [self.add("Gather", ["X", self.hold(np.array([k]))], axis=1) for k in range(self.inputs)]
        values = self._target(target, ranges)
        f = self.add("Concat", [values[slot] for slot in target.outputs], axis=1)
        self.add("Sub", [f, self._head(head)], "Y")

    def add(self, op: str, operands: Sequence[str], name: str = "", **attributes: Any) -> str:
        """Add a node; return the name of its result."""
        name = name or f"v{len(self.nodes)}"
        self.nodes.append((op, list(operands), name, attributes))
        return name

    def hold(self, array: np.ndarray[Any, Any]) -> str:
        """Add a constant; return its name."""
        name = f"c{len(self.constants)}"
        self.constants[name] = array
        return name

    def exact(self, rows: Sequence[Sequence[Fraction]]) -> str:
        """Add a matrix of doubles; return its name."""
        return self.hold(np.array([[double(number) for number in row] for row in rows]))

    def _target(self, target: Target, entries: list[str]) -> list[str]:
        """The names of all slots of the target, each (1, 1)."""
        names: list[str] = []
        for op, args, payload in target.tape:
            operands = [names[slot] for slot in args]
            if op == "var":
                names.append(entries[int(payload or 0)])
            elif op == "const":
                names.append(self.exact([[Fraction(payload or 0)]]))
            elif op in ("ipow", "rpow"):
                names.append(self.add("Pow", [*operands, self.exact([[Fraction(payload or 0)]])]))
            elif op == "pow":
                names.append(self.add("Pow", operands))
            elif op in OPERATORS:
                names.append(self.add(OPERATORS[op], operands))
            else:
                raise Inexact  # pi and e
        return names

    def _head(self, head: Head) -> str:
        """The name of T, (1, outputs)."""
        scores = self.add("Add", [self.add("MatMul", ["X", self.exact(head.keys)]), self.exact([head.biases])])
        weights = self.add("Softmax", [scores], axis=1)
        columns = []
        for r, row in enumerate(head.values):
            value = self.exact([row])
            if head.slopes:
                moved = self.add("MatMul", ["X", self.exact(head.slopes[r])])
                value = self.add("Add", [moved, value])
            products = self.add("Mul", [weights, value])
            columns.append(self.add("ReduceSum", [products, self.hold(np.array([1]))], keepdims=1))
        return self.add("Concat", columns, axis=1)


def network(case: Case) -> Any:
    """The ONNX model of a claim; needs the package onnx. Raises Inexact."""
    from onnx import TensorProto, checker, helper, numpy_helper

    assert case.head is not None
    graph = _Network(case.head, case.statement.function)
    sizes = {"X": graph.inputs, "Y": graph.outputs}
    ends = {name: helper.make_tensor_value_info(name, TensorProto.DOUBLE, [1, size]) for name, size in sizes.items()}
    model = helper.make_model(
        helper.make_graph(
            [helper.make_node(op, operands, [name], **attributes) for op, operands, name, attributes in graph.nodes],
            case.name,
            [ends["X"]],
            [ends["Y"]],
            [numpy_helper.from_array(array, name) for name, array in graph.constants.items()],
        ),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
        producer_name="attncert",
    )
    checker.check_model(model)
    return model


def property_of(case: Case) -> str:
    """The negated claim in VNN-LIB: some output is at least the tolerance in size."""
    claim, outputs = case.statement.claim, len(case.statement.function.outputs)
    assert isinstance(claim, SupError)
    tolerance = decimal(claim.tolerance)
    lines = [f"; {case.name}: the claim {'holds (unsat)' if case.holds else 'fails (sat)'}"]
    lines += [f"(declare-const X_{k} Real)" for k in range(case.statement.domain.dimension)]
    lines += [f"(declare-const Y_{r} Real)" for r in range(outputs)]
    for k, (lo, hi) in enumerate(case.statement.domain.sides):
        lines += [f"(assert (>= X_{k} {decimal(lo)}))", f"(assert (<= X_{k} {decimal(hi)}))"]
    beyond = [
        f"(and ({sign} Y_{r} {end}))"
        for r in range(outputs)
        for sign, end in ((">=", tolerance), ("<=", f"-{tolerance}"))
    ]
    lines.append(f"(assert (or {' '.join(beyond)}))")
    return "\n".join(lines) + "\n"


def write(case: Case, folder: Path) -> tuple[str, str] | None:
    """Write the network and the property of a claim; return their paths inside the folder, None if it has none."""
    if not expressible(case):
        return None
    paths = f"onnx/{case.name}.onnx", f"vnnlib/{case.name}.vnnlib"
    for path, content in zip(
        paths, (network(case).SerializeToString(), property_of(case).encode("ascii")), strict=True
    ):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(content)
    return paths
