"""Every net by its name: `build("cmunext-s", channels=3)`.

The CMUNeXt family follows the tables of Tang et al. 2024 (L, base, S) and Carvalho & Véstias (XXS). Where text and
table disagree, this was chosen:

- The depths of L are 1-1-1-6-3 and those of base 1-1-1-3-1, as the tables have them; they alone give the 8.28 M and
  3.14 M parameters printed there, with three input channels and one class.
- Fusion by concatenation in L, base and S. In XXS what came across and what came up are added, and the 3×3 convolution
  keeps its two groups, on half as many channels: 42,085 parameters (0.04 M as printed) and 0.446 giga multiply-adds
  where the table has 0.47. Without groups and with nearest-neighbour upsampling it would be 0.465, but both papers
  describe a grouped convolution and bilinear upsampling.
- Hardswish throughout, which XXS has, where L, base and S have GELU; neither is counted in the multiply-adds.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from models.training import library_nets
from models.training.classifier_net import Classifier
from models.training.cmunext import CMUNeXt
from models.training.detector_net import Detector
from models.training.mininet import MiniNet

CMUNEXT: dict[str, dict[str, Any]] = {
    "cmunext-l": {"dims": (32, 64, 128, 256, 512), "depths": (1, 1, 1, 6, 3), "kernels": (3, 3, 7, 7, 7)},
    "cmunext": {"dims": (16, 32, 128, 160, 256), "depths": (1, 1, 1, 3, 1), "kernels": (3, 3, 7, 7, 7)},
    "cmunext-s": {"dims": (8, 16, 32, 64, 128), "depths": (1, 1, 1, 1, 1), "kernels": (3, 3, 7, 7, 9)},
    "cmunext-xxs": {
        "dims": (8, 10, 12, 16, 24),
        "depths": (3, 1, 1, 2, 3),
        "kernels": (3, 3, 7, 7, 9),
        "fusion": "sum",
    },
}


def _cmunext(preset: dict[str, Any]) -> Callable[..., nn.Module]:
    def make(**arguments: Any) -> nn.Module:
        return CMUNeXt(**{**preset, **arguments})

    return make


BUILDERS: dict[str, Callable[..., nn.Module]] = {
    **{name: _cmunext(preset) for name, preset in CMUNEXT.items()},
    "mininet": MiniNet,
    "detector": Detector,
    "classifier": Classifier,
    "unet": library_nets.unet,
    "unet-16": partial(library_nets.unet, features=(16, 32, 64, 128, 256)),
    "attention-unet": library_nets.attention_unet,
    "unet++": library_nets.unet_plus_plus,
    "deeplabv3+": library_nets.deeplabv3_plus,
    "transunet": library_nets.TransUNet,
    "mobilenetv3": library_nets.mobilenet_v3,
    "efficientnet-b0": library_nets.efficientnet_b0,
    "vit": library_nets.vit,
}


def names() -> tuple[str, ...]:
    """What `build` knows, in the order of the alphabet."""
    return tuple(sorted(BUILDERS))


def build(name: str, **arguments: Any) -> nn.Module:
    """Make the net called ``name``, with fresh weights.

    Every net takes ``channels`` (of its input, 1 where nothing is said) and, the detector apart, ``classes``, and gives
    logits; the other arguments, `dims` and `stride` of a CMUNeXt for instance, go to the net and replace those of the
    preset. Segmenting nets map (n, channels, rows, columns) to (n, classes, rows, columns), classifying ones to
    (n, classes); what the detector gives is in `detector_net`.
    ValueError for a name there is not, TypeError for an argument that the net does not take.
    """
    if name not in BUILDERS:
        raise ValueError(f"there is no net called {name}; there are {', '.join(names())}")
    return BUILDERS[name](**arguments)
