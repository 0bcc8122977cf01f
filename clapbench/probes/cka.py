r"""Debiased linear CKA: whether the two sides arrange matched rows alike, up to rotation and scale.

With $K = A A^\top$ and $L = T T^\top$ of n matched rows and $\mathrm{HSIC}$ its unbiased estimate from them,
$\mathrm{CKA} = \mathrm{HSIC}(K, L) / \sqrt{\mathrm{HSIC}(K, K)\,\mathrm{HSIC}(L, L)}$. At most about 1, which it is
for equal arrangements; 0 in the mean for independent sides, at any n and d, and so now and then below.

With $\tilde K$ for $K$ with a diagonal of zeros,
$\mathrm{HSIC} = \frac{1}{n (n - 3)} \left[ \mathrm{tr}\,\tilde K \tilde L
+ \frac{1^\top \tilde K 1 \; 1^\top \tilde L 1}{(n - 1)(n - 2)} - \frac{2}{n - 2} 1^\top \tilde K \tilde L 1 \right]$.

Sources: Kornblith et al. 2019, section 3 (CKA); Song et al. 2012, their HSIC$_1$ (the estimate); Murphy et al. 2024
(why: the plain one tends to 1 for independent sides as d / n grows). Computed from d x d products of centred rows,
which leave HSIC as it is: no n x n matrix.
"""

from __future__ import annotations

import torch
from jaxtyping import Float64
from torch import Tensor

from clapbench.probes.paired import PairedProbe, Pairs
from clapbench.rows import Rows, both

MIN_PAIRS = 4  # HSIC divides by n - 3


def debiased_cka(audio: Rows, text: Rows) -> Float64[Tensor, ""]:
    """CKA of row i of ``audio`` with row i of ``text``; the sides may have different numbers of dimensions.

    Raises ValueError for fewer than 4 rows, and where a side's own HSIC is not above 0 (rows all equal, or too few).

    >>> x = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    >>> round(debiased_cka(x, -3 * x + 1).item(), 6)
    1.0
    """
    sides = both(audio, text, who="debiased_cka", one_space=False)
    if len(sides.audio) < MIN_PAIRS:
        raise ValueError(f"debiased_cka: needs at least {MIN_PAIRS} matched rows, got {len(sides.audio)}.")
    a, t = (_centred(rows, who=f"debiased_cka ({side})") for side, rows in sides._asdict().items())
    own = {"audio": _hsic(a, a), "text": _hsic(t, t)}
    for side, rows in (("audio", a), ("text", t)):
        value, rounding = own[side], torch.finfo(rows.dtype).eps * rows.square().sum(dim=1).square().sum()
        if value <= rounding:
            raise ValueError(
                f"debiased_cka: HSIC of {side} with itself is {float(value):.3g}, not above 0. Give more rows."
            )
    return _hsic(a, t) / (own["audio"] * own["text"]).sqrt()


class DebiasedCKA(PairedProbe):
    """Debiased linear CKA of matched clips and captions, each in one pair."""

    def measure_pairs(self, pairs: Pairs) -> Float64[Tensor, ""]:
        """The number, over the rows held; ValueError where it is undefined."""
        return debiased_cka(*self.matched(pairs.one_to_one, least=MIN_PAIRS))


def _centred(x: Float64[Tensor, "n d"], *, who: str) -> Float64[Tensor, "n d"]:
    centred = x - x.mean(dim=0)
    if centred.norm() <= len(x) * torch.finfo(x.dtype).eps * x.norm():
        raise ValueError(f"{who}: all {len(x)} rows are equal.")
    return centred


def _hsic(x: Float64[Tensor, "n a"], y: Float64[Tensor, "n b"]) -> Float64[Tensor, ""]:
    """Song's estimate for rows whose mean is 0, so that K 1 = 0 and its diagonal is all there is to K~ 1."""
    n = len(x)
    k, h = x.square().sum(dim=1), y.square().sum(dim=1)
    trace = (x.T @ y).square().sum() - k @ h
    return (trace + k.sum() * h.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (k @ h)) / (n * (n - 3))
