"""Modules of PyTorch as heads: they give what the modules' own forward passes gave, and say what does not fit."""

from __future__ import annotations

import importlib.util
import json
import math
import sys
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from attncert.certificates.attention import Attention
from attncert.certificates.errors import InvalidClaim, InvalidWeights
from attncert.certificates.target import InputSpace
from attncert.head_source import HeadSource
from attncert.tensors import read_tensors
from attncert.weights import LoadedHead, load_head

MODULES = Path(__file__).parent / "modules"
SAID: dict[str, Any] = json.loads((MODULES / "said.json").read_text())

CLOSE = 1e-12


def loaded(weights: str | Path, table: Mapping[str, Any], inputs: Sequence[Any]) -> LoadedHead:
    shapes = [(len(X), len(X[0])) for X in inputs]
    return load_head(HeadSource.parse({**table, "weights": str(weights)}, MODULES), InputSpace(*shapes))


def worst(head: Attention, inputs: Sequence[Any], output: Any) -> float:
    """The largest difference from an output, in float64 and with exact weights."""
    exact = head(*[[[Fraction(x) for x in row] for row in X] for X in inputs], precision=106)
    rows, columns = np.shape(output)
    values = np.array([[float(exact[r, j]) for j in range(columns)] for r in range(rows)])
    floats = head(*[np.array(X) for X in inputs])
    return float(max(abs(values - output).max(), abs(floats - output).max()))


@pytest.mark.parametrize("suffix", ["pt", "safetensors"])
@pytest.mark.parametrize("name", SAID)
def test_a_head_gives_what_the_module_gave(name: str, suffix: str) -> None:
    case = SAID[name]
    head = loaded(f"{name}.{suffix}", case["table"], case["inputs"])
    assert worst(head.attention, case["inputs"], case["output"]) < CLOSE


def test_a_wrong_scale_is_noticed() -> None:
    """The comparison can fail: the scale of another width gives another output."""
    case = SAID["prompted"]
    head = loaded("prompted.pt", {**case["table"], "scale": "0.5"}, case["inputs"])
    assert worst(head.attention, case["inputs"], case["output"]) > 1e-3


def test_the_scale_is_the_double_that_pytorch_computes() -> None:
    case = SAID["prompted"]
    spelled = {**case["table"], "scale": str(Fraction(math.sqrt(1.0 / 5)))}
    heads = [loaded("prompted.pt", table, case["inputs"]).attention for table in (case["table"], spelled)]
    assert heads[0] == heads[1]


def test_weights_are_not_rounded() -> None:
    """Every number of the embedding and the keys stands in the matrices as the file has it."""
    case = SAID["prompted"]
    head = loaded("prompted.pt", case["table"], case["inputs"]).attention
    file = read_tensors(MODULES / "prompted.pt")
    _, embedding = file.numbers("embed.weight")
    (P, _), *_ = head.linear_K if hasattr(head, "linear_K") else head.linear  # type: ignore[union-attr]
    assert [P.row(i)[j] for i in range(5) for j in range(2)] == embedding  # type: ignore[index]
    shape, together = file.numbers("attn.in_proj_weight")
    assert shape == (15, 5)
    rows = [list(head.W_K.row(i))[:5] for i in range(5)]  # type: ignore[arg-type]
    assert [x for row in rows for x in row] == together[25:50]


def test_what_plays_no_part_is_told() -> None:
    case = SAID["prompted"]
    table = {name: entry for name, entry in case["table"].items() if name not in ("readout", "position")}
    assert loaded("prompted.pt", table, case["inputs"]).unused == ("readout.weight", "readout.bias", "position")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prefix": "attention"}, r"prompted.pt: no head below 'attention\.'.*in_proj_weight.*the file has attn"),
        ({"embedding": "embedding"}, r"the tensor 'embedding\.weight' is missing; the file has attn\.in_proj_weight"),
        ({"embedding": "readout"}, r"'readout\.weight' has shape \(3, 5\), but for query tokens.*\(5, 2\) is needed"),
        ({"embedding": None}, r"the query tokens have 5 entries, but the input has 2 rows: an embedding is missing"),
        ({"context": "embed.weight"}, r"'embed\.weight' has shape \(5, 2\), but for tokens of 5 \(any, 5\) is needed"),
        ({"position": "prompt"}, r"'prompt' has 3 rows, but there are 5 query tokens, 2 of them from the input"),
        ({"readout": "embed"}, r"'embed\.weight' has shape \(5, 2\), but \(out, in\) = \(any, 5\) is needed"),
        ({"outputs": [5]}, r"there are 5 queries, so no output 5, counted from 0"),
        ({"value": {"input": False, "context": "prompt"}}, r"there are 5 keys, but 3 values"),
        ({"form": "matrices"}, "readout goes with weights of the form torch, not matrices"),
    ],
)
def test_what_does_not_fit_is_named(change: Mapping[str, Any], said: str) -> None:
    case = SAID["prompted"]
    table = {name: entry for name, entry in {**case["table"], **change}.items() if entry is not None}
    with pytest.raises((InvalidWeights, InvalidClaim), match=said):
        loaded("prompted.pt", table, case["inputs"])


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ("in_proj_weight", "no head"),
        ("out_proj.weight", r"the tensor 'out_proj\.weight' is missing"),
    ],
)
def test_a_missing_tensor_is_named(missing: str, said: str, tmp_path: Path) -> None:
    file = read_tensors(MODULES / "bare.pt")
    arrays = {}
    for name in file.tensors:
        shape, numbers = file.numbers(name)
        arrays[name] = np.array([float(x) for x in numbers]).reshape(shape)
    del arrays[missing]
    np.savez(tmp_path / "bare.npz", **arrays)
    with pytest.raises(InvalidWeights, match=said):
        loaded(tmp_path / "bare.npz", {}, SAID["bare"]["inputs"])


def test_several_heads_are_refused() -> None:
    case = SAID["bare"]
    assert (
        loaded("bare.pt", {"num_heads": 1}, case["inputs"]).attention == loaded("bare.pt", {}, case["inputs"]).attention
    )
    with pytest.raises(InvalidClaim, match="modules with several heads are not supported"):
        loaded("bare.pt", {"num_heads": 3}, case["inputs"])


def test_added_biases_of_keys_are_refused(tmp_path: Path) -> None:
    names = {"in_proj_weight": (3, 1), "out_proj.weight": (1, 1), "bias_k": (1, 1, 1), "bias_v": (1, 1, 1)}
    np.savez(tmp_path / "added.npz", **{name: np.ones(shape) for name, shape in names.items()})
    with pytest.raises(InvalidWeights, match=r"'bias_k': add_bias_kv is not supported"):
        loaded(tmp_path / "added.npz", {}, [[[1.0]]])


@pytest.mark.parametrize("seed", [1, 2])
def test_live_modules_agree(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where PyTorch is installed: fresh weights, and its own forward pass."""
    torch = pytest.importorskip("torch")
    spec = importlib.util.spec_from_file_location("make", MODULES / "make.py")
    assert spec is not None
    assert spec.loader is not None
    make = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "make", make)
    spec.loader.exec_module(make)
    seen = set()
    for name, case in make.cases(seed):
        torch.save(case.state, tmp_path / f"{name}.pt")
        inputs = [X.tolist() for X in case.inputs]
        head = loaded(tmp_path / f"{name}.pt", case.table, inputs)
        assert worst(head.attention, inputs, case.output.tolist()) < CLOSE
        seen.add(name)
    assert seen == set(SAID)
