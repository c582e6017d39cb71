"""`nn.MultiheadAttention` with one head, as a head of the paper.

PyTorch's tokens are rows. With queries X_q (L, E), keys X_k (S, kdim) and values X_v (S, vdim) its module computes

    q = scale (X_q W_q^T + b_q),  k = X_k W_k^T + b_k,  v = X_v W_v^T + b_v,  softmax(q k^T) v W_out^T + b_out,

the softmax along the rows of q k^T. Here tokens are columns: Z stacks the transposed tokens and a row of ones, so that

    W_K = [W_k | b_k],  W_Q = scale [W_q | b_q],  W_V = [A W_v | A b_v + a],  A = M W_out,  a = M b_out + c,

where y -> M y + c is a last `nn.Linear`, if there is one: as the weights of a softmax add up to 1, what is added after
it may be added to every value. Every number is exact, and the default scale is the double sqrt(1 / E).

An `nn.Linear` before the module, fixed tokens and encodings of positions are part of Z: for input tokens W_e x + b_e
the term P X Q has P = W_e, the columns of Q say which token of the input stands where, and R holds the rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from attncert.certificates.attention import Attention, CrossAttention, SelfAttention, Shape, Terms
from attncert.certificates.errors import InvalidWeights
from attncert.certificates.matrix import ONE, ZERO, DenseMatrix, Row, SparseMatrix
from attncert.certificates.target import InputSpace
from attncert.head_source import HeadSource, TokenSource
from attncert.tensor_reader import Rows, TensorReader


@dataclass(frozen=True)
class Tokens:
    """Tokens (S, E): `constants`, and for those of the input W x with x the column of X that `columns` names.

    `weight` has shape (E, d); None in `columns` is a fixed token.
    """

    weight: Rows
    columns: tuple[int | None, ...]
    constants: Rows

    @property
    def width(self) -> int:
        """The number E."""
        return len(self.constants[0])

    def __len__(self) -> int:
        """The number S."""
        return len(self.constants)

    def pick(self, places: Sequence[int]) -> Tokens:
        """The tokens at those places."""
        return Tokens(self.weight, tuple(self.columns[k] for k in places), [self.constants[k] for k in places])


@dataclass(frozen=True)
class Projection:
    """y -> W y + b, with W by rows."""

    W: Rows
    b: list[Fraction]


def module_head(reader: TensorReader, source: HeadSource, space: InputSpace) -> Attention:
    """The head of a module and what stands around it; `reader` reads the tensors of the module.

    Raises InvalidWeights with the tensor that is missing or does not fit.
    """
    query, key, value = _projections(reader, source.scale)
    last = _linear(reader.at(f"{reader.prefix}out_proj"), len(value.W))
    if source.readout is not None:
        last = _after(_linear(reader.at(source.readout), len(last.W)), last)
    value = _after(last, value)
    shapes = {"query": space.query_shape or space.shape, "key": space.shape, "value": space.shape}
    tokens = {
        name: _tokens(reader, each, shapes[name], len(projection.W[0]), name)
        for name, each, projection in (
            ("query", source.query, query),
            ("key", source.key, key),
            ("value", source.value, value),
        )
    }
    if len(tokens["key"]) != len(tokens["value"]):
        raise InvalidWeights(
            f"{reader.file.path}: there are {len(tokens['key'])} keys, but {len(tokens['value'])} values"
        )
    chosen = _outputs(reader, source, tokens["query"])
    build = _self_attention if space.query_shape is None else _cross_attention
    return build(space, tokens, query, key, value, chosen)


def _self_attention(
    space: InputSpace,
    tokens: dict[str, Tokens],
    query: Projection,
    key: Projection,
    value: Projection,
    chosen: Sequence[int],
) -> Attention:
    """One input gives queries, keys and values, or two of the three.

    Every column of Z competes in the softmax. Where the queries are other tokens than the keys they stand below them,
    in columns of their own from the first on; if these are too few, the keys are repeated, which changes no mean.
    """
    blocks, selected = [tokens["key"]], list(chosen)
    if tokens["query"] != tokens["key"]:
        times = -(-len(chosen) // len(tokens["key"]))
        repeated = list(range(len(tokens["key"]))) * times
        tokens = {name: tokens[name].pick(chosen if name == "query" else repeated) for name in tokens}
        blocks, selected = [tokens["key"], tokens["query"]], list(range(len(chosen)))
    if tokens["value"] != tokens["key"]:
        blocks.append(tokens["value"])
    linear, R = _stack(blocks, space.shape, len(tokens["key"]))
    begins = {name: _begin(blocks, tokens[name]) for name in tokens}
    return SelfAttention(
        input_shape=space.shape,
        linear=linear,
        R=R,
        W_K=_weight(key, begins["key"], R.shape[0]),
        W_Q=_weight(query, begins["query"], R.shape[0]),
        W_V=_weight(value, begins["value"], R.shape[0]),
        W_O=_selection(selected, R.shape[1]),
    )


def _cross_attention(
    space: InputSpace,
    tokens: dict[str, Tokens],
    query: Projection,
    key: Projection,
    value: Projection,
    chosen: Sequence[int],
) -> Attention:
    """One input gives keys and values, the other queries."""
    assert space.query_shape is not None
    blocks = [tokens["key"]] if tokens["value"] == tokens["key"] else [tokens["key"], tokens["value"]]
    linear_K, R_K = _stack(blocks, space.shape, len(tokens["key"]))
    linear_Q, R_Q = _stack([tokens["query"]], space.query_shape, len(tokens["query"]))
    return CrossAttention(
        key_shape=space.shape,
        query_shape=space.query_shape,
        linear_K=linear_K,
        R_K=R_K,
        linear_Q=linear_Q,
        R_Q=R_Q,
        W_K=_weight(key, 0, R_K.shape[0]),
        W_Q=_weight(query, 0, R_Q.shape[0]),
        W_V=_weight(value, _begin(blocks, tokens["value"]), R_K.shape[0]),
        W_O=_selection(chosen, R_Q.shape[1]),
    )


# --- reading ---------------------------------------------------------------------------------------------------------


def _projections(reader: TensorReader, scale: Fraction | None) -> list[Projection]:
    """The projections of queries (with the scale), keys and values."""
    file = reader.file.path
    for name in reader.names():
        if name in ("bias_k", "bias_v"):
            raise InvalidWeights(f"{file}: the tensor {reader.prefix + name!r}: add_bias_kv is not supported")
    if reader.has("in_proj_weight"):
        width = reader.shape("in_proj_weight")[-1]
        together = reader.matrix("in_proj_weight", 3 * width, width, "(3 E, E) =")
        weights = [together[k * width : (k + 1) * width] for k in range(3)]
    else:
        width = reader.shape("q_proj_weight")[-1]
        weights = [
            reader.matrix(f"{name}_proj_weight", width, width if name == "q" else None, f"(E, {sides}) =")
            for name, sides in (("q", "E"), ("k", "kdim"), ("v", "vdim"))
        ]
    biases = [ZERO] * (3 * width)
    if reader.has("in_proj_bias"):
        biases = reader.vector("in_proj_bias", 3 * width, "(3 E,) =")
    query, key, value = (Projection(weight, biases[k * width : (k + 1) * width]) for k, weight in enumerate(weights))
    factor = Fraction(math.sqrt(1.0 / width)) if scale is None else scale
    scaled = Projection([[factor * x for x in row] for row in query.W], [factor * x for x in query.b])
    return [scaled, key, value]


def _linear(reader: TensorReader, inputs: int) -> Projection:
    """An nn.Linear for so many inputs."""
    W = reader.matrix("weight", None, inputs, "(out, in) =")
    b = reader.vector("bias", len(W), "(out,) =") if reader.has("bias") else [ZERO] * len(W)
    return Projection(W, b)


def _after(outer: Projection, inner: Projection) -> Projection:
    """y -> outer(inner(y))."""
    columns = list(zip(*inner.W, strict=True))
    W = [[_dot(row, column) for column in columns] for row in outer.W]
    return Projection(W, [_dot(row, inner.b) + b for row, b in zip(outer.W, outer.b, strict=True)])


def _dot(x: Sequence[Fraction], y: Sequence[Fraction]) -> Fraction:
    return sum((a * b for a, b in zip(x, y, strict=True)), ZERO)


def _tokens(reader: TensorReader, source: TokenSource, shape: Shape, width: int, name: str) -> Tokens:
    """The tokens that give queries, keys or values, for an input X of a shape (d, n)."""
    d, n = shape
    columns: list[int | None] = []
    constants: Rows = []
    weight: Rows = [[] for _ in range(width)]
    if source.context is not None:
        constants = _table(reader, source.context, width)
        columns = [None] * len(constants)
    if source.input:
        if source.embedding is not None:
            embedding = reader.at(source.embedding)
            weight = embedding.matrix("weight", width, d, f"for {name} tokens of {width} and an input of {d} rows,")
            bias = embedding.vector("bias", width) if embedding.has("bias") else [ZERO] * width
        elif d == width:
            weight, bias = [[ONE if i == j else ZERO for j in range(d)] for i in range(d)], [ZERO] * d
        else:
            raise InvalidWeights(
                f"{reader.file.path}: the {name} tokens have {width} entries, but the input has {d} rows: an embedding "
                "is missing"
            )
        columns += range(n)
        constants += [bias] * n
    if source.position is not None:
        added = _table(reader, source.position, width)
        if len(added) not in (len(constants), n if source.input else 0):
            raise InvalidWeights(
                f"{reader.file.path}: the tensor {source.position!r} has {len(added)} rows, but there are "
                f"{len(constants)} {name} tokens, {n if source.input else 0} of them from the input"
            )
        first = len(constants) - len(added)
        for k, row in enumerate(added, start=first):
            constants[k] = [a + b for a, b in zip(constants[k], row, strict=True)]
    return Tokens(weight, tuple(columns), constants)


def _table(reader: TensorReader, name: str, width: int) -> Rows:
    """Rows of fixed numbers; sides of length 1 before them, for a batch, may be there."""
    top = reader.at("")
    sides = len(top.shape(name))
    wanted = (*[1] * (sides - 2), None, width)
    _, numbers = top.array(name, wanted, f"for tokens of {width}")
    return [numbers[k : k + width] for k in range(0, len(numbers), width)]


def _outputs(reader: TensorReader, source: HeadSource, query: Tokens) -> list[int]:
    """The queries whose outputs are those of the head: as the user says, else those of the input, else all."""
    if source.outputs is None:
        return [k for k, column in enumerate(query.columns) if column is not None] or list(range(len(query)))
    if max(source.outputs) >= len(query):
        raise InvalidWeights(
            f"{reader.file.path}: there are {len(query)} queries, so no output {max(source.outputs)}, counted from 0"
        )
    return list(source.outputs)


# --- the matrices ----------------------------------------------------------------------------------------------------


def _stack(blocks: Sequence[Tokens], shape: Shape, columns: int) -> tuple[Terms, DenseMatrix]:
    """Terms and constants of Z: the blocks below one another, each with its tokens as columns, then a row of ones."""
    d, n = shape
    height = sum(block.width for block in blocks) + 1
    terms: list[tuple[SparseMatrix, SparseMatrix]] = []
    rows: list[Row] = []
    for block in blocks:
        begin = len(rows)
        places = {(column, k): ONE for k, column in enumerate(block.columns) if column is not None}
        if places:
            entries = {(begin + i, j): x for i, row in enumerate(block.weight) for j, x in enumerate(row) if x}
            terms.append((SparseMatrix((height, d), entries), SparseMatrix((n, columns), places)))
        rest = [ZERO] * (columns - len(block))
        rows += [[*row, *rest] for row in zip(*block.constants, strict=True)]
    return tuple(terms), DenseMatrix((height, columns), (*rows, ONE))


def _begin(blocks: Sequence[Tokens], tokens: Tokens) -> int:
    """The first row of Z of those tokens."""
    return sum(block.width for block in blocks[: list(blocks).index(tokens)])


def _weight(projection: Projection, begin: int, height: int) -> SparseMatrix:
    """[0 | W | 0 | b] for a Z of so many rows, the last of them ones."""
    entries = {(i, begin + j): x for i, row in enumerate(projection.W) for j, x in enumerate(row) if x}
    entries |= {(i, height - 1): x for i, x in enumerate(projection.b) if x}
    return SparseMatrix((len(projection.W), height), entries)


def _selection(chosen: Sequence[int], columns: int) -> SparseMatrix:
    return SparseMatrix((columns, len(chosen)), {(k, j): ONE for j, k in enumerate(chosen)})
