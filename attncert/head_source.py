"""Where the head of a claim file comes from: the table `attention`, read and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal, Self, cast

from attncert.certificates.errors import InvalidClaim
from attncert.certificates.numbers import parse_exact

Form = Literal["reduced", "matrices", "torch"]

FORMS = ("reduced", "matrices", "torch")
_TOKENS = {"input": bool, "embedding": str, "context": str, "position": str}
_TORCH_ONLY = ("num_heads", "scale", "readout", "outputs", "query", "key", "value", *_TOKENS)
_KNOWN = {"kind", "weights", "form", "prefix", "dtype", *_TORCH_ONLY}


@dataclass(frozen=True)
class TokenSource:
    """The tokens that give queries, keys or values of a module of PyTorch.

    `context` names a tensor of fixed tokens, which come first; then, with `input`, one for each column of the input, by
    the `nn.Linear` named `embedding`, if there is one. `position` names a tensor that is added.
    """

    input: bool = True
    embedding: str | None = None
    context: str | None = None
    position: str | None = None


@dataclass(frozen=True)
class HeadSource:
    """Where the head of a claim file comes from. `kind` None means self-attention, `form` None what the names show.

    `torch_only` names the keys of the file that only modules of PyTorch know.
    """

    weights: Path
    kind: str | None = None
    form: Form | None = None
    prefix: str = ""
    dtype: str | None = None
    scale: Fraction | None = None
    readout: str | None = None
    outputs: tuple[int, ...] | None = None
    query: TokenSource = TokenSource()
    key: TokenSource = TokenSource()
    value: TokenSource = TokenSource()
    torch_only: tuple[str, ...] = ()

    @classmethod
    def parse(cls, table: Mapping[str, Any], folder: Path) -> Self:
        """Read the table `attention` of a claim file; paths are relative to its folder. Raises InvalidClaim."""
        if unknown := sorted(set(table) - _KNOWN):
            raise InvalidClaim(f"unknown key {unknown[0]!r} in attention, which knows {', '.join(sorted(_KNOWN))}")
        for name in ("kind", "weights", "form", "prefix", "dtype", "scale", "readout"):
            _require(table, name, str, "a string")
        if "weights" not in table:
            raise InvalidClaim("the key 'weights' is missing in attention: the file with the weights of the head")
        if table.get("form", "torch") not in FORMS:
            raise InvalidClaim(f"unknown form {table['form']!r}; this version knows: {', '.join(FORMS)}")
        if table.get("num_heads", 1) != 1:
            raise InvalidClaim("num_heads is 1: modules with several heads are not supported")
        outputs = table.get("outputs")
        if outputs is not None and not (
            isinstance(outputs, list) and outputs and all(type(k) is int and k >= 0 for k in outputs)
        ):
            raise InvalidClaim("outputs is a list of positions among the queries, counted from 0")
        common = _token_source({name: table[name] for name in _TOKENS if name in table}, "attention")
        query, key = (
            common if name not in table else _token_source(table[name], f"attention.{name}")
            for name in ("query", "key")
        )
        value = key if "value" not in table else _token_source(table["value"], "attention.value")
        return cls(
            weights=folder / table["weights"],
            kind=table.get("kind"),
            form=cast("Form | None", table.get("form")),
            prefix=table.get("prefix", ""),
            dtype=table.get("dtype"),
            scale=None if "scale" not in table else parse_exact(table["scale"]),
            readout=table.get("readout"),
            outputs=None if outputs is None else tuple(outputs),
            query=query,
            key=key,
            value=value,
            torch_only=tuple(name for name in _TORCH_ONLY if name in table),
        )

    def require_form(self, form: str) -> None:
        """Raise InvalidClaim when weights of another form than `torch` are described as if they were of it."""
        if form != "torch" and self.torch_only:
            raise InvalidClaim(f"{self.torch_only[0]} goes with weights of the form torch, not {form}")


def _require(table: Mapping[str, Any], name: str, kind: type[Any], what: str) -> None:
    if name in table and type(table[name]) is not kind:
        raise InvalidClaim(f"{name} in attention is {what}")


def _token_source(table: Any, where: str) -> TokenSource:
    if not isinstance(table, dict) or not set(table) <= set(_TOKENS):
        raise InvalidClaim(f"{where} is a table with some of the keys {', '.join(_TOKENS)}")
    for name, kind in _TOKENS.items():
        _require(table, name, kind, "true or false" if kind is bool else "the name of tensors, a string")
    source = TokenSource(**table)
    if not source.input and (source.context is None or source.embedding is not None):
        raise InvalidClaim(f"{where}: tokens without the input are those of a context, and have no embedding")
    return source
