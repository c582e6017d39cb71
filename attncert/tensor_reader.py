"""Tensors of a weights file as matrices and vectors of exact numbers, by name and with the shape that is needed."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from attncert.certificates.errors import InvalidWeights
from attncert.tensors import Shape, TensorFile

Rows = list[list[Fraction]]
Wanted = tuple[int | None, ...]
"""A shape in which None stands for any number."""


@dataclass(frozen=True)
class TensorReader:
    """The tensors of a file whose names begin with a prefix. `used` collects the names of those that were read."""

    file: TensorFile
    prefix: str = ""
    used: set[str] = field(default_factory=set)

    def at(self, prefix: str) -> TensorReader:
        """The tensors of the same file below another prefix; a dot at its end may be left out."""
        joined = prefix if not prefix or prefix.endswith(".") else f"{prefix}."
        return TensorReader(self.file, joined, self.used)

    def names(self) -> list[str]:
        """The names after the prefix."""
        return [name[len(self.prefix) :] for name in self.file.tensors if name.startswith(self.prefix)]

    def has(self, name: str) -> bool:
        """Tell whether there is such a tensor."""
        return self.prefix + name in self.file.tensors

    def shape(self, name: str) -> Shape:
        """The shape of a tensor; raises InvalidWeights when it is missing."""
        return self.file.find(self.prefix + name).shape

    def array(self, name: str, wanted: Wanted, what: str = "") -> tuple[Shape, list[Fraction]]:
        """The shape and the numbers, row by row; raises InvalidWeights for a tensor of another shape than is wanted."""
        full = self.prefix + name
        shape = self.shape(name)
        if len(shape) != len(wanted) or any(need not in (None, side) for need, side in zip(wanted, shape, strict=True)):
            sides = ", ".join("any" if need is None else str(need) for need in wanted)
            meaning = f" {what}" if what else ""
            raise InvalidWeights(
                f"{self.file.path}: the tensor {full!r} has shape {_spell(shape)}, but{meaning} ({sides}) is needed"
            )
        if 0 in shape:
            raise InvalidWeights(f"{self.file.path}: the tensor {full!r} of shape {_spell(shape)} is empty")
        self.used.add(full)
        return self.file.numbers(full)

    def matrix(self, name: str, rows: int | None, columns: int | None, what: str = "") -> Rows:
        """A matrix, by rows."""
        (_, width), numbers = self.array(name, (rows, columns), what)
        return [numbers[k : k + width] for k in range(0, len(numbers), width)]

    def vector(self, name: str, length: int | None, what: str = "") -> list[Fraction]:
        """A vector."""
        return self.array(name, (length,), what)[1]

    def unused(self) -> tuple[str, ...]:
        """All tensors of the file that were not read."""
        return tuple(name for name in self.file.tensors if name not in self.used)


def _spell(shape: Shape) -> str:
    return f"({', '.join(map(str, shape))})"
