"""Heads from weights files, exactly: scores and values, the full matrices of the paper, or a module of PyTorch.

docs/audit.md states the conventions of each form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from attncert.certificates.attention import (
    AnyAttention,
    Attention,
    CrossAttention,
    SelfAttention,
    Terms,
    attention_from_json,
)
from attncert.certificates.errors import InvalidWeights
from attncert.certificates.matrix import DenseMatrix, Row, row_is_zero
from attncert.certificates.target import InputSpace
from attncert.construct.embedding import Block, embed_blocks
from attncert.head_source import Form, HeadSource
from attncert.multihead import module_head
from attncert.tensor_reader import TensorReader
from attncert.tensors import prefixed, read_tensors


@dataclass(frozen=True)
class LoadedHead:
    """A head, exactly as its file has it, and the tensors of the file that play no part in it."""

    attention: AnyAttention
    unused: tuple[str, ...]


def load_head(source: HeadSource, space: InputSpace) -> LoadedHead:
    """Read the head that a claim file names, for an input of the shapes of `space`; nothing is rounded.

    Raises InvalidWeights with the file and what is missing, does not fit, or cannot be read exactly; InvalidClaim for
    what the claim file says and does not go with the weights.
    """
    file = read_tensors(source.weights, source.dtype)
    if file.attention is not None:
        source.require_form("certificate")
        with prefixed(f"{file.path}: "):
            return LoadedHead(_fitting(attention_from_json(file.attention), space), ())
    reader = TensorReader(file).at(source.prefix)
    form = source.form or _form(reader)
    source.require_form(form)
    match form:
        case "reduced":
            head = _reduced(reader, space)
        case "matrices":
            head = _matrices(reader, space)
        case "torch":
            head = module_head(reader, source, space)
    with prefixed(f"{file.path}: "):
        return LoadedHead(_fitting(head, space), reader.unused())


def _form(reader: TensorReader) -> Form:
    """The form that the names of the tensors show."""
    marks: dict[str, Form] = {"keys": "reduced", "W_K": "matrices", "in_proj_weight": "torch", "q_proj_weight": "torch"}
    for mark, form in marks.items():
        if reader.has(mark):
            return form
    below = f" below {reader.prefix!r}" if reader.prefix else ""
    raise InvalidWeights(
        f"{reader.file.path}: no head{below}: a tensor 'keys', 'W_K', 'in_proj_weight' or 'q_proj_weight' is missing; "
        f"the file has {', '.join(list(reader.file.tensors)[:12]) or 'none'}"
    )


def _fitting(head: AnyAttention, space: InputSpace) -> AnyAttention:
    """The head, if it takes inputs of those shapes."""
    if head.input_shapes != space.shapes:
        has, needs = (" and ".join(f"{d} x {n}" for d, n in shapes) for shapes in (head.input_shapes, space.shapes))
        raise InvalidWeights(f"the head takes an input of shape {has}, but the claim is about one of {needs}")
    return head


def _only(reader: TensorReader, pattern: str) -> None:
    """Refuse tensors of unknown meaning: the head may be another one than is read."""
    for name in reader.names():
        if not re.fullmatch(pattern, name):
            raise InvalidWeights(f"{reader.file.path}: the tensor {reader.prefix + name!r} has no meaning here")


def _reduced(reader: TensorReader, space: InputSpace) -> Attention:
    """Scores keys . x + biases and values, one row for each token."""
    _only(reader, "keys|biases|values|slopes")
    m = space.size
    keys = reader.matrix("keys", None, m, "(N, m) =")
    tokens = len(keys)
    biases = reader.vector("biases", tokens, "(N,) =")
    values = reader.matrix("values", tokens, None, "(N, d_o) =")
    slopes: list[list[Row]] = []
    if reader.has("slopes"):
        shape, numbers = reader.array("slopes", (tokens, len(values[0]), m), "(N, d_o, m) =")
        slopes = [[numbers[r * m + k :: shape[1] * m] for k in range(m)] for r in range(shape[1])]
        m_K = space.shape[0] * space.shape[1]
        if any(not row_is_zero(row) for rows in slopes for row in rows[m_K:]):
            raise InvalidWeights(f"{reader.file.path}: the tensor 'slopes': values cannot depend on the queries' input")
        slopes = [rows[:m_K] for rows in slopes]
    return embed_blocks(space, [Block(_columns(keys), biases, _columns(values), slopes)])


def _columns(rows: list[list[Fraction]]) -> list[Row]:
    return [list(column) for column in zip(*rows, strict=True)]


def _matrices(reader: TensorReader, space: InputSpace) -> Attention:
    """The full matrices, by their names in docs/certificate-format.md; terms are P_0, Q_0, P_1, ..."""
    cross = space.query_shape is not None
    sides = ("_K", "_Q") if cross else ("",)
    ends = "_K|_Q" if cross else ""
    _only(reader, rf"[PQ]_[0-9]{{1,6}}({ends})|R({ends})|W_[KQVO]")
    weights = {name: _matrix(reader, name) for name in ("W_K", "W_Q", "W_V", "W_O")}
    linear = [_terms(reader, side, shape) for side, shape in zip(sides, space.shapes, strict=True)]
    constants = [_matrix(reader, f"R{side}") for side in sides]
    with prefixed(f"{reader.file.path}: "):
        if space.query_shape is None:
            return SelfAttention(input_shape=space.shape, linear=linear[0], R=constants[0], **weights)
        return CrossAttention(
            key_shape=space.shape,
            query_shape=space.query_shape,
            linear_K=linear[0],
            R_K=constants[0],
            linear_Q=linear[1],
            R_Q=constants[1],
            **weights,
        )


def _terms(reader: TensorReader, side: str, shape: tuple[int, int]) -> Terms:
    """The terms of one input, in the order of their numbers; a P without its Q is an error."""
    pattern = re.compile(rf"[PQ]_([0-9]+){side}")
    numbers = sorted({match[1] for name in reader.names() if (match := pattern.fullmatch(name))}, key=int)
    d, n = shape
    return tuple(
        (
            _matrix(reader, f"P_{k}{side}", columns=d, what="for an input of d rows (d_z, d) ="),
            _matrix(reader, f"Q_{k}{side}", rows=n, what="for an input of n columns (n, n_z) ="),
        )
        for k in numbers
    )


def _matrix(
    reader: TensorReader, name: str, rows: int | None = None, columns: int | None = None, what: str = ""
) -> DenseMatrix:
    entries = reader.matrix(name, rows, columns, what)
    return DenseMatrix((len(entries), len(entries[0])), tuple(entries))
