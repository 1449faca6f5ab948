"""The nets that come from libraries: each builds, has its size, and gives what the registry promises."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from models.training import networks
from models.training.counting import multiply_adds, parameters

SMALL = {"size": (64, 64), "encoder": "resnet18", "width": 16, "depth": 1, "heads": 2}
NARROW = {"features": (4, 8, 16, 32, 64)}


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("unet", 34_527_041),
        ("unet-16", 2_162_129),
        ("attention-unet", 31_740_337),
        ("unet++", 26_078_609),
        ("deeplabv3+", 26_677_585),
        ("transunet", 101_970_449),
        ("mobilenetv3", 4_203_313),
        ("efficientnet-b0", 4_008_829),
        ("vit", 5_524_609),
    ],
)
def test_each_has_its_size(name: str, count: int) -> None:
    with torch.device("meta"):
        net = networks.build(name, channels=3)
    assert parameters(net) == count


def test_unet_is_as_large_and_as_costly_as_the_papers_say() -> None:
    # Tang et al. 2024, table 1: 34.52 M parameters, 65.52 giga multiply-adds at 256×256.
    with torch.device("meta"):
        net = networks.build("unet", channels=3)
    assert parameters(net) / 1e6 == pytest.approx(34.52, abs=0.01)
    assert multiply_adds(net, (1, 3, 256, 256), papers=True) / 1e9 == pytest.approx(65.52, rel=0.005)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("unet", NARROW),
        ("attention-unet", NARROW),
        ("unet++", {"encoder": "resnet18", "decoder_channels": (32, 16, 8, 8, 4)}),
        ("deeplabv3+", {"encoder": "resnet18", "decoder_channels": 16}),
        ("transunet", SMALL),
    ],
)
def test_segmenting_nets_keep_the_size(name: str, arguments: dict[str, Any]) -> None:
    net = networks.build(name, channels=2, classes=3, **arguments).eval()
    with torch.no_grad():
        assert net(torch.zeros(1, 2, 64, 64)).shape == (1, 3, 64, 64)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("mobilenetv3", {"variant": "mobilenetv3_small_050"}),
        ("efficientnet-b0", {}),
        ("vit", {"size": (64, 64), "depth": 1}),
    ],
)
def test_classifying_nets_give_a_logit_for_each_class(name: str, arguments: dict[str, Any]) -> None:
    net = networks.build(name, channels=1, classes=4, **arguments).eval()
    with torch.no_grad():
        assert net(torch.zeros(2, 1, 64, 64)).shape == (2, 4)


def test_transunet_is_made_for_one_size() -> None:
    net = networks.build("transunet", **SMALL)
    with pytest.raises(ValueError, match=r"\(64, 64\)"):
        net(torch.zeros(1, 1, 64, 32))
