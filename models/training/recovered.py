"""The weights of a shipped model, read back from its ONNX file into the torch net that it was exported from.

Runs are not kept with a model, its ONNX file is. The exporter folds a norm into the convolution before it where nothing
stands between them; in the recovered net such a norm only adds the folded bias, the rest is in the convolution.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path

import numpy as np
import onnx
import tomlkit
import torch
from numpy.typing import NDArray
from onnx import numpy_helper
from torch import Tensor, nn

from models.training.export import disagreement, write_explanation, write_manifest
from models.training.recipe import Recipe
from models.training.task import Explained, Task

# Layers of one shape that were exchanged would show far above this; single precision stays far below.
PARITY = 1e-4

KINDS: dict[type[nn.Module], str] = {
    nn.Conv2d: "Conv",
    nn.ConvTranspose2d: "ConvTranspose",
    nn.Linear: "Gemm",
    nn.BatchNorm2d: "BatchNormalization",
}
# The parameters of a layer, in the order of its node's inputs.
PARTS = ("weight", "bias", "running_mean", "running_var")


def recover(model: nn.Module, file: Path, tensor: NDArray[np.float32]) -> None:
    """Load the weights of an ONNX file into a module like the one that was exported to it.

    ``tensor`` is an input of both, by whose answers they are compared. ValueError where the file is of another module.
    """
    model.eval()
    graph = onnx.load(file).graph
    nodes = _layers(graph)
    before: nn.Module | None = None
    bias = torch.zeros(())
    with torch.no_grad():
        _load_named(model, graph)
        for module in _called(model, tensor):
            if nodes and _is(nodes[0], module):
                weights = nodes.popleft()[1]
                bias = weights[1] if len(weights) > 1 else torch.zeros(())
                _load(module, weights)
                before = module
            elif isinstance(module, nn.BatchNorm2d) and before is not None:
                _only_adds(module, bias)
                if isinstance(before.bias, Tensor):
                    before.bias.zero_()
            else:
                raise ValueError(f"{file.name} is of another net: no {KINDS[type(module)]} of that size comes next")
    if nodes:
        raise ValueError(f"{file.name} is of another net: it has {len(nodes)} more layers")
    with torch.inference_mode():
        given = model(torch.from_numpy(tensor))
    outputs = [output.name for output in graph.output]
    answers = given if isinstance(given, tuple) else (given,)
    worst = disagreement(file, tensor, {name: each.numpy() for name, each in zip(outputs, answers, strict=True)})
    if not worst <= PARITY:
        raise ValueError(f"with the weights of {file.name} the net gives other answers: off by {worst:.2g}")


def explain(work: Task, recipe: Recipe, folder: Path) -> None:
    """Write a folder's explaining graph anew, as the recipe wants it, with the weights of its model.onnx.

    ValueError where the model has none, or where the file is not of the recipe's net.
    """
    if not isinstance(work, Explained) or "file" not in recipe.manifest.get("explain", {}):
        raise ValueError(f"{recipe.name} comes without a graph that explains it")
    table = tomlkit.parse((folder / "model.toml").read_text("utf-8")).unwrap()
    with np.load(folder / "selftest.npz") as stored:
        tensor = stored["input"][:1]
    model = work.shipped()
    recover(model, folder / "model.onnx", tensor)
    table["explain"] = dict(recipe.manifest["explain"])
    table["explain"] = write_explanation(folder, table, model.get_submodule("net"), tensor)
    write_manifest(folder, table)


def _load_named(model: nn.Module, graph: onnx.GraphProto) -> None:
    """Copy what kept its name; a layer's weights only do where nothing was folded into them."""
    values = {stored.name: stored for stored in graph.initializer}
    for name, own in model.named_parameters():
        if name in values and tuple(values[name].dims) == own.shape:
            own.copy_(_tensor(values[name]))


def _tensor(stored: onnx.TensorProto) -> Tensor:
    return torch.from_numpy(numpy_helper.to_array(stored).copy())


def _layers(graph: onnx.GraphProto) -> deque[tuple[str, list[Tensor]]]:
    """The kind and the weights of each layer of a file that has any, in the order in which they are computed."""
    values = {stored.name: stored for stored in graph.initializer}
    for node in graph.node:
        if node.op_type == "Identity" and node.input[0] in values:  # a layer that is used twice
            values[node.output[0]] = values[node.input[0]]
    return deque(
        (node.op_type, [_tensor(values[name]) for name in node.input[1:]])
        for node in graph.node
        if node.op_type in KINDS.values()
    )


def _called(model: nn.Module, tensor: NDArray[np.float32]) -> list[nn.Module]:
    """The layers of a module that have weights, as often and in the order in which they are asked."""
    called: list[nn.Module] = []
    hooks = [
        module.register_forward_pre_hook(lambda module, _given: called.append(module))
        for module in model.modules()
        if type(module) in KINDS
    ]
    try:
        model(torch.from_numpy(tensor))
    finally:
        for hook in hooks:
            hook.remove()
    return called


def _is(node: tuple[str, list[Tensor]], module: nn.Module) -> bool:
    kind, weights = node
    return kind == KINDS[type(module)] and weights[0].shape == module.weight.shape


def _load(module: nn.Module, weights: list[Tensor]) -> None:
    """Copy a node's weights. A bias that the module lacks was that of a norm, which comes next."""
    for name, values in zip(PARTS, weights, strict=False):
        own = getattr(module, name)
        if own is not None:
            own.copy_(values)


def _only_adds(norm: nn.BatchNorm2d, bias: Tensor) -> None:
    """Have a norm that was folded into the layer before it add that layer's bias and do nothing else."""
    own = {"weight": torch.tensor((1 + norm.eps) ** 0.5), "bias": bias}
    for name, value in {**own, "running_mean": torch.tensor(0.0), "running_var": torch.tensor(1.0)}.items():
        getattr(norm, name).copy_(value)
