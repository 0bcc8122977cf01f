"""What a training leaves beside its weights: a record that programs read, and a card that people read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clapbench import files
from clapbench.console import plain
from clapbench.training.geometry import Geometry

RECORD, CARD = "training.json", "README.md"


def record(
    *,
    recipe: Mapping[str, Any],
    weights: str,
    sha256: str,
    geometry: Geometry,
    data: Mapping[str, Any],
    seconds: float,
    evaluation: str,
) -> dict[str, Any]:
    """All that the card says, in plain values: scores and probes of the held-out benchmarks before and after."""
    curve = geometry.curve
    return {
        "schema": 1,
        "name": str(recipe["name"]),
        "weights": weights,
        "sha256": sha256,
        "evaluation": evaluation,
        "steps": max(curve.steps),
        "weights_of_step": max(curve.steps) if geometry.chosen_step is None else geometry.chosen_step,
        "seconds": round(seconds, 1),
        "validation_seconds": round(geometry.seconds, 1),  # of them
        "data": dict(data),
        "before": curve.before,
        "after": curve.after if geometry.chosen is None else geometry.chosen,
        "recipe": dict(recipe),
    }


def write(found: Mapping[str, Any], *, folder: Path) -> None:
    """The record and the card into the training's folder."""
    files.write_text(folder / RECORD, json.dumps(found, indent=1) + "\n")
    files.write_text(folder / CARD, card(found))


def read(folder: Path) -> dict[str, Any] | None:
    """The record of a training's folder; None where there is none, or no whole one."""
    try:
        found = json.loads((folder / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) and found.get("schema") == 1 else None


def terms_of(recipe: Mapping[str, Any]) -> dict[str, str]:
    """Objective, regularisers with their weights, and what moved, as words for a table."""
    regularizers = recipe["regularizer"] or {}
    return {
        "objective": str(recipe["objective"]["_target_"]).rpartition(".")[2],
        "regularizer": ", ".join(
            f"{name} {node['weight']:g}" + (f" ({node['side']})" if "side" in node else "")
            for name, node in regularizers.items()
        ),
        "finetune": moves_of(recipe["finetune"]),
    }


def moves_of(finetune: Mapping[str, Any]) -> str:
    """What a finetune node lets move, in a word or two."""
    kind = str(finetune["_target_"]).rpartition(".")[2]
    moves = finetune.get("moves") or finetune.get("sides") or "all"
    told = ", ".join(map(str, moves)) if isinstance(moves, list) else str(moves)
    return f"{kind.lower()} {told}" if kind != "Finetune" else told


def card(found: Mapping[str, Any]) -> str:
    """A model card in Markdown, with the front matter that the Hugging Face hub reads."""
    recipe, terms = found["recipe"], terms_of(found["recipe"])
    model, optimizer = recipe["model"], recipe["optimizer"]
    start = "random weights" if not model.get("pretrained", True) else base_of(recipe)
    learned = {
        "model": f"{str(model['_target_']).rpartition('.')[2]}, from {start}",
        "objective": terms["objective"],
        "regularisers": terms["regularizer"] or "none",
        "what moved": terms["finetune"],
        "optimizer": f"{str(optimizer['_target_']).rpartition('.')[2]}, lr {optimizer.get('lr')}",
        "steps": f"{found['steps']} in {found['seconds']:.0f} s ({found['validation_seconds']:.0f} s validation)",
        "weights": f"those after step {found['weights_of_step']}",
        "seed": recipe["seed"],
        **{f"data: {key}": value for key, value in found["data"].items()},
        "versions": ", ".join(f"{name} {version}" for name, version in recipe["versions"].items()),
        "commit": recipe["git_sha"] or "none",
        "made": recipe["created"],
        "SHA-256": found["sha256"],
    }
    rows = [f"| {key} | {plain(value)} |" for key, value in learned.items()]
    return "\n".join(
        [
            "---",
            "library_name: clapbench",
            "tags: [audio-text, clap, contrastive]",
            "---",
            "",
            f"# {plain(found['name'])}",
            "",
            f"`{found['weights']}` holds the weights; its header holds the whole configuration. Evaluate it:",
            "",
            f"    {found['evaluation']}",
            "",
            "| | |",
            "|---|---|",
            *rows,
            "",
            "## Before and after",
            "",
            "On the validation benchmarks, all rows. They steered nothing but what the configuration names.",
            *(
                ["", f"Measured in float32; the file holds {recipe['checkpoint_dtype']}."]
                if recipe["checkpoint_dtype"] != "float32"
                else []
            ),
            "",
            "| number | before | after |",
            "|---|---:|---:|",
            *(
                f"| {name} | {figure(found['before'].get(name))} | {figure(value)} |"
                for name, value in found["after"].items()
                if "/" in name and not name.startswith("train/")
            ),
            "",
        ]
    )


def base_of(recipe: Mapping[str, Any]) -> str:
    """The weights that a training started from, as the model's file and its hash tell."""
    checkpoint = recipe["fingerprint"].get("checkpoint")
    return f"{checkpoint['file']} ({checkpoint['sha256'][:12]})" if checkpoint else "its own weights"


def figure(value: float | None) -> str:
    """A number with four digits that count; a dash where there is none."""
    return "–" if value is None else f"{value:.4g}"
