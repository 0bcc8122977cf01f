"""Speed of encoding: `make bench`, or `python bench/encode.py [--fusion]`.

80 ten-second clips and 80 captions through LAION-CLAP with synthetic weights, on two threads, in batches of 32: ours
against the original, laion-clap from PyPI, in turns, each run in a fresh process. The original's pins do not fit beside
ours, so it runs in another interpreter, named by CLAPBENCH_LAION_PYTHON. Both get the same checkpoint, files and token
ids, and the largest distance between their rows is printed. A ratio is one of medians.

A caption is 4 to 10 words of one letter, so with the stand-in's tokenizer, a token per byte, it has as many tokens (9
to 21) as a caption of a sound dataset has with the released one.

Where there is a GPU: clips/s of every model by precision and batch size, as a share of what the chip reaches.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

ITEMS = 80  # clips, and as many captions
SECONDS = 10.0  # of a clip
BATCH = 32
THREADS = 2
ROUNDS = 3
STAGES = ("import", "load", "decode", "audio", "text")
HERE = Path(__file__).resolve().parent
sys.path.append(str(HERE.parent / "tests"))  # stand-ins for released checkpoints

HOW_TO = """\
No original to compare with: CLAPBENCH_LAION_PYTHON is not set. To make its environment:
    python -m venv laion
    laion/bin/pip install torch torchvision torchaudio transformers librosa torchlibrosa timm \\
        scikit-learn h5py pandas braceexpand webdataset wget ftfy regex tqdm
    laion/bin/pip install --no-deps laion-clap==1.1.7
    CLAPBENCH_LAION_PYTHON=laion/bin/python make bench"""


def main(*, fusion: bool = False) -> None:
    """Prints the table of stages, ours alone where there is no other interpreter, then the table of the GPU."""
    from clapbench.console import console

    other = os.environ.get("CLAPBENCH_LAION_PYTHON")
    if not other:
        console.print(HOW_TO, highlight=False, markup=False)
    with tempfile.TemporaryDirectory(prefix="clapbench-bench-") as folder:
        request = write_request(Path(folder), fusion=fusion)
        commands = {"clapbench": [sys.executable, __file__, "--stages"]}
        if other:
            commands["original"] = [other, str(HERE / "original.py")]
        runs: dict[str, list[dict]] = {side: [] for side in commands}
        for _ in range(ROUNDS):
            for side, command in commands.items():
                runs[side].append(run(command, request=request, folder=Path(folder)))
    print_stages(
        runs,
        title=f"{'laion' if fusion else 'laion_unfused'}: {ITEMS} clips of {SECONDS:.0f} s, {ITEMS} captions",
    )
    gpu()


def write_request(folder: Path, *, fusion: bool) -> dict:
    """Clips and captions in ``folder``, and where both sides find what they need."""
    import numpy as np
    import released  # of tests/
    import soundfile
    from transformers import AutoTokenizer

    rng = np.random.default_rng(0)
    time_s = np.arange(round(SECONDS * 48_000)) / 48_000
    clips = []
    for number in range(ITEMS):
        start, end = np.exp(rng.uniform(np.log(80), np.log(16_000), 2))  # Hz, of a chirp in noise
        chirp = np.sin(2 * np.pi * (start + (end - start) * time_s / (2 * SECONDS)) * time_s)
        wave = 0.4 * chirp + rng.uniform(0.01, 0.1) * rng.standard_normal(len(time_s))
        clips.append(str(folder / f"{number:02}.wav"))
        soundfile.write(clips[-1], wave, 48_000)
    captions: list[str] = []
    while len(captions) < ITEMS:
        caption = " ".join(rng.choice(list("abcdefghijklmnopqrstuvwxyz"), rng.integers(4, 11)))
        if caption not in captions:
            captions.append(caption)

    model = "laion" if fusion else "laion_unfused"
    checkpoint = released.checkpoint(model)
    tokenizer = released.folder(model) / "roberta-base"
    ids = AutoTokenizer.from_pretrained(str(tokenizer))(captions)["input_ids"]
    return {
        "fusion": fusion,
        "checkpoint": str(checkpoint),
        "tokenizer": str(tokenizer),
        "clips": clips,
        "captions": captions,
        "ids": dict(zip(captions, ids, strict=True)),
        "batch": BATCH,
        "threads": THREADS,
        "answer": str(folder / "answer.npz"),
    }


def run(command: list[str], *, request: dict, folder: Path) -> dict:
    """Rows and seconds that one fresh process answers; RuntimeError with the end of its output if it dies."""
    import numpy as np

    place = folder / "request.json"
    place.write_text(json.dumps(request), encoding="utf-8")
    threads = {name: str(THREADS) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")}
    done = subprocess.run(
        [*command, str(place)], env={**os.environ, **threads}, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}")
    with np.load(request["answer"]) as answer:
        return {
            "audio": answer["audio"],
            "text": answer["text"],
            "seconds": json.loads(str(answer["seconds"])),
        }


def stages(request: dict) -> None:
    """Our side, in a process that has imported nothing yet: what ``evaluate.py`` does with one model."""
    seconds = dict.fromkeys((*STAGES, "mel"), 0.0)

    @contextmanager
    def timed(stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        seconds[stage] += time.perf_counter() - start

    with timed("import"):
        import numpy as np
        import torch

        from clapbench.encoders.laion import LaionClap
        from clapbench.running import (
            evaluate,  # noqa: F401 (all that the command imports)
        )
        from clapbench.sound.waves import load_wave
    torch.set_num_threads(request["threads"])

    with timed("load"):
        encoder = LaionClap(
            name="laion",
            checkpoint=request["checkpoint"],
            tokenizer=request["tokenizer"],
            fusion=request["fusion"],
        )
    mel = encoder.mel.forward

    def timed_mel(waves: torch.Tensor) -> torch.Tensor:
        with timed("mel"):
            return mel(waves)

    encoder.mel.forward = timed_mel  # type: ignore[method-assign]

    step = request["batch"]
    audio, text = [], []
    # Captions of similar length share a batch, as in clapbench.running.batches.
    order = sorted(range(len(request["captions"])), key=lambda row: len(request["captions"][row].split()))
    with torch.inference_mode():
        for start in range(0, len(request["clips"]), step):
            with timed("decode"):
                waves = [
                    load_wave(Path(clip), sample_rate=encoder.sample_rate, window=encoder.window)
                    for clip in request["clips"][start : start + step]
                ]
            with timed("audio"):
                audio.append(encoder.embed_audio(waves))
        for start in range(0, len(order), step):
            with timed("text"):
                text.append(
                    encoder.embed_text([request["captions"][row] for row in order[start : start + step]])
                )
    rows = torch.cat(text)[torch.tensor(order).argsort()]
    np.savez(
        request["answer"], audio=torch.cat(audio).numpy(), text=rows.numpy(), seconds=json.dumps(seconds)
    )


def print_stages(runs: dict[str, list[dict]], *, title: str) -> None:
    import numpy as np
    from rich import box
    from rich.table import Table

    from clapbench.console import console

    def median(side: str, *names: str) -> float:
        return statistics.median(sum(answer["seconds"][name] for name in names) for answer in runs[side])

    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("stage")
    for head in (*(f"{side} s" for side in runs), *(["times as fast"] if "original" in runs else [])):
        table.add_column(head, justify="right")
    for label, names in (
        *((stage, (stage,)) for stage in STAGES[:-1]),
        ("  of it STFT and mel", ("mel",)),
        ("text", ("text",)),
        ("total", STAGES),
    ):
        cells = [median(side, *names) for side in runs]
        ratio = [f"{cells[1] / cells[0]:.2f}"] if len(cells) == 2 else []
        table.add_row(label, *(f"{cell:.2f}" for cell in cells), *ratio)
    console.print(f"{title}; medians of {ROUNDS} runs in turns, {THREADS} threads")
    console.print(table)
    if "original" in runs:
        ours, theirs = runs["clapbench"][0], runs["original"][0]
        apart = {side: np.linalg.norm(ours[side] - theirs[side], axis=1).max() for side in ("audio", "text")}
        console.print(
            f"Largest L2 between rows of the two: audio {apart['audio']:.1e}, text {apart['text']:.1e}."
        )


MODELS = ("laion", "laion_unfused", "mga", "m2d", "m2d_2024")
BATCHES = (8, 32, 128)
PRECISIONS = ("fp32", "bf16", "bf16 compiled")


def gpu() -> None:
    """Clips/s of each model on the first GPU, waves already on it, by precision and batch size."""
    import torch
    from rich import box
    from rich.table import Table

    from clapbench.console import console

    if not torch.cuda.is_available():
        console.print("No GPU here: clips/s by precision and batch size are not measured.")
        return
    reached = matrix_rate(torch.device("cuda"))
    console.print(
        f"{torch.cuda.get_device_name()}: clips/s of {SECONDS:.0f} s, and FLOPs as a share of the "
        f"{reached / 1e12:.0f} TFLOP/s that it reaches on bf16 matrices"
    )
    table = Table(box=box.SIMPLE_HEAD)
    for head in ("model", "GFLOP a clip", "batch", *PRECISIONS, "share of bf16", "front end's time"):
        table.add_column(head, justify="left" if head == "model" else "right")
    for model in MODELS:
        for row in gpu_rows(model, device=torch.device("cuda"), reached=reached):
            table.add_row(model, *row)
    console.print(table)
    console.print(
        "Shares are of bf16 compiled; the front end is STFT and mel, in float32 always. Where clips/s grow with the "
        "batch, launches bound them; where the share is high, arithmetic does; else memory traffic."
    )


def matrix_rate(device: torch.device, *, size: int = 8192) -> float:
    """FLOP/s of a large bf16 matrix product."""
    import torch

    a, b = (torch.randn(size, size, dtype=torch.bfloat16, device=device) for _ in range(2))
    return 2 * size**3 / per_call(lambda: a @ b, device=device)


def per_call(work: Callable[[], object], *, device: torch.device, at_least: float = 1.0) -> float:
    """Mean seconds of ``work``, after three calls to warm up, over ``at_least`` seconds."""
    import torch

    for _ in range(3):
        work()
    torch.cuda.synchronize(device)
    calls, start = 0, time.perf_counter()
    while time.perf_counter() - start < at_least:
        for _ in range(4):
            work()
        torch.cuda.synchronize(device)
        calls += 4
    return (time.perf_counter() - start) / calls


def gpu_rows(model: str, *, device: torch.device, reached: float) -> Iterator[list[str]]:
    """The cells of one model: a row per batch size."""
    import released  # of tests/
    import torch
    from hydra import compose, initialize_config_dir
    from torch.utils.flop_counter import FlopCounterMode

    from clapbench import config

    with initialize_config_dir(str(HERE.parent / "conf"), version_base="1.3"):
        cfg = compose("evaluate", [f"model={model}", *released.overrides(model)])
    encoder = config.build(cfg.model).to(device)
    samples = round(SECONDS * encoder.sample_rate)
    noise = torch.Generator().manual_seed(0)
    waves = [(0.1 * torch.randn(samples, generator=noise)).to(device) for _ in range(max(BATCHES))]

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        encoder.embed_audio(waves[:1])
    flops = counter.get_total_flops()

    seconds: dict[tuple[str, int], float] = {}
    with torch.inference_mode():
        front = {
            batch: per_call(partial(encoder.mel, torch.stack(waves[:batch])), device=device)
            for batch in BATCHES
        }
        for precision in PRECISIONS:
            if "compiled" in precision:
                encoder.compile_towers()
            with torch.autocast(device.type, torch.bfloat16, enabled="bf16" in precision):
                for batch in BATCHES:
                    seconds[precision, batch] = per_call(
                        partial(encoder.embed_audio, waves[:batch]), device=device
                    )
    for batch in BATCHES:
        rates = [batch / seconds[precision, batch] for precision in PRECISIONS]
        yield [
            f"{flops / 1e9:.1f}",
            str(batch),
            *(f"{rate:.0f}" for rate in rates),
            f"{rates[-1] * flops / reached:.1%}",
            f"{front[batch] / seconds[PRECISIONS[-1], batch]:.0%}",
        ]


if __name__ == "__main__":
    if "--stages" in sys.argv:
        stages(json.loads(Path(sys.argv[-1]).read_text(encoding="utf-8")))
    else:
        main(fusion="--fusion" in sys.argv)
