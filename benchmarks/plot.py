"""The plots of a run, where matplotlib is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.table import Row


def have_matplotlib() -> bool:
    """Tell whether there can be a plot."""
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        return False
    return True


def plot(rows: Sequence[Row], names: Sequence[str], limit: float, path: Path) -> None:
    """Seconds of every tool on every instance, logarithmic; a hatched bar stopped at the limit."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(1.6 + 1.3 * len(rows), 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    width = 0.85 / len(names)
    for k, name in enumerate(names):
        places, heights, hatches = [], [], []
        for i, row in enumerate(rows):
            measured = row.measured.get(name)
            stopped = measured is not None and measured.verdict == "limit"
            seconds = limit if stopped else measured.seconds if measured is not None else None
            if seconds:
                places.append(i + (k - (len(names) - 1) / 2) * width)
                heights.append(seconds)
                hatches.append("////" if stopped else "")
        bars = axes.bar(places, heights, width, label=name)
        for bar, hatch in zip(bars, hatches, strict=True):
            bar.set_hatch(hatch)
    axes.set_yscale("log")
    axes.axhline(limit, color="grey", linewidth=0.8, linestyle="--")
    axes.set_xticks(range(len(rows)), [f"{row.instance.name}\n{len(row.instance.values)} tokens" for row in rows])
    axes.set_ylabel("seconds in process (hatched: stopped at the limit)")
    axes.legend(ncols=min(4, len(names)), loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    figure.savefig(path, dpi=150)


def plot_scaling(tokens: Sequence[int], seconds: Sequence[float], exponent: float, path: Path) -> None:
    """Seconds against tokens with the fitted power, both logarithmic."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.loglog(tokens, seconds, "o-", label=f"verifier: tokens to the power {exponent:.2f}")
    axes.set_xlabel("tokens")
    axes.set_ylabel("seconds")
    axes.legend(frameon=False)
    figure.savefig(path, dpi=150)
