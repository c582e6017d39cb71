"""Modules of PyTorch with weights at random, and what their forward pass gives, for the tests of the importer.

python tests/modules/make.py        # needs torch and safetensors; writes the files beside it
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

Shape = tuple[int, int]


@dataclass(frozen=True)
class Case:
    """A state_dict, the `attention` table that describes it, inputs (columns are tokens) and the output, in float64."""

    state: dict[str, Tensor]
    table: dict[str, Any]
    inputs: list[Tensor]
    output: Tensor


def _named(**modules: nn.Module | Tensor) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for name, part in modules.items():
        if isinstance(part, Tensor):
            state[name] = part
        else:
            state |= {f"{name}.{key}": tensor for key, tensor in part.state_dict().items()}
    return {name: tensor.detach().clone() for name, tensor in state.items()}


def _named_alone(module: nn.Module) -> dict[str, Tensor]:
    return {key: tensor.detach().clone() for key, tensor in module.state_dict().items()}


def _wild(module: Any) -> Any:
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.7)
    return module


def _attend(attn: nn.MultiheadAttention, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """The module's own forward pass for tokens in rows, transposed."""
    with torch.no_grad():
        return attn(query[None], key[None], value[None])[0][0].T


def cases(seed: int) -> Iterator[tuple[str, Case]]:
    """Every arrangement that is read: which tokens give queries, keys and values, and what stands around."""
    torch.manual_seed(seed)
    torch.set_default_dtype(torch.float64)
    attn: nn.MultiheadAttention = _wild(nn.MultiheadAttention(5, 1, batch_first=True))
    embed, readout = _wild(nn.Linear(2, 5)), _wild(nn.Linear(5, 3))
    prompt, position, X = torch.randn(3, 5), torch.randn(1, 5, 5), torch.randn(2, 2)
    state = _named(attn=attn, embed=embed, readout=readout, prompt=prompt, position=position)
    tokens = torch.cat([prompt, embed(X.T)]) + position[0]
    every = {"prefix": "attn", "embedding": "embed", "context": "prompt", "position": "position"}
    with torch.no_grad():
        answer = readout(_attend(attn, tokens, tokens, tokens).T).T
    yield "prompted", Case(state, {**every, "readout": "readout"}, [X], answer[:, 3:])
    yield "every-output", Case(state, {**every, "readout": "readout", "outputs": [0, 4, 2]}, [X], answer[:, [0, 4, 2]])

    fixed, free = {"input": False, "context": "prompt"}, {"embedding": "embed"}
    e = embed(X.T)
    state = _named(attn=attn, embed=embed, prompt=prompt)
    yield (
        "fixed-keys",
        Case(state, {"prefix": "attn.", "query": free, "key": fixed}, [X], _attend(attn, e, prompt, prompt)),
    )
    yield (
        "fixed-queries",
        Case(state, {"prefix": "attn", "query": fixed, "key": free}, [X], _attend(attn, prompt, e, e)),
    )
    few, X = torch.randn(2, 5), torch.randn(2, 5)
    state = _named(attn=attn, embed=embed, few=few)
    table = {"prefix": "attn", "query": free, "key": {"input": False, "context": "few"}}
    yield "more-outputs-than-keys", Case(state, table, [X], _attend(attn, embed(X.T), few, few))
    table = {"prefix": "attn", "query": free, "key": {**free, "position": "shift"}, "value": free}
    shift = torch.randn(5, 5)
    state = _named(attn=attn, embed=embed, shift=shift)
    e = embed(X.T)
    yield "three-kinds-of-tokens", Case(state, table, [X], _attend(attn, e, e + shift, e))

    other: nn.MultiheadAttention = _wild(nn.MultiheadAttention(4, 1, kdim=2, vdim=3, bias=False, batch_first=True))
    values, K, Q = _wild(nn.Linear(2, 3)), torch.randn(2, 5), torch.randn(4, 3)
    state = _named(attn=other, values=values)
    table = {"kind": "cross", "prefix": "attn", "value": {"embedding": "values"}}
    yield "cross", Case(state, table, [K, Q], _attend(other, Q.T, K.T, values(K.T)))

    alone: nn.MultiheadAttention = _wild(nn.MultiheadAttention(3, 1, batch_first=True))
    X = torch.randn(3, 4)
    yield "bare", Case(_named_alone(alone), {}, [X], _attend(alone, X.T, X.T, X.T))
    for dtype in (torch.float32, torch.float16, torch.bfloat16):
        name = str(dtype).removeprefix("torch.")
        narrow = {key: tensor.to(dtype) for key, tensor in alone.state_dict().items()}
        alone.load_state_dict({key: tensor.double() for key, tensor in narrow.items()})
        yield name, Case(narrow, {}, [X], _attend(alone, X.T, X.T, X.T))


def main() -> None:
    """Write a state_dict for each case, as .pt and as .safetensors, and what the modules said of their inputs."""
    from safetensors.torch import save_file

    folder = Path(__file__).parent
    said = {}
    for name, case in cases(0):
        torch.save(case.state, folder / f"{name}.pt")
        save_file({key: tensor.contiguous() for key, tensor in case.state.items()}, folder / f"{name}.safetensors")
        said[name] = {
            "table": case.table,
            "inputs": [x.tolist() for x in case.inputs],
            "output": case.output.tolist(),
        }
    (folder / "said.json").write_text(json.dumps(said, indent=1) + "\n")


if __name__ == "__main__":
    main()
