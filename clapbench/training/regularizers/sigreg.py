r"""SIGReg: makes a side an isotropic Gaussian, by testing its projections on random directions.

$g = \frac{1}{|W|} \sum_{w \in W} 2 n \int_0^{3} |\hat\varphi_w(t) - \varphi(t)|^2 \, e^{-t^2/2} \, dt$ with
$\hat\varphi_w(t) = \frac{1}{n} \sum_j e^{i t w \cdot z_j}$, $\varphi(t) = e^{-t^2/2}$ and W unit directions, by the
trapezoid rule on 17 knots; at least 0.

Source: Balestriero and LeCun 2025 (LeJEPA), the Epps-Pulley statistic, in the version of stable-pretraining. The
target is N(0, I): it reads raw rows, since unit rows are never that. The value grows with n, so a weight holds for one
size of batch. Some copies integrate over [-5, 5]: their values are others. Directions are drawn anew in each step,
from the number of the step alone, so that all processes and devices have the same.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from clapbench.kinds import Count, Sides, Weight
from clapbench.training.clouds import Clouds
from clapbench.training.regularizers.base import SideRegularizer

T_MAX, KNOTS = 3.0, 17


def epps_pulley(x: Float[Tensor, "n k"]) -> Float[Tensor, ""]:
    """Distance of each column of ``x`` from a standard normal sample, times n, and the mean over columns.

    >>> epps_pulley(torch.zeros(4, 1)) > epps_pulley(torch.tensor([[-1.2], [-0.3], [0.3], [1.2]]))
    tensor(True)
    """
    t = torch.linspace(0, T_MAX, KNOTS, dtype=x.dtype, device=x.device)
    normal = (-t.square() / 2).exp()
    turned = x.unsqueeze(-1) * t
    error = (turned.cos().mean(dim=0) - normal).square() + turned.sin().mean(dim=0).square()
    return 2 * len(x) * torch.trapezoid(error * normal, t, dim=-1).mean()


def directions(d: int, slices: int, *, step: int) -> Float[Tensor, "d slices"]:
    """Unit directions (columns) of a step, in float64 on the CPU."""
    drawn = torch.randn(d, slices, generator=torch.Generator().manual_seed(step), dtype=torch.float64)
    return drawn / drawn.norm(dim=0)


class Sigreg(SideRegularizer):
    """Draws a side towards a standard normal, by ``slices`` random directions in each step."""

    def __init__(self, *, weight: Weight, side: Sides, slices: Count) -> None:
        super().__init__(weight=weight, side=side)
        self.slices = slices

    def side_term(self, clouds: Clouds, side: str) -> Float[Tensor, ""]:
        """The statistic of the projected rows."""
        z = clouds.side(side)
        along = directions(z.shape[1], self.slices, step=clouds.step).to(z.dtype).to(z.device)
        return epps_pulley(z @ along)
