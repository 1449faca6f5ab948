"""Small models made on the spot: bright pixels are what they find. No training, no patient's image."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

MANIFEST = """
schema = 1
id = "{id}"
name = "{name}"
version = "1.0.0"
summary = "Bright pixels, for tests"
task = "segment"
dimensions = "2d"
sha256 = "{sha256}"
input = "image"
output = "probability"
use = "For tests. Not for clinical use."

[prepare]
plane = "axial"
spacing_mm = [0.9, 0.9]
size = [256, 256]
intensity = {{ rule = "median-spread", clip = [-3.0, 6.0] }}

[[outputs]]
label = "Bright"
concept = "52988006|SCT|Lesion"
category = "49755003|SCT|Morphologically Abnormal Structure"
anatomy = "12738006|SCT|Brain"
colour = "#F5B83D"
threshold = 0.5
min_volume_ml = 0.5

[gate]
modality = {modality}
role = {role}
slices = [3, 512]
tilt_deg = 45

[tolerance]
fp32 = 1e-4

[licence]
weights = "none"
"""


def bright_model(
    folder: Path,
    *,
    model_id: str = "bright",
    level: float = 0.6,
    role: tuple[str, ...] = ("FLAIR",),
    modality: tuple[str, ...] = ("MR",),
    work: int = 0,
) -> Path:
    """Write a model folder: probability = sigmoid(20 (smoothed − level)); each `work` is a convolution of idle work."""
    target = folder / model_id
    target.mkdir(parents=True)
    box = np.full((1, 1, 5, 5), 1 / 25, np.float32)
    nodes = [helper.make_node("Conv", ["image", "box"], ["smooth0"], pads=[2, 2, 2, 2])]
    for step in range(work):
        nodes.append(helper.make_node("Conv", [f"smooth{step}", "spot"], [f"smooth{step + 1}"], pads=[15, 15, 15, 15]))
    nodes += [
        helper.make_node("Sub", [f"smooth{work}", "level"], ["above"]),
        helper.make_node("Mul", ["above", "gain"], ["steep"]),
        helper.make_node("Sigmoid", ["steep"], ["probability"]),
    ]
    spot = np.zeros((1, 1, 31, 31), np.float32)
    spot[0, 0, 15, 15] = 1.0
    shape = ["n", 1, 256, 256]
    graph = helper.make_graph(
        nodes,
        "bright",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, shape)],
        [
            numpy_helper.from_array(box, "box"),
            *([numpy_helper.from_array(spot, "spot")] if work else []),
            numpy_helper.from_array(np.array(level, np.float32), "level"),
            numpy_helper.from_array(np.array(20.0, np.float32), "gain"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    weights = model.SerializeToString()
    onnx.checker.check_model(model)
    (target / "model.onnx").write_bytes(weights)
    manifest = MANIFEST.format(
        id=model_id,
        name=model_id.capitalize(),
        sha256=hashlib.sha256(weights).hexdigest(),
        role=list(role),
        modality=list(modality),
    )
    (target / "model.toml").write_text(manifest, "utf-8")
    (target / "CARD.md").write_text("# Bright\n\nFor tests.\n", "utf-8")
    _selftest(target / "selftest.npz", weights)
    return target


def _selftest(path: Path, weights: bytes) -> None:
    import onnxruntime

    rng = np.random.default_rng(1)
    tensor = rng.normal(size=(1, 1, 256, 256)).astype(np.float32)
    session = onnxruntime.InferenceSession(weights, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {"image": tensor})
    np.savez_compressed(path, input=tensor, output=output)
