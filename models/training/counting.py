"""How large and how costly a net is: its parameters, and its multiply-adds as the papers count them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

# What THOP, with which the CMUNeXt papers counted, takes for one element that comes out of a layer.
NORM, BILINEAR = 4, 11


def parameters(net: nn.Module) -> int:
    """The number of trained values: weights and biases, and the scale and shift of the norms."""
    return sum(values.numel() for values in net.parameters() if values.requires_grad)


def multiply_adds(net: nn.Module, shape: Sequence[int], *, papers: bool = False) -> int:
    """Multiply-adds of one forward pass over an input of ``shape`` (n, channels, rows, columns).

    Counted are convolutions and matrix products, without their biases. With ``papers``, also 4 for each element that
    a BatchNorm gives and 11 for each that a bilinear Upsample gives, as THOP does. Activations cost nothing in either.
    """
    extra = 0

    def add(module: nn.Module, _inputs: tuple[Any, ...], output: Tensor) -> None:
        nonlocal extra
        extra += (NORM if isinstance(module, nn.BatchNorm2d) else BILINEAR) * output.numel()

    counted = [module for module in net.modules() if papers and _costs(module)]
    hooks = [module.register_forward_hook(add) for module in counted]
    was_training = net.training
    device = next(net.parameters()).device
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            net.eval()(torch.zeros(*shape, device=device))
    finally:
        net.train(was_training)
        for hook in hooks:
            hook.remove()
    return int(counter.get_total_flops()) // 2 + extra


def _costs(module: nn.Module) -> bool:
    return isinstance(module, nn.BatchNorm2d) or (isinstance(module, nn.Upsample) and module.mode == "bilinear")
