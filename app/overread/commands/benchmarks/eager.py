"""An ONNX graph run by torch, one operation after the other: the peer of networks that were exported from torch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor


def torch_net(path: Path) -> Callable[[Tensor], Tensor]:
    """The network of a 3-D ONNX file with one input and one output, in torch with the same weights.

    ImportError without torch or onnx; ValueError where the graph holds an operation that it does not know.
    """
    import onnx
    import torch
    from onnx import helper, numpy_helper

    graph = onnx.load(str(path)).graph
    weights = {each.name: torch.from_numpy(numpy_helper.to_array(each).copy()) for each in graph.initializer}
    nodes = [(node, {each.name: helper.get_attribute_value(each) for each in node.attribute}) for node in graph.node]
    unknown = {node.op_type for node, _ in nodes} - set(_OPERATIONS)
    if unknown:
        raise ValueError(f"{path.name} holds {', '.join(sorted(unknown))}")

    def run(image: Tensor) -> Tensor:
        values = {**weights, graph.input[0].name: image}
        for node, settings in nodes:
            given = [values[name] for name in node.input]
            values[node.output[0]] = _OPERATIONS[node.op_type](torch.nn.functional, given, settings)
        return values[graph.output[0].name]

    return run


def _convolution(name: str) -> Callable[[Any, list[Any], dict[str, Any]], Any]:
    def run(functions: Any, given: list[Any], settings: dict[str, Any]) -> Any:
        padding = settings.get("pads", [0] * 6)[:3]  # exported from torch: the same on both sides
        return getattr(functions, name)(*given, stride=settings.get("strides", 1), padding=padding)

    return run


_OPERATIONS: dict[str, Callable[[Any, list[Any], dict[str, Any]], Any]] = {
    "Conv": _convolution("conv3d"),
    "ConvTranspose": _convolution("conv_transpose3d"),
    "InstanceNormalization": lambda functions, given, settings: functions.instance_norm(
        given[0], weight=given[1], bias=given[2], eps=settings.get("epsilon", 1e-5)
    ),
    "LeakyRelu": lambda functions, given, settings: functions.leaky_relu(given[0], settings.get("alpha", 0.01)),
    "Identity": lambda functions, given, settings: given[0],
    "Concat": lambda functions, given, settings: _cat(given, settings["axis"]),
}


def _cat(given: list[Any], axis: int) -> Any:
    import torch

    return torch.cat(given, axis)
