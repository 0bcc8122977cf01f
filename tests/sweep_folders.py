"""Sweep folders without a model: random embeddings in the cache, cells with their probes, items beside them."""

from __future__ import annotations

import csv
import json
from io import StringIO
from pathlib import Path

import numpy as np
import torch

from clapbench import config, files
from clapbench.results import cache
from clapbench.schema import Cell, Embeddings

PROBES = ("rankme_audio", "rankme_text", "twonn_text", "gap_angle_deg")


def cloud(n: int, d: int, seed: int) -> np.ndarray:
    rows = np.random.default_rng(seed).standard_normal((n, d)) * np.arange(1, d + 1) ** -0.5 + 0.2
    return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)


def score(h: float, n: int) -> dict[str, object]:
    half = 2 * (h * (1 - h) / n) ** 0.5
    interval = [max(0.0, h - half), min(1.0, h + half)]
    return {
        "value": h,
        "direction": "both",
        "n": n,
        "chance": 1 / 6,
        "ci95": interval,
        "p_chance": 0.5,
        "p_swap": 0.5,
    }


def write_cell(
    folder: Path, *, model: str, bench: str, n_items: int, h: float, seed: int, d: int = 24, probes=PROBES
) -> Cell:
    """One cell of the sweep in ``folder``; an item has two rows on each side. Embeddings go to ``folder``/../cache."""
    n = 2 * n_items
    ids = [str(i) for i in range(n)]
    rows = Embeddings(
        audio=cloud(n, d, seed),
        audio_id=tuple(f"{i}.wav" for i in ids),
        text=cloud(n, d, seed + 1000),
        text_id=tuple(ids),
    )
    path = cache.embeddings_path(model=model, bench=bench, key=files.key_of([model, bench, seed]))
    cache.save(folder.parent / "cache" / path, rows)
    position = torch.arange(n)
    values = {}
    nodes = {name: config.probe_configs(name)[name] for name in probes}
    for name, node in nodes.items():
        probe = config.build(node)
        probe.update(
            audio=torch.from_numpy(rows.audio),
            text=torch.from_numpy(rows.text),
            audio_index=position,
            text_index=position,
        )
        values[name] = float(probe.compute())
    table = StringIO()
    writer = csv.writer(table)
    writer.writerow(
        ["item", "caption_p", "caption_r", "clip_p", "clip_r", "s_pp", "s_pr", "s_rp", "s_rr", "H"]
    )
    for item in range(n_items):
        a, b = 2 * item, 2 * item + 1
        hit = int(item < round(h * n_items))
        writer.writerow([item, a, b, f"{a}.wav", f"{b}.wav", hit, 1 - hit, 1 - hit, hit, hit])
    files.write_text(folder / model / bench / "items.csv", table.getvalue())
    cell = Cell(
        status="ok",
        model=model,
        bench=bench,
        n_items=n_items,
        scores=dict.fromkeys("FGH", h),
        protocols={name: dict.fromkeys("FGH", score(h, n_items)) for name in ("official", "single")},
        extra={
            "pair_assignment": h,
            "parameters": 1000 + 10 * seed,
            "probe_keys": {name: config.probe_key(node) for name, node in nodes.items()},
        },
        probes=values,
        embeddings={"path": path.as_posix(), "key": path.stem, "n_audio": n, "n_text": n, "dim": d},
    )
    files.write_text(folder / model / bench / "cell.json", cell.to_json())
    return cell


def study(folder: Path, *, models: int = 3, d: int = 24, probes=PROBES) -> Path:
    """``models`` on two benchmarks of 100 and 60 items, the larger one with higher scores, from one distribution."""
    for number in range(models):
        for bench, n_items, height in (("large", 100, 0.6), ("small", 60, 0.3)):
            seed = 10 * number + n_items
            write_cell(
                folder,
                model=f"m{number}",
                bench=bench,
                n_items=n_items,
                h=height + 0.04 * number,
                seed=seed,
                d=d,
                probes=probes,
            )
    return folder


def listed(folder: Path, **matched: object) -> None:
    """Writes sweep.json for every cell there is."""
    names = sorted(path.parts[-3:-1] for path in folder.glob("*/*/cell.json"))
    record = {
        "cells": [{"model": model, "bench": bench} for model, bench in names],
        "matched": matched,
        "cache_dir": "../cache",
    }
    files.write_text(folder / "sweep.json", json.dumps(record))
