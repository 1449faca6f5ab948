"""Grad-CAM of any net inside an ONNX graph: the gradient is computed where the model runs, without torch.

With the features A_c of a layer, h × w cells each, and the logits y of the net, the map is

    max(0, Σ_c α_c A_c),   α_c = mean over the cells of ∂(Σ_region y)/∂A_c

for a region of pixels that somebody asks about ("Seg-Grad-CAM": Vinogradova et al., AAAI 2020, after Grad-CAM:
Selvaraju et al., ICCV 2017). "HiResCAM" (Draelos & Carin 2020) multiplies features and gradient cell by cell instead of
averaging the gradient first: max(0, Σ_c ∂(Σ_region y)/∂A_c · A_c).

The backward pass is traced as torch computes it (make_fx). What ONNX has no operator for is written out below in
operators it has; each is the adjoint of a linear operator, or a derivative that follows from the values that went in.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn import functional

METHODS = ("Seg-Grad-CAM", "HiResCAM")

Sizes = Sequence[int]


def traced(net: nn.Module, layer: str, method: str, tensor: NDArray[np.float32], classes: int = 1) -> fx.GraphModule:
    """The graph that explains a net: (n, channels + classes, rows, columns) → (n, 1, h, w), not negative.

    The first channels are the net's input, as in ``tensor`` (n, channels, rows, columns); the others the region for
    each class, 1 inside and 0 outside. ``layer`` names a module of the net, which is called once; the net gives logits
    (n, at least classes, rows, columns), or a tuple that begins with them. ValueError for a method there is not,
    AttributeError for a layer there is not.
    """
    if method not in METHODS:
        raise ValueError(f"the method is {' or '.join(METHODS)}, not {method}")
    net = _affine(deepcopy(net).eval()).requires_grad_(False)
    channels = tensor.shape[1]

    def explain(marked: Tensor) -> Tensor:
        image, region = marked[:, :channels], marked[:, channels:]
        features: list[Tensor] = []

        def cut(_module: nn.Module, _given: tuple[Tensor, ...], output: Tensor) -> Tensor:
            features.append(output.detach().requires_grad_())
            return features[0]

        hook = net.get_submodule(layer).register_forward_hook(cut)
        try:
            given = net(image)
        finally:
            hook.remove()
        logits = given[0] if isinstance(given, tuple) else given
        if logits.shape[1] > classes:
            region = torch.cat([region, torch.zeros_like(logits[:, classes:])], dim=1)
        (slope,) = torch.autograd.grad(logits, features[0], region)
        if method == "Seg-Grad-CAM":
            slope = slope.mean(dim=(2, 3), keepdim=True)
        return torch.relu((slope * features[0]).sum(dim=1, keepdim=True))

    graph = make_fx(explain)(torch.from_numpy(marked(tensor, np.zeros((len(tensor), classes, *tensor.shape[2:])))))
    for node in graph.graph.nodes:
        if node.op == "call_function":
            node.target = REWRITTEN.get(node.target, node.target)
    graph.graph.eliminate_dead_code()
    graph.recompile()
    return graph


def marked(tensor: NDArray[np.float32], region: NDArray[Any]) -> NDArray[np.float32]:
    """The input of the explaining graph: image and region, both (n, channels, rows, columns), one behind the other."""
    return np.concatenate([tensor, region.astype(np.float32)], axis=1)


class Affine(nn.Module):
    """A norm that has learnt: each channel times a number plus a number."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        if norm.running_mean is None or norm.running_var is None:
            raise ValueError("a norm without statistics cannot be exported")
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        self.scale = nn.Parameter(scale.detach()[:, None, None])
        self.shift = nn.Parameter((norm.bias - norm.running_mean * scale).detach()[:, None, None])

    def forward(self, x: Tensor) -> Tensor:
        """Same shape in and out."""
        return x * self.scale + self.shift


def _affine(net: nn.Module) -> nn.Module:
    for name, child in net.named_children():
        setattr(net, name, Affine(child) if isinstance(child, nn.BatchNorm2d) else _affine(child))
    return net


# The functions below are called while the exporter traces: sizes are made numbers, so that they are constants there.


def _upsampled(x: Tensor, size: Sizes, align_corners: bool, *_scales: float | None) -> Tensor:
    scale = tuple(int(wanted) / int(given) for wanted, given in zip(size, x.shape[2:], strict=True))
    return functional.interpolate(x, scale_factor=scale, mode="bilinear", align_corners=align_corners)


def _upsampled_back(grad: Tensor, size: Sizes, given: Sizes, align_corners: bool, *_scales: float | None) -> Tensor:
    """Upsampling is linear along both sides: U = D x Aᵀ, and back Dᵀ U A."""
    down, across = (
        functional.interpolate(torch.eye(before)[None], size=after, mode="linear", align_corners=align_corners)[0]
        for before, after in zip(given[2:], size, strict=True)
    )
    return torch.matmul(torch.matmul(down, grad), across.T)


def _convolved_back(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    _bias: Sizes,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    _output_padding: Any,
    groups: int,
    _wanted: Sequence[bool],
) -> tuple[Tensor]:
    """The input's gradient alone: of a convolution the transposed one, and the other way round."""
    if transposed:
        return (functional.conv2d(grad, weight, None, stride, padding, dilation, groups),)
    rest = [
        int(before) - ((int(after) - 1) * step - 2 * pad + spread * (int(kernel) - 1) + 1)
        for before, after, step, pad, spread, kernel in zip(
            x.shape[2:], grad.shape[2:], stride, padding, dilation, weight.shape[2:], strict=True
        )
    ]
    return (functional.conv_transpose2d(grad, weight, None, stride, padding, rest, groups, dilation),)


def _hardswish_back(grad: Tensor, x: Tensor) -> Tensor:
    """0 up to −3, x/3 + 1/2 between, 1 from 3 on."""
    return grad * ((x.abs() < 3).to(x.dtype) * (x / 3 + 0.5) + (x >= 3).to(x.dtype))


def _rectified_back(grad: Tensor, x: Tensor, threshold: float) -> Tensor:
    return grad * (x > threshold).to(x.dtype)


def _leaky_back(grad: Tensor, x: Tensor, below: float, _of_output: bool) -> Tensor:
    return grad * ((x > 0).to(x.dtype) + (x <= 0).to(x.dtype) * below)


def _pooled_back(
    grad: Tensor, x: Tensor, _kernel: Any, _stride: Any, _padding: Any, _dilation: Any, _ceil: bool, places: Tensor
) -> Tensor:
    """Each gradient goes to the place of its greatest value; windows do not overlap."""
    nowhere = torch.zeros_like(x).flatten(2)
    return nowhere.scatter(2, places.flatten(2), grad.flatten(2)).view_as(x)


_aten = torch.ops.aten
REWRITTEN: dict[Any, Callable[..., Any]] = {
    _aten.upsample_bilinear2d.default: _upsampled,
    _aten.upsample_bilinear2d_backward.default: _upsampled_back,
    _aten.convolution_backward.default: _convolved_back,
    _aten.hardswish_backward.default: _hardswish_back,
    _aten.threshold_backward.default: _rectified_back,
    _aten.leaky_relu_backward.default: _leaky_back,
    _aten.max_pool2d_with_indices_backward.default: _pooled_back,
}
