"""Published code's values and gradients of each term, on clouds of 12 rows in float64, against ours.

The clouds are ``torch.randn(12, 5)`` times ``linspace(0.2, 2, 5)`` plus 0.3, from the seeds 1, 2 and 3; ``grad_norm``
is the norm of the gradient of the raw rows of each input. The file says whose code gave a value.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
import torch
from conftest import ROOT
from torch import Tensor

from clapbench.encoders.base import unit
from clapbench.training.objectives.infonce import infonce
from clapbench.training.objectives.negclip import negclip
from clapbench.training.objectives.swapped_choice import two_way_choice
from clapbench.training.regularizers.alignment import alignment
from clapbench.training.regularizers.barlow import barlow
from clapbench.training.regularizers.centroid import centroid_distance
from clapbench.training.regularizers.covariance import off_diagonal_covariance
from clapbench.training.regularizers.koleo import koleo
from clapbench.training.regularizers.sigreg import epps_pulley
from clapbench.training.regularizers.spectral_entropy import spectral_entropy
from clapbench.training.regularizers.uniformity import uniformity
from clapbench.training.regularizers.variance import variance_hinge

GOLDEN = json.loads((ROOT / "tests" / "reference" / "training_golden.json").read_text())
DIRECTIONS = torch.tensor(GOLDEN["directions"], dtype=torch.float64)
SCALE = torch.tensor(14.0, dtype=torch.float64)

TERMS: dict[str, Callable[..., Tensor]] = {
    "variance": lambda a, t: (variance_hinge(a) + variance_hinge(t)) / 2,
    "variance_text": variance_hinge,
    "covariance": lambda a, t: off_diagonal_covariance(a) + off_diagonal_covariance(t),
    "barlow": barlow,
    "koleo": koleo,
    "uniformity": uniformity,
    "alignment": alignment,
    "epps_pulley": epps_pulley,
    "sigreg": lambda t: epps_pulley(t @ DIRECTIONS),
    "spectral_entropy": spectral_entropy,
    "centroid": centroid_distance,
    "infonce": lambda a, t: infonce(SCALE * unit(a) @ unit(t).T),
    "negclip": lambda a, t, s: negclip(SCALE * unit(a) @ unit(torch.cat([t, s])).T),
    "swapped_choice": lambda a, t, s: infonce(SCALE * unit(a) @ unit(t).T) + two_way_choice(a, t, s, SCALE),
}


@pytest.mark.parametrize("name", sorted(GOLDEN["values"]))
def test_value_and_gradients(name: str) -> None:
    wanted = GOLDEN["values"][name]
    clouds = [
        torch.tensor(GOLDEN["clouds"][cloud], dtype=torch.float64, requires_grad=True)
        for cloud in wanted["inputs"]
    ]
    value = TERMS[name](*clouds)
    value.backward()
    assert value.item() == pytest.approx(wanted["value"], rel=0, abs=1e-7)
    norms = [cloud.grad.norm().item() for cloud in clouds if cloud.grad is not None]
    assert norms == pytest.approx(wanted["grad_norm"], rel=0, abs=1e-7)


def test_every_golden_value_has_its_term() -> None:
    assert TERMS.keys() == GOLDEN["values"].keys()
