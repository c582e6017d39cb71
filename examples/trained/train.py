"""Trains two small modules of PyTorch on sin(2*pi*x), and writes the state_dicts beside this file.

    python examples/trained/train.py        # needs torch; some two minutes

`cross.pt`: the input gives the query, and eight learned tokens give keys and values. `prompted.pt`: self-attention over
seven learned tokens and that of the input, so that scores are quadratic in the input and values depend on it.
"""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn

WIDTH = 8


class Cross(nn.Module):
    """Queries from the input; keys and values from a learned memory."""

    def __init__(self, tokens: int) -> None:
        """Make a module with so many learned tokens."""
        super().__init__()
        self.embed = nn.Linear(1, WIDTH)
        self.memory = nn.Parameter(torch.randn(tokens, WIDTH))
        self.attn = nn.MultiheadAttention(WIDTH, num_heads=1, batch_first=True)
        self.readout = nn.Linear(WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1) -> (batch, 1)."""
        memory = self.memory.expand(len(x), -1, -1)
        answer, _ = self.attn(self.embed(x)[:, None], memory, memory)
        return self.readout(answer[:, 0])


class Prompted(Cross):
    """Self-attention over the learned tokens and that of the input; the output is that of the last."""

    def forward(self, x: Tensor) -> Tensor:
        """(batch, 1) -> (batch, 1)."""
        tokens = torch.cat([self.memory.expand(len(x), -1, -1), self.embed(x)[:, None]], dim=1)
        answer, _ = self.attn(tokens, tokens, tokens)
        return self.readout(answer[:, -1])


def train(model: nn.Module, rounds: int = 1500) -> float:
    """Fit sin(2*pi*x) on [0, 1] by L-BFGS over random points; returns the largest error on a test set."""
    model.double()
    x = torch.rand(400, 1, dtype=torch.float64)
    x[:2] = torch.tensor([[0.0], [1.0]])
    y = torch.sin(2 * math.pi * x)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=rounds, line_search_fn="strong_wolfe", history_size=50)

    def loss() -> Tensor:
        optimizer.zero_grad()
        error = model(x) - y
        value = (error**8).mean() ** 0.25  # near the largest error
        value.backward()
        return value

    optimizer.step(loss)
    model.float()  # what would be deployed
    test = torch.rand(1000, 1)
    with torch.no_grad():
        return float((model(test) - torch.sin(2 * math.pi * test)).abs().max())


def main() -> None:
    """Train both; of several tries each keeps the best."""
    for name, kind, tokens in (("cross", Cross, 8), ("prompted", Prompted, 7)):
        best = math.inf
        for seed in range(4):
            torch.manual_seed(seed)
            model = kind(tokens)
            error = train(model)
            print(f"{name}, seed {seed}: largest error on the test set {error:.3g}", flush=True)
            if error < best:
                best = error
                torch.save(model.state_dict(), Path(__file__).with_name(f"{name}.pt"))


if __name__ == "__main__":
    main()
