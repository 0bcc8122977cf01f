r"""Convolutions of stride 2 over many clips at once, as matrix products: on a CPU faster than `nn.Conv1d`.

Clips lie one after another in a single sequence, each with rows of zeros at its end, which are the padding that the
next one begins with. With $P_t = (x_{2t}, x_{2t+1})$ a kernel of 3 or 5 taps $W$ reads the end of $P_{t-1}$, all of
$P_t$ and the head of $P_{t+1}$, so that

$$y_t = b + P_{t-1} W_{\mathrm{before}} + P_t W_{\mathrm{at}} + P_{t+1} W_{\mathrm{after}}$$

are three products over views of one matrix: nothing is copied into windows, or added back out of them for a gradient.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


class Halvings(nn.Sequential):
    """`nn.Conv1d` of stride 2 and 3 or 5 taps, each padded by half of them, with activations between.

    Clips ``[n, frames, channels]`` become ``[n, frames / 2^convolutions, channels]``, so ``frames`` is a multiple of
    that power. As many of each clip's last frames as the first convolution is padded by must be zeros, and the last row
    that comes of each clip means nothing.
    """

    def forward(self, clips: Float[Tensor, "n frames c"]) -> Float[Tensor, "n tokens d"]:
        """Rows of each clip, an eighth as many after three convolutions."""
        if not self._by_products(clips):
            return super().forward(clips.transpose(1, 2)).transpose(1, 2)
        paddings = [part.padding[0] for part in self if isinstance(part, nn.Conv1d)]
        for part in self:
            if isinstance(part, nn.Conv1d):
                paddings = paddings[1:]  # what the next one needs
                clips = Halving.apply(clips, part.weight, part.bias, paddings[0] if paddings else 0)
            else:
                clips = part(clips)
        return clips

    def _by_products(self, clips: Tensor) -> bool:
        """Elsewhere, in lower precision, compiled, or with adapters in the place of a layer, torch's own are right."""
        plain = all(type(part) in (nn.Conv1d, nn.GELU) for part in self)
        return (
            plain
            and clips.is_cpu
            and not torch.is_autocast_enabled("cpu")
            and not torch.compiler.is_compiling()
        )


class Halving(torch.autograd.Function):
    """One convolution of `Halvings`. The last ``zeros`` rows of each clip become zeros, as the next one needs them."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Float[Tensor, "n frames c"],
        weight: Float[Tensor, "d c taps"],
        bias: Float[Tensor, " d"],
        zeros: int,
    ) -> Float[Tensor, "n half d"]:
        """The convolution of rows that lie one after another."""
        n, frames, _ = x.shape
        pairs, taps = x.reshape(n * frames // 2, -1), weight.permute(2, 1, 0).contiguous()
        ctx.save_for_backward(pairs, taps)
        ctx.shape = x.shape
        y = bias.repeat(len(pairs), 1)
        for seen, made, part in meetings(pairs, y, taps):
            made.addmm_(seen, part)
        y = y.view(n, frames // 2, -1)
        y[:, frames // 2 - zeros :] = 0
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, Tensor, None]:
        """Gradients of rows, weight and bias; none for the rows of zeros, which are no clip's."""
        pairs, taps = ctx.saved_tensors
        gradient = gradient.reshape(len(pairs), -1)
        of_taps = torch.zeros_like(taps)
        for seen, made, part in meetings(pairs, gradient, of_taps):
            part.addmm_(seen.T, made)
        of_x = None
        if ctx.needs_input_grad[0]:
            of_pairs = torch.zeros_like(pairs)
            for seen, made, part in meetings(of_pairs, gradient, taps):
                seen.addmm_(made, part.T)
            of_x = of_pairs.view(ctx.shape)
            of_x[:, ctx.shape[1] - len(taps) // 2 :] = 0
        return of_x, of_taps.permute(2, 1, 0), gradient.sum(dim=0), None


def meetings(
    pairs: Float[Tensor, "t two_c"], rows: Float[Tensor, "t d"], taps: Float[Tensor, "k c d"]
) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """Which part of which pairs meets which rows by which taps, all of them views: before, at and after each row."""
    before, channels = len(taps) // 2, taps.shape[1]
    after = len(taps) - before - 2
    yield pairs[:-1, (2 - before) * channels :], rows[1:], taps[:before].flatten(0, 1)
    yield pairs, rows, taps[before : before + 2].flatten(0, 1)
    if after:
        yield pairs[1:, : after * channels], rows[:-1], taps[before + 2 :].flatten(0, 1)
