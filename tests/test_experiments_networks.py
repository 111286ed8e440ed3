"""Networks that experiments train by themselves do what tunekit's own does."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tunekit.mlp import MLP
from tunekit.optim import build_optimizer
from tunekit.trial import Recipe

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
RECIPE = Recipe(
    n_layers=2, width=8, dropout=0.0, optimizer="sgd", momentum=0.0, weight_decay=0.0
)
MODULES = ("averages", "contours", "embedded", "networks", "side_by_side")


@pytest.fixture(autouse=True)
def theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXPERIMENTS)
    for folder in ("08-raw-or-normalised", "09-batch-norm"):
        monkeypatch.syspath_prepend(EXPERIMENTS / folder)
    for name in MODULES:
        monkeypatch.delitem(sys.modules, name, raising=False)


def batches(n: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    draws = torch.Generator().manual_seed(0)
    x = torch.randn(n, 12, 5, generator=draws, dtype=torch.float64)
    return [(each, (each[:, 0] > 0).long() + (each[:, 1] > 1)) for each in x]


def fresh() -> MLP:
    draws = torch.Generator().manual_seed(1)
    return MLP(5, 3, n_layers=2, width=8, generator=draws).double()


def by_torch(net: nn.Module, lr: float) -> list[float]:
    optimizer = build_optimizer(replace(RECIPE, lr=lr), net.parameters())
    losses = []
    for x, y in batches(6):
        loss = F.cross_entropy(net(x), y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def test_what_a_norm_remembers_gives_torchs_running_averages() -> None:
    import averages
    import networks

    plain, minded = fresh(), networks.with_memory(fresh())
    losses = by_torch(plain, lr=0.3)
    assert networks.train(minded, batches(6), replace(RECIPE, lr=0.3)) == pytest.approx(
        losses
    )
    # Torch's momentum is 1 less beta; its variances are divided by m - 1.
    for norm in networks.norms(minded):
        norm.given = averages.running(norm.seen, beta=0.9)
    x = batches(7)[-1][0]
    torch.testing.assert_close(minded.eval()(x), plain.eval()(x))
    for norm in networks.norms(minded):
        norm.given = averages.running(norm.seen, beta=0.9, unbiased=False)
    assert (minded(x) - plain(x)).abs().max() > 1e-3
    # By the batch's own, groups are batches of their own.
    for norm in networks.norms(minded):
        norm.given = None
    torch.testing.assert_close(minded(x.view(3, 4, 5))[1], minded(x[4:8]))


def test_an_average_is_the_notes_recursion() -> None:
    import averages
    from networks import Seen

    seen = Seen()
    mean, variance = torch.zeros(2), torch.zeros(2)
    for n, (x, _) in enumerate(batches(4), 1):
        seen.rows.append(len(x))
        seen.means.append(x[:, :2].mean(0))
        seen.variances.append(x[:, :2].var(0, correction=0))
        mean = 0.8 * mean + 0.2 * seen.means[-1]
        variance = 0.8 * variance + 0.2 * seen.variances[-1]
        for way, by in (("from 0", 1.0), ("corrected", 1 - 0.8**n)):
            found = averages.running(seen, beta=0.8, way=way, unbiased=False)
            torch.testing.assert_close(found[0][0], mean / by)
            torch.testing.assert_close(found[1][0], variance / by)


@pytest.mark.parametrize("norm", [True, False])
def test_networks_side_by_side_are_those_trained_alone(norm: bool) -> None:
    from side_by_side import SideBySide

    lrs = [0.03, 0.3]
    nets = SideBySide(fresh(), lrs, norm=norm)
    curves = torch.stack([nets.step(x, y) for x, y in batches(6)])
    for place, lr in enumerate(lrs):
        alone = fresh()
        if not norm:
            for n in (0, 4):
                alone.hidden[n].bias = nn.Parameter(torch.zeros(8).double())
                alone.hidden[n + 1] = nn.Identity()
        assert curves[:, place].tolist() == pytest.approx(by_torch(alone, lr))


def test_the_contours_that_are_drawn_are_those_that_are_descended() -> None:
    import numpy as np
    from contours import DESCENTS, DRAWN, contours
    from embedded import Rows

    draws = np.random.default_rng(0)
    x = draws.normal(size=(60, 2)) * (3.0, 1.0)
    y = (x @ (0.5, 1.0) + draws.logistic(size=60) > 0).astype(int)
    here, there = (contours(Rows(x + mean, y)) for mean in (0.0, 5.0))
    # A bias at its best takes up the means; one that is descended itself does not.
    for key in ("optimum", "curvature", "drop"):
        np.testing.assert_allclose(here[key], there[key])
    np.testing.assert_allclose(here[DRAWN]["way"], there[DRAWN]["way"])
    whole = DESCENTS[1]
    assert there[whole]["condition"] > 10 * here[whole]["condition"]
    assert there[whole]["steps"] > 10 * here[whole]["steps"]
    np.testing.assert_allclose(here[DRAWN]["way"][-1], here["optimum"], atol=0.05)

    # By differences of the cost itself, the bias at its best for each two weights.
    def cost(w: np.ndarray) -> float:
        z, b = x @ w, 0.0
        for _ in range(50):
            p = 1 / (1 + np.exp(-z - b))
            b -= (p - y).mean() / (p * (1 - p)).mean()
        return float((np.logaddexp(0, z + b) - y * (z + b)).mean())

    best, h = np.array(here["optimum"]), 1e-3

    def slope(at: np.ndarray, along: np.ndarray) -> float:
        return (cost(best + at + along) - cost(best + at - along)) / (2 * h)

    ends = h * np.eye(2)
    second = [[(slope(a, b) - slope(-a, b)) / (2 * h) for a in ends] for b in ends]
    np.testing.assert_allclose(second, here["curvature"], rtol=1e-3, atol=1e-6)
    assert cost(np.zeros(2)) - cost(best) == pytest.approx(here["drop"])
