"""Deterministic synthetic weights and waveforms: every tensor and clip is a pure function of its name.

Manifests (reference/parity/*.manifest.json) list the tensors of a released checkpoint: key, shape, how to draw it.
``modern=True`` leaves out the keys marked "legacy": buffers that transformers >= 4.31 no longer saves.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os

import numpy as np
import torch
from safetensors.torch import save_file


def _rng(text):
    return np.random.Generator(
        np.random.PCG64(int.from_bytes(hashlib.sha256(text.encode()).digest()[:16], "little"))
    )


def _normal(name, shape, salt):
    return _rng(f"clap-parity-v1|{salt}|{name}|{'x'.join(map(str, shape))}").standard_normal(
        tuple(shape), dtype=np.float32
    )


def _hz_to_mel(f):
    f = np.asarray(f, np.float64)
    lin = f / (200.0 / 3)
    return np.where(f >= 1000.0, 15.0 + np.log(np.maximum(f, 1e-9) / 1000.0) / (math.log(6.4) / 27.0), lin)


def _mel_to_hz(m):
    m = np.asarray(m, np.float64)
    return np.where(m >= 15.0, 1000.0 * np.exp((math.log(6.4) / 27.0) * (m - 15.0)), m * (200.0 / 3))


def mel_slaney(sr, n_fft, n_mels, fmin, fmax):
    """Slaney-scale, Slaney-normalised triangular filter bank, (1 + n_fft//2, n_mels) float32."""
    hz = _mel_to_hz(np.linspace(_hz_to_mel(fmin), _hz_to_mel(fmax), n_mels + 2))
    freq = np.arange(1 + n_fft // 2) * (sr / n_fft)
    up = (freq[None] - hz[:-2, None]) / np.diff(hz)[:-1, None]
    down = (hz[2:, None] - freq[None]) / np.diff(hz)[1:, None]
    w = np.maximum(0, np.minimum(up, down)) * (2.0 / (hz[2:] - hz[:-2]))[:, None]
    return np.ascontiguousarray(w.T.astype(np.float32))


def _dft(n_fft, imag):
    k = np.arange(1 + n_fft // 2)[:, None] * np.arange(n_fft)[None] % n_fft
    win = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    a = 2 * np.pi * k / n_fft
    return ((-np.sin(a) if imag else np.cos(a)) * win).astype(np.float32)[:, None, :]


def _swin_index(w):
    c = np.stack(np.meshgrid(np.arange(w), np.arange(w), indexing="ij")).reshape(2, -1)
    d = c[:, :, None] - c[:, None, :] + w - 1
    return (d[0] * (2 * w - 1) + d[1]).astype(np.int64)


def _swin_mask(size, w):
    s = w // 2
    band = np.zeros(size, np.int64)
    band[size - w : size - s] = 1
    band[size - s :] = 2
    region = band[:, None] * 3 + band[None]
    win = region.reshape(size // w, w, size // w, w).transpose(0, 2, 1, 3).reshape(-1, w * w)
    return np.where(win[:, None] != win[:, :, None], -100.0, 0.0).astype(np.float32)


def weight(name, shape, kind, salt="", **p):
    """One tensor, a pure function of (salt, name, shape, kind, params).  float32 unless an integer kind."""
    shape = tuple(shape)
    if kind == "linear":  # also convolutions: std = gain / sqrt(fan_in)
        w = _normal(name, shape, salt) * np.float32(
            p.get("gain", 1.0) / math.sqrt(max(1, int(np.prod(shape[1:]))))
        )
    elif kind in ("bias", "embedding", "normal"):
        w = _normal(name, shape, salt) * np.float32(p["std"])
    elif kind == "norm_weight":
        w = np.float32(1) + np.float32(0.1) * _normal(name, shape, salt)
    elif kind == "bn_mean":
        w = np.float32(p["offset"]) + np.float32(p["std"]) * _normal(name, shape, salt)
    elif kind == "bn_var":
        w = np.float32(p["scale"]) * (np.float32(1) + np.float32(0.1) * np.abs(_normal(name, shape, salt)))
    elif kind == "const":
        w = np.array(p["value"], np.float32).reshape(shape)
    elif kind == "int_const":
        w = np.array(p["value"], np.int64).reshape(shape)
    elif kind == "arange":
        w = np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape)
    elif kind == "swin_rel_index":
        w = _swin_index(p["window"])
    elif kind == "swin_attn_mask":
        w = _swin_mask(p["size"], p["window"])
    elif kind == "stft_real":
        w = _dft(p["n_fft"], False)
    elif kind == "stft_imag":
        w = _dft(p["n_fft"], True)
    elif kind == "mel_slaney":
        w = mel_slaney(p["sr"], p["n_fft"], p["n_mels"], p["fmin"], p["fmax"])
    else:
        raise ValueError(kind)
    if p.get("half"):  # released file stores fp16: round, keep fp32 here
        w = w.astype(np.float16).astype(np.float32)
    assert w.shape == shape, (name, w.shape, shape)
    return w


def _entries(manifest, part, modern):
    for e in manifest["parts"][part]["tensors"]:
        if not (modern and e.get("legacy")):
            yield e


def build_state(manifest, part="main", salt="", modern=False):
    """{key: numpy array} of one part.  Keys have no container prefix; see parts[part]['prefix']."""
    return {
        e["name"]: weight(e["name"], e["shape"], e["kind"], salt, **e.get("params", {}))
        for e in _entries(manifest, part, modern)
    }


def build_checkpoint(manifest, salt="", modern=False):
    """{relative path: python object to torch.save, or ('hf', config, state)} in the upstream container layout."""
    out = {}
    for part, spec in manifest["parts"].items():
        state = {
            spec.get("prefix", "") + k: torch.from_numpy(np.ascontiguousarray(v))
            for k, v in build_state(manifest, part, salt, modern).items()
        }
        if spec["container"] == "hf_dir":
            out[spec["path"]] = (
                "hf",
                spec["config"],
                {k: (v.half() if v.is_floating_point() else v) for k, v in state.items()},
            )
            continue
        obj = {}
        for k, v in spec["container"].items():
            if v == "$STATE":
                obj[k] = state
            elif isinstance(v, dict) and "$namespace" in v:
                obj[k] = argparse.Namespace(**v["$namespace"])
            elif isinstance(v, dict) and "$numpy_float64" in v:
                obj[k] = np.float64(v["$numpy_float64"])
            else:
                obj[k] = v
        out[spec["path"]] = obj
    return out


def write_checkpoint(manifest, outdir, salt="", modern=False):
    paths = []
    for rel, obj in build_checkpoint(manifest, salt, modern).items():
        path = os.path.join(outdir, rel)
        if isinstance(obj, tuple):
            os.makedirs(path, exist_ok=True)
            with open(os.path.join(path, "config.json"), "w") as file:
                json.dump(obj[1], file, indent=1)
            save_file(obj[2], os.path.join(path, "model.safetensors"), metadata={"format": "pt"})
        else:
            os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
            torch.save(obj, path)
        paths.append(path)
    return paths


SR = {"laion": 48000, "laion_fusion": 48000, "mga": 32000, "m2d_bert": 16000, "m2d_gte": 16000}
CLIPS = {  # (name, seconds, level): level scales the peak; "quiet" is the near-silent one
    "golden": [
        ("s3", 3.0, 0.5),
        ("s7", 7.0, 0.8),
        ("s10", 10.0, 0.6),
        ("s10p7", 10.7, 0.7),
        ("s25", 25.0, 0.9),
        ("quiet5", 5.0, 2e-4),
    ],
}


def waveform(model, index, which="golden"):
    """float32 mono clip at the model's native rate: chirps with raised-cosine gates + coloured noise + clicks."""
    sr = SR[model]
    name, sec, level = CLIPS[which][index]
    n = round(sec * sr)
    g = _rng(f"wave-v1|{which}|{name}|{sr}")
    t = np.arange(n) / sr
    x = np.zeros(n)
    for _ in range(2 + index):
        f0, f1 = np.round(np.exp(g.uniform(math.log(80.0), math.log(0.45 * sr), 2)) * 16) / 16
        cycles = f0 * t + (f1 - f0) * t * t / (2 * sec) + g.uniform()
        phase = 2 * np.pi * (cycles - np.floor(cycles))  # reduced, so that 1-ulp libm differences stay 1 ulp
        period, duty = g.uniform(0.4, 3.0), g.uniform(0.3, 0.9)
        u = np.mod(t / period + g.uniform(), 1.0) / duty
        gate = np.where(u < 1, 0.5 - 0.5 * np.cos(2 * np.pi * np.minimum(u, 1.0)), 0.0)
        x += g.uniform(0.3, 1.0) * gate * np.sin(phase)
    spec = np.fft.rfft(g.standard_normal(n))
    spec *= (np.arange(len(spec)) + 20.0) ** (-g.uniform(0.0, 2.0))
    noise = np.fft.irfft(spec, n)
    gate = 0.5 - 0.5 * np.cos(2 * np.pi * np.mod(t / g.uniform(0.2, 5.0), 1.0)) if index % 2 == 0 else 1.0
    gain = round(math.exp(g.uniform(math.log(0.01), math.log(0.5))) * 65536) / 65536
    x += gain * gate * np.round(noise / np.abs(noise).max() * 2**30) / 2**30
    for pos in g.integers(0, n, 3 + index):
        x[pos : pos + 8] += g.uniform(-1, 1)
    x *= level / np.abs(x).max()
    return (np.round(x * 2**20) / 2**20).astype(np.float32)  # exact in float32, so the hash is portable
