"""Structured pruning: whole channels go, so that what remains is a smaller net and not one with zeros in it.

Pruned are channels that stay within a chain: from one dense convolution to the next one of an `nn.Sequential`, with
nothing between but norms, activations, depthwise convolutions and other layers that treat each channel by itself. What
such a chain takes in and gives out keeps its shape, so skips and residuals are untouched. In inverted bottlenecks,
where these nets spend most of their work, that is the expanded part.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

# These treat each channel by itself and hold nothing a channel.
_CHANNELWISE = (
    nn.Hardswish,
    nn.ReLU,
    nn.ReLU6,
    nn.SiLU,
    nn.GELU,
    nn.Identity,
    nn.Dropout,
    nn.Dropout2d,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.Upsample,
)


@dataclass(frozen=True)
class Chain:
    """Names of modules: the convolution that makes the channels, what they pass with values of their own, who reads."""

    producer: str
    between: tuple[str, ...]
    consumer: str


def chains(net: nn.Module) -> tuple[Chain, ...]:
    """Every chain whose channels may go. A net must call its `nn.Sequential`s whole, not reach for parts of them."""
    inner = {id(child) for module in net.modules() if isinstance(module, nn.Sequential) for child in module}
    found: list[Chain] = []
    for name, module in net.named_modules():
        if isinstance(module, nn.Sequential) and id(module) not in inner:
            found += _chains_of(name, module)
    return tuple(found)


def _leaves(name: str, module: nn.Sequential) -> Iterator[tuple[str, nn.Module]]:
    for key, child in module.named_children():
        path = f"{name}.{key}" if name else key
        if isinstance(child, nn.Sequential):
            yield from _leaves(path, child)
        else:
            yield path, child


def _chains_of(name: str, module: nn.Sequential) -> Iterator[Chain]:
    producer, between = "", list[str]()
    for path, leaf in _leaves(name, module):
        if isinstance(leaf, nn.Conv2d) and leaf.groups == 1:
            if producer:
                yield Chain(producer, tuple(between), path)
            producer, between = path, []
        elif isinstance(leaf, nn.BatchNorm2d) or (
            isinstance(leaf, nn.Conv2d) and leaf.groups == leaf.in_channels == leaf.out_channels
        ):
            between.append(path)
        elif not isinstance(leaf, _CHANNELWISE):
            producer = ""


def importance(
    net: nn.Module,
    found: Sequence[Chain],
    batches: Iterable[tuple[Tensor, ...]],
    loss: Callable[[Any, tuple[Tensor, ...]], Tensor],
) -> dict[Chain, Tensor]:
    """How much the loss would change without each channel, to first order: (channels,) for each chain.

    The squared gradient of a gate of 1 before the reading convolution, summed over batches (Molchanov et al.,
    "Importance Estimation for Neural Network Pruning", CVPR 2019).
    """
    gates = [torch.ones(_conv(net, chain.consumer).in_channels, requires_grad=True) for chain in found]
    totals = [torch.zeros_like(gate) for gate in gates]

    def gated(gate: Tensor) -> Callable[[nn.Module, tuple[Tensor, ...]], tuple[Tensor]]:
        return lambda _module, inputs: (inputs[0] * gate.view(1, -1, 1, 1),)

    hooks = [
        _conv(net, chain.consumer).register_forward_pre_hook(gated(gate))
        for chain, gate in zip(found, gates, strict=True)
    ]
    net.eval()
    try:
        for batch in batches:
            slopes = torch.autograd.grad(loss(net(batch[0]), batch), gates)
            for total, slope in zip(totals, slopes, strict=True):
                total += slope**2
    finally:
        for hook in hooks:
            hook.remove()
    return dict(zip(found, totals, strict=True))


def strongest(values: Tensor, share: float, multiple: int = 8) -> Tensor:
    """Which channels stay when ``share`` (0 … 1) of them goes: their numbers, ascending.

    Their count is rounded up to a multiple of 8, in which processors calculate them. ValueError for other shares.
    """
    if not 0 <= share < 1:
        raise ValueError(f"the share that goes is at least 0 and below 1, not {share:g}")
    count = min(len(values), math.ceil(len(values) * (1 - share) / multiple) * multiple)
    return values.topk(count).indices.sort().values


def without(net: nn.Module, stay: Mapping[Chain, Tensor]) -> dict[str, Tensor]:
    """The weights of a net with only those channels of each chain that stay; `fitted` makes a net of them."""
    state = {name: values.clone() for name, values in net.state_dict().items()}
    for chain, channels in stay.items():
        for module in (chain.producer, *chain.between):
            for value in ("weight", "bias", "running_mean", "running_var"):
                if f"{module}.{value}" in state:
                    state[f"{module}.{value}"] = state[f"{module}.{value}"][channels]
        state[f"{chain.consumer}.weight"] = state[f"{chain.consumer}.weight"][:, channels]
    return state


def fitted(net: nn.Module, state: Mapping[str, Tensor]) -> nn.Module:
    """Load weights into a net, which is made narrower where they are those of a pruned one; returns the net.

    RuntimeError where they are not a net's like this.
    """
    for name, module in net.named_modules():
        weight = state.get(f"{name}.weight")
        if weight is None or weight.shape == module.weight.shape:
            continue
        if isinstance(module, nn.Conv2d):
            depthwise = module.groups > 1
            module.out_channels = weight.shape[0]
            module.in_channels = weight.shape[0] if depthwise else weight.shape[1]
            module.groups = weight.shape[0] if depthwise else 1
        elif isinstance(module, nn.BatchNorm2d):
            module.num_features = weight.shape[0]
            module.running_mean = torch.zeros_like(weight)
            module.running_var = torch.ones_like(weight)
        else:
            continue
        module.weight = nn.Parameter(torch.empty_like(weight))
        if module.bias is not None:
            module.bias = nn.Parameter(weight.new_empty(weight.shape[0]))
    net.load_state_dict(state)
    return net


def _conv(net: nn.Module, name: str) -> nn.Conv2d:
    module = net.get_submodule(name)
    if not isinstance(module, nn.Conv2d):
        raise TypeError(f"{name} is no convolution")
    return module
