"""torchvision, also where its compiled half cannot be loaded.

timm and segmentation-models-pytorch import torchvision, and on Linux its wheel is built for torch with CUDA. On a torch
for CPUs the compiled operators are missing, and the import fails at the first that it wants to describe. The nets need
none of them: they are declared, without an implementation, and a call of one would say that there is none.
"""

from __future__ import annotations

import sys
from importlib import import_module

import torch

MISSING = (
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
# A declaration lasts as long as its library.
_declared: list[torch.library.Library] = []


def ready() -> None:
    """Import torchvision; afterwards timm and segmentation-models-pytorch can be imported. A second call is free."""
    try:
        import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]
        library = torch.library.Library("torchvision", "FRAGMENT")  # type: ignore[no-untyped-call]
        for signature in MISSING:
            library.define(signature)  # type: ignore[no-untyped-call]
        _declared.append(library)
        import_module("torchvision")
