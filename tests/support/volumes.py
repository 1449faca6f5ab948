"""3-D networks made on the spot: each class's logit is a weighted sum of the channels, voxel by voxel."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from support.tiny import names, noise, write

ROLES = ("T1", "T1C", "T2", "FLAIR")


def linear(weights: Sequence[Sequence[float]], bias: Sequence[float], work: int = 0) -> bytes:
    """(n, channels, k, j, i) → (n, classes, k, j, i); each `work` is a large convolution that changes nothing."""
    kernel = np.asarray(weights, np.float32)[..., None, None, None]
    classes, channels = kernel.shape[:2]
    idle = np.zeros((channels, channels, 7, 7, 7), np.float32)
    idle[range(channels), range(channels), 3, 3, 3] = 1
    nodes = [
        helper.make_node("Conv", [f"x{n}" if n else "image", "idle"], [f"x{n + 1}"], pads=[3] * 6) for n in range(work)
    ]
    nodes.append(helper.make_node("Conv", [f"x{work}" if work else "image", "kernel", "bias"], ["logits"]))
    constants = {"kernel": kernel, "bias": np.asarray(bias, np.float32), **({"idle": idle} if work else {})}
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", channels, "k", "j", "i"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", classes, "k", "j", "i"])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def volume_model(
    folder: Path,
    model_id: str = "whole",
    *,
    weights: Sequence[Sequence[float]] = ((0,), (8,)),
    bias: Sequence[float] = (0, -8),
    labels: str = "softmax",
    outputs: Sequence[str] = ("",),
    roles: Sequence[str] = (),
    reads: str = "FLAIR",
    size: tuple[int, int, int] = (8, 16, 16),
    spacing: tuple[float, float, float] = (3.0, 2.0, 2.0),
    prepare: str = "",
    work: int = 0,
) -> Path:
    """Write a 3-D model folder. `outputs` hold further lines of each label; by default what is 1 spread above the mean
    is the first label."""
    threshold = "" if labels == "softmax" else "threshold = 0.5\n"
    manifest = f"""task = "segment"
dimensions = "3d"
output = "logits"
[prepare]
orientation = "HPL"
spacing_mm = {list(spacing)}
patch = {list(size)}
intensity = {{ rule = "z-score" }}
{prepare}
[labels]
rule = "{labels}"
logits = true
"""
    manifest += "".join(f'[[inputs]]\nrole = "{role}"\n' for role in roles)
    manifest += "".join(
        f"[[outputs]]\n{names(f'Label {n}')}{threshold}{more}\n" for n, more in enumerate(outputs, start=1)
    )
    manifest += f'[gate]\nmodality = ["MR"]\nrole = ["{reads}"]\n'
    return write(folder, model_id, linear(weights, bias, work), manifest, noise(1, max(1, len(roles)), *size))
