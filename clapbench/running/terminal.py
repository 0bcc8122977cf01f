"""What is printed of a cell."""

from __future__ import annotations

from clapbench.console import console, shown
from clapbench.schema import Cell


def say(cell: Cell, *, label: str, done: str) -> None:
    """One line per cell, and what a reader of its scores has to know."""
    scores = "  ".join(f"{name} {value:.3f}" for name, value in cell.headline.items())
    lines = [f"[bold]{shown(label)}[/]  n {cell.n_items}  {scores}  [dim]{shown(done)}[/]"]
    if h := cell.score("H"):
        low, high = h["ci95"]
        lines.append(
            f"  [dim]H: 95 % {low:.3f} to {high:.3f}, chance {h['chance']:.3f} (p {h['p_chance']:.2g}), "
            f"label swap p {h['p_swap']:.2g}[/]"
        )
    if cell.dropped_items:
        lines.append(f"  [yellow]{cell.dropped_items} items left out: {clips_left_out(cell)}[/]")
    if cell.ties:
        lines.append(f"  [yellow]{cell.ties} comparisons are exact ties, each counted as a miss[/]")
    for side, what in (("audio", "clips"), ("text", "captions")):
        if same := cell.extra.get(f"repeated_{side}"):
            lines.append(
                f"  [yellow]{same} {what} have the embedding of another; intrinsic dimensions leave them out[/]"
            )
    if unknown := cell.extra.get("unknown_words"):
        lines.append(f"  [yellow]{unknown:.0%} of the captions' words are unknown to this model[/]")
    if cut := cell.extra.get("truncated_captions"):
        lines.append(f"  [yellow]{cut} captions are longer than this model reads, and were truncated[/]")
    if cell.embeddings.get("n_text") == 0:
        lines.append("  [yellow]audio only: nothing is retrieved, probes of the audio side stand[/]")
    if certificate := cell.extra.get("certify"):
        told = certificate.get("note") or f"largest drift {certificate['drift']:.1e} (L2)"
        lines.append(f"  [dim]certificate: {shown(told)}[/]")
    for line in lines:
        console.say(line)


def clips_left_out(cell: Cell) -> str:
    """How many clips an item was left out for, and why."""
    missing, broken = cell.extra.get("missing_clips"), cell.extra.get("broken_clips")
    told = [f"{missing} clips are missing"] if missing else []
    told += [f"{broken} clips cannot be read"] if broken else []
    return ", ".join(told) or "their clips are missing"
