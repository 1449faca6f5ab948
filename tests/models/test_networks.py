"""The nets behind the registry: as large and as costly as their papers say, and what comes out of them."""

from __future__ import annotations

import pytest
import torch

from models.training import networks
from models.training.cmunext import CMUNeXt
from models.training.counting import multiply_adds, parameters

RGB = (1, 3, 256, 256)


@pytest.mark.parametrize(
    ("name", "count", "printed", "convolutions", "giga", "margin"),
    [
        ("cmunext-l", 8_285_217, 8.28e6, 16.85, 17.18, 0.001),
        ("cmunext", 3_148_241, 3.14e6, 7.23, 7.41, 0.0015),
        ("cmunext-s", 417_129, 0.42e6, 1.01, 1.09, 0.005),
        # The table's 0.47 is not reached: see the module's docstring.
        ("cmunext-xxs", 42_085, 0.04e6, 0.366, 0.47, 0.06),
    ],
)
def test_cmunext_is_as_large_and_as_costly_as_the_papers_say(
    name: str, count: int, printed: float, convolutions: float, giga: float, margin: float
) -> None:
    net = networks.build(name, channels=3)
    assert parameters(net) == count
    assert count == pytest.approx(printed, abs=0.01e6)
    assert multiply_adds(net, RGB) / 1e9 == pytest.approx(convolutions, rel=0.005)
    assert multiply_adds(net, RGB, papers=True) / 1e9 == pytest.approx(giga, rel=margin)


def test_counting_by_hand() -> None:
    net = torch.nn.Sequential(
        torch.nn.Conv2d(2, 3, 3, padding=1),
        torch.nn.BatchNorm2d(3),
        torch.nn.Upsample(scale_factor=2, mode="bilinear"),
        torch.nn.Upsample(scale_factor=2, mode="nearest"),
    )
    assert parameters(net) == 2 * 3 * 9 + 3 + 6
    assert multiply_adds(net, (1, 2, 4, 5)) == 20 * 2 * 3 * 9
    assert multiply_adds(net, (1, 2, 4, 5), papers=True) == 20 * 2 * 3 * 9 + 4 * 60 + 11 * 240
    assert net.training


def test_arguments_replace_those_of_the_preset() -> None:
    net = networks.build("cmunext-xxs", channels=5, classes=3, stride=2, activation="relu")
    assert net(torch.zeros(1, 5, 64, 96)).shape == (1, 3, 64, 96)
    assert not any(isinstance(module, torch.nn.Hardswish) for module in net.modules())


def test_the_encoder_of_cmunext_gives_its_levels() -> None:
    net = networks.build("cmunext-s", stride=2).eval()
    assert isinstance(net, CMUNeXt)
    x = torch.randn(2, 1, 64, 32)
    levels = net.encode(x)
    assert [level.shape[1:] for level in levels] == [
        (8, 32, 16),
        (16, 16, 8),
        (32, 8, 4),
        (64, 4, 2),
        (128, 2, 1),
    ]
    assert net.decode(levels, to=2).shape == (2, 32, 8, 4)
    torch.testing.assert_close(net.head(net.decode(levels)), net(x))


@pytest.mark.parametrize("wrong", [{"fusion": "product"}, {"activation": "tanh"}, {"dims": (8, 8)}])
def test_cmunext_refuses_what_it_is_not(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="|".join(wrong)):
        networks.build("cmunext", **wrong)


def test_a_net_that_there_is_not() -> None:
    with pytest.raises(ValueError, match="cmunext-xxs"):
        networks.build("cmunext-xxl")


def test_mininet_has_the_counts_of_its_paper() -> None:
    # Javed et al., as Keras counts: 36,657 trained, 1,028 moving means and variances, 37,685 in all.
    net = networks.build("mininet")
    norms = [module for module in net.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    statistics = sum(2 * norm.num_features for norm in norms)
    assert (parameters(net), statistics) == (36_657, 1_028)
    assert parameters(networks.build("mininet", channels=3)) == 36_657 + 144


def test_mininet_keeps_the_size_and_learns() -> None:
    torch.manual_seed(1)
    net = networks.build("mininet", classes=2)
    x = torch.randn(2, 1, 28, 20)
    target = torch.stack([x[:, 0] > 0, x[:, 0] < 0], dim=1).float()
    optimiser = torch.optim.Adam(net.parameters(), lr=1e-2)
    losses = []
    for _ in range(30):
        loss = torch.nn.functional.binary_cross_entropy_with_logits(net(x), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert net(x).shape == (2, 2, 28, 20)
    assert losses[-1] < 0.5 * losses[0]
    assert all(
        bool(values.grad.abs().sum() > 0) for values in net.parameters() if values.grad is not None and values.ndim > 1
    )
    with pytest.raises(ValueError, match="multiples of 4"):
        net(torch.zeros(1, 1, 30, 20))
