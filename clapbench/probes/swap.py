r"""What swapping the words of a caption, or the events of a clip, does to an embedding.

An item has clips $a_p, a_r$ and captions $t_p, t_r$, where r is p with its parts exchanged.

- Swap separation of a side is $\sqrt{\overline{\lVert x_p - x_r\rVert^2} / \overline{\lVert x_i - x_j\rVert^2}}$, over
  swapped partners above and over all two rows of the side below. 0 or more: 0 where a swap changes nothing (a bag of
  words), 1 where it moves a caption as far as another caption is.
- Swap alignment is the mean over items of $\cos(t_p - t_r, a_p - a_r)$, -1 to 1, 0 for directions that have nothing in
  common. Since $(t_p - t_r) \cdot (a_p - a_r) = s_{pp} + s_{rr} - s_{pr} - s_{rp}$, the right way of matching the
  item's four is the better one exactly where its cosine is above 0; H asks for that and more.

Source: none; both definitions are ours, made for benchmarks of swapped pairs. The second is close to a score: it reads
the matches, so a correlation of it with H is no evidence that geometry predicts H. The first reads which rows of its
side are partners, and not which clip a caption describes: exchanging all matches within the items leaves it as it is.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from jaxtyping import Float64
from torch import Tensor

from clapbench.probes.base import SideProbe
from clapbench.probes.paired import PairedProbe, Pairs
from clapbench.rows import Rows, both, checked, places, tensor


def swap_separation(x: Rows, partners: Rows) -> Float64[Tensor, ""]:
    """Distance of rows ``partners`` of ``x`` from each other, against that of any two rows, root mean square.

    Raises ValueError for no partners, and for rows that are all equal.

    >>> x = torch.tensor([[0.0], [1.0], [10.0], [11.0]])
    >>> round(swap_separation(x, torch.tensor([[0, 1], [2, 3]])).item(), 4)
    0.1219
    """
    x = checked(x, who="swap_separation")
    n = len(x)
    partners = places(partners, who="swap_separation (partners)", n=n).to(x.device)
    if not len(partners):
        raise ValueError("swap_separation: undefined: needs at least 1 pair of swapped partners, got 0.")
    # Mean over i != j of |x_i - x_j|^2 is twice the variance with n - 1.
    apart = 2 * (x - x.mean(dim=0)).square().sum() / max(n - 1, 1)
    if apart <= (n * torch.finfo(x.dtype).eps) ** 2 * x.square().sum():
        raise ValueError(f"swap_separation: undefined: all {n} rows are equal.")
    moved = (x[partners[:, 0]] - x[partners[:, 1]]).square().sum(dim=1).mean()
    return (moved / apart).sqrt()


def swap_alignment(clips: Rows, captions: Rows) -> Float64[Tensor, ""]:
    """Mean cosine between the difference of two captions and that of their clips, in n items.

    An item whose clips or whose captions are equal has no direction and counts 0: no model gets it right by it. So a
    bag of words, to which swapped captions are equal, has 0.

    Raises ValueError for no items.

    >>> clips, captions = torch.tensor([[[1.0, 0.0], [0.0, 0.0]]]), torch.tensor([[[3.0, 3.0], [0.0, 0.0]]])
    >>> round(swap_alignment(clips, captions).item(), 4)
    0.7071
    """
    clips = tensor(clips, who="swap_alignment (audio)", axes="n q d")
    if not len(clips):
        raise ValueError("swap_alignment: undefined: needs at least 1 item of swapped pairs, got 0.")
    sides = both(clips, captions, who="swap_alignment", axes="n q d")
    if sides.audio.shape[1] != 2 or sides.text.shape[1] != 2:
        raise ValueError(
            f"swap_alignment: needs items of two clips and two captions, shape (n, 2, d); got "
            f"{tuple(sides.audio.shape)} and {tuple(sides.text.shape)}."
        )
    a, t = (x[:, 0] - x[:, 1] for x in sides)
    length = torch.linalg.vector_norm(a, dim=1) * torch.linalg.vector_norm(t, dim=1)
    return ((a * t).sum(dim=1) / length.where(length > 0, 1.0)).mean()


class SwapSeparation(SideProbe, PairedProbe):
    """Swap separation of one side."""

    needs = "swapped partners"
    reads_matches: ClassVar[bool] = False

    def __init__(self, side: str | None = None, **kwargs: Any) -> None:
        super().__init__(side, **kwargs)

    def measure_pairs(self, pairs: Pairs) -> Float64[Tensor, ""]:
        """The number, over the rows held; ValueError where it is undefined."""
        return swap_separation(self.rows(self.side), pairs.swapped(self.side))


class SwapAlignment(PairedProbe):
    """Swap alignment over the items of a benchmark."""

    needs = "items of two swapped pairs"

    def measure_pairs(self, pairs: Pairs) -> Float64[Tensor, ""]:
        """The number, over the rows held; ValueError where it is undefined."""
        audio, text = self.rows("audio"), self.rows("text")
        return swap_alignment(audio[pairs.items[:, :2]], text[pairs.items[:, 2:]])
