"""Tiny networks for every task of the engine, whose answers can be worked out by hand. No training, no image."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import NodeProto, TensorProto, helper, numpy_helper

HEAD = """
schema = 1
id = "{id}"
name = "{name}"
version = "1.0.0"
summary = "For tests"
sha256 = "{sha256}"
input = "image"
use = "For tests. Not for clinical use."
"""
TAIL = """
[tolerance]
fp32 = 1e-4

[licence]
weights = "none"
"""


def names(label: str, colour: str = "#F5B83D") -> str:
    return f"""label = "{label}"
concept = "52988006|SCT|Lesion"
category = "49755003|SCT|Morphologically Abnormal Structure"
colour = "{colour}"
"""


def graph(nodes: Sequence[NodeProto], inputs: str, outputs: Mapping[str, int], **constants: Any) -> bytes:
    """The bytes of a network; `outputs` are their names with the number of their axes."""
    proto = helper.make_graph(
        list(nodes),
        "tiny",
        [helper.make_tensor_value_info(inputs, TensorProto.FLOAT, ["n", "c", "h", "w"])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, [f"{name}{axis}" for axis in range(axes)])
            for name, axes in outputs.items()
        ],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    model = helper.make_model(proto, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def answers(weights: bytes, tensor: np.ndarray) -> dict[str, np.ndarray]:
    """What a network says, by name of its outputs."""
    import onnxruntime

    session = onnxruntime.InferenceSession(weights, providers=["CPUExecutionProvider"])
    given = session.run(None, {session.get_inputs()[0].name: tensor})
    return {output.name: array for output, array in zip(session.get_outputs(), given, strict=True)}


def write(folder: Path, model_id: str, weights: bytes, manifest: str, tensor: np.ndarray, **more: np.ndarray) -> Path:
    """Write a model folder; `manifest` is all that is not common to these models, its first lines at the top level."""
    target = folder / model_id
    target.mkdir(parents=True)
    (target / "model.onnx").write_bytes(weights)
    head = HEAD.format(id=model_id, name=model_id.capitalize(), sha256=hashlib.sha256(weights).hexdigest())
    (target / "model.toml").write_text(head + manifest + TAIL, "utf-8")
    (target / "CARD.md").write_text(f"# {model_id}\n\nFor tests.\n", "utf-8")
    np.savez_compressed(target / "selftest.npz", input=tensor, **answers(weights, tensor), **more)
    return target


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=shape).astype(np.float32)


def kinds_model(folder: Path, model_id: str = "kinds", *, role: str = "", size: int = 64, spacing: float = 1.5) -> Path:
    """2.5-D: bright pixels of the middle slice, and on each slice softmax(mean of after − before, 0.1) as its kind."""
    nodes = [
        helper.make_node("Split", ["image", "thirds"], ["before", "middle", "after"], axis=1),
        helper.make_node("Sub", ["middle", "level"], ["above"]),
        helper.make_node("Mul", ["above", "gain"], ["steep"]),
        helper.make_node("Sigmoid", ["steep"], ["probability"]),
        helper.make_node("Sub", ["after", "before"], ["change"]),
        helper.make_node("ReduceMean", ["change"], ["mean"], axes=[1, 2, 3], keepdims=1),
        helper.make_node("Flatten", ["mean"], ["rising"]),
        helper.make_node("Mul", ["rising", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "offset"], ["level_kind"]),
        helper.make_node("Concat", ["rising", "level_kind"], ["logits"], axis=1),
        helper.make_node("Softmax", ["logits"], ["class"], axis=1),
    ]
    weights = graph(
        nodes,
        "image",
        {"probability": 4, "class": 2},
        thirds=np.array([1, 1, 1], np.int64),
        level=np.float32(0.6),
        gain=np.float32(20),
        zero=np.float32(0),
        offset=np.float32(0.1),
    )
    gate = f'role = ["{role}"]\n' if role else ""
    manifest = f"""task = "segment"
dimensions = "2.5d"
output = "probability"
class_output = "class"
[prepare]
plane = "axial"
spacing_mm = [{spacing}, {spacing}]
size = [{size}, {size}]
neighbours = 1
intensity = {{ rule = "median-spread", clip = [-3.0, 6.0] }}
[[outputs]]
{names("Bright")}threshold = 0.5
keep = 0.25
[[classes]]
{names("Rising", "#112233")}
[[classes]]
{names("Level", "#445566")}
[gate]
modality = ["MR"]
{gate}
"""
    return write(folder, model_id, weights, manifest, noise(2, 3, size, size))


def sides_model(
    folder: Path, model_id: str = "sides", *, fit: str = "stretch", channels: str = "grey", modality: str = "CR"
) -> Path:
    """Classes "Bright" and "Dark" of an image of 64² pixels; their activation maps, 8×8, are its means and 1 − these.

    The probabilities are the means of the maps.
    """
    nodes = [
        helper.make_node("ReduceMean", ["image"], ["grey"], axes=[1], keepdims=1),
        helper.make_node("AveragePool", ["grey"], ["bright"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Sub", ["one", "bright"], ["dark"]),
        helper.make_node("Concat", ["bright", "dark"], ["activation"], axis=1),
        helper.make_node("ReduceMean", ["activation"], ["probability"], axes=[2, 3], keepdims=0),
    ]
    weights = graph(nodes, "image", {"probability": 2, "activation": 4}, one=np.float32(1))
    rule = 'rule = "window", low = 0, high = 255' if channels == "rgb" else 'rule = "percentile", low = 0, high = 100'
    manifest = f"""task = "classify"
dimensions = "2d"
output = "probability"
activation_output = "activation"
[prepare]
plane = "axial"
fit = "{fit}"
channels = "{channels}"
size = [64, 64]
intensity = {{ {rule} }}
[[outputs]]
{names("Bright")}threshold = 0.5
[[outputs]]
{names("Dark")}threshold = 0.9
[explain]
method = "CAM"
layer = "bright"
[gate]
modality = ["{modality}"]
slices = [1, 1]
"""
    return write(folder, model_id, weights, manifest, noise(2, 3 if channels == "rgb" else 1, 64, 64) ** 2)


def asked_model(
    folder: Path, model_id: str = "asked", *, method: str = "Seg-Grad-CAM", outputs: int = 1, size: int = 64
) -> Path:
    """Bright pixels, and beside them (with two outputs) dark ones; why: means over 8×8 pixels of the last region.

    By "Eigen-CAM" and "Score-CAM" the features are these means and their negatives, over the whole image. Pixels are
    1.5 mm wide.
    """
    nodes = [
        helper.make_node("Sub", ["image", "level"], ["above"]),
        helper.make_node("Mul", ["above", "gain"], ["steep"]),
        helper.make_node("Sigmoid", ["steep"], ["bright"]),
        helper.make_node("Sub", ["one", "bright"], ["dark"]),
        helper.make_node("Concat", ["bright", "dark"][:outputs], ["probability"], axis=1),
        helper.make_node("AveragePool", ["image"], ["means"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("Neg", ["means"], ["against"]),
        helper.make_node("Concat", ["means", "against"], ["features"], axis=1),
    ]
    own = method in ("Eigen-CAM", "Score-CAM")
    given = {"probability": 4, "features": 4} if own else {"probability": 4}
    known = {"level": np.float32(0.6), "gain": np.float32(20), "one": np.float32(1)}
    weights = graph(nodes, "image", given, **known)
    tensor, second, more, file = noise(1, 1, size, size), 'features = "features"', {}, b""
    if not own:
        split = np.array([1, *[1] * outputs], np.int64)
        nodes = [
            helper.make_node("Split", ["marked", "split"], ["image", "first", "second"][: 1 + outputs], axis=1),
            helper.make_node("Mul", ["image", ["first", "second"][outputs - 1]], ["inside"]),
            helper.make_node("AveragePool", ["inside"], ["mean"], kernel_shape=[8, 8], strides=[8, 8]),
            helper.make_node("Relu", ["mean"], ["heatmap"]),
        ]
        file = graph(nodes, "marked", {"heatmap": 4}, split=split)
        region = np.zeros((1, outputs, size, size), np.bool_)
        region[:, :, 8:40, 16:48] = True
        answer = answers(file, np.concatenate([tensor, region.astype(np.float32)], axis=1))["heatmap"]
        more = {"explain_region": region, "explain_output": answer}
        second = f'''file = "explain.onnx"
sha256 = "{hashlib.sha256(file).hexdigest()}"
input = "marked"
output = "heatmap"'''
    drawn = "".join(f"[[outputs]]\n{names(label)}threshold = 0.5\n" for label in ("Bright", "Dark")[:outputs])
    manifest = f"""task = "segment"
dimensions = "2d"
output = "probability"
[prepare]
plane = "axial"
spacing_mm = [1.5, 1.5]
size = [{size}, {size}]
intensity = {{ rule = "window", low = 0, high = 1000 }}
{drawn}
[explain]
method = "{method}"
layer = "means"
{second}
[gate]
modality = ["MR"]
"""
    target = write(folder, model_id, weights, manifest, tensor, **more)
    if file:
        (target / "explain.onnx").write_bytes(file)
    return target


def _contour() -> bytes:
    nodes = [
        helper.make_node("Sub", ["crop", "half"], ["above"]),
        helper.make_node("Mul", ["above", "gain"], ["steep"]),
        helper.make_node("Sigmoid", ["steep"], ["inside"]),
    ]
    return graph(nodes, "crop", {"inside": 4}, half=np.float32(0.5), gain=np.float32(20))


def _verify() -> bytes:
    middle = np.zeros((1, 1, 16, 16), np.float32)
    middle[..., 6:10, 6:10] = 1 / 16
    nodes = [
        helper.make_node("Mul", ["crop", "middle"], ["weighed"]),
        helper.make_node("ReduceSum", ["weighed", "plane"], ["chance"], keepdims=0),
    ]
    return graph(nodes, "crop", {"chance": 2}, middle=middle, plane=np.array([2, 3], np.int64))


def peaks_model(
    folder: Path,
    model_id: str = "peaks",
    *,
    contour: bool = False,
    verify: float | None = None,
    threshold: float = 0.5,
    size: int = 96,
    spacing: float = 1.0,
    window: tuple[float, float] = (0, 1000),
    gap_mm: float = 3.0,
) -> Path:
    """A box of 9×7 canvas pixels round each peak of the image smoothed over 5×5; the score is the smoothed value.

    With `contour` a box's outline is what is above the middle of its crop's grey values; with `verify`, the floor, its
    score is the mean of the 3×3 mm in its middle.
    """
    nodes = [
        helper.make_node("Conv", ["image", "box"], ["smooth"], pads=[2, 2, 2, 2]),
        helper.make_node("MaxPool", ["smooth"], ["highest"], kernel_shape=[3, 3], pads=[1, 1, 1, 1]),
        helper.make_node("Equal", ["smooth", "highest"], ["peak"]),
        helper.make_node("Where", ["peak", "smooth", "zero"], ["peaks"]),
        helper.make_node("Flatten", ["peaks"], ["flat"]),
        helper.make_node("TopK", ["flat", "most"], ["score", "at"], axis=1),
        helper.make_node("Div", ["at", "width"], ["row_at"]),
        helper.make_node("Mod", ["at", "width"], ["column_at"]),
        helper.make_node("Cast", ["row_at"], ["row"], to=TensorProto.FLOAT),
        helper.make_node("Cast", ["column_at"], ["column"], to=TensorProto.FLOAT),
        helper.make_node("Sub", ["row", "up"], ["row0"]),
        helper.make_node("Sub", ["column", "left"], ["column0"]),
        helper.make_node("Add", ["row", "down"], ["row1"]),
        helper.make_node("Add", ["column", "right"], ["column1"]),
    ]
    columns = ["row0", "column0", "row1", "column1", "score"]
    nodes += [helper.make_node("Unsqueeze", [name, "last"], [f"{name}_"]) for name in columns]
    nodes.append(helper.make_node("Concat", [f"{name}_" for name in columns], ["boxes"], axis=2))
    weights = graph(
        nodes,
        "image",
        {"boxes": 3},
        box=np.full((1, 1, 5, 5), 1 / 25, np.float32),
        zero=np.float32(0),
        most=np.array([8], np.int64),
        width=np.array(size, np.int64),
        up=np.float32(4),
        left=np.float32(3),
        down=np.float32(5),
        right=np.float32(4),
        last=np.array([2], np.int64),
    )
    second, more, files = "", {}, {}
    if contour:
        files["contour.onnx"], tensor = _contour(), np.abs(noise(2, 1, 32, 32))
        more = {"contour_input": tensor, "contour_output": answers(_contour(), tensor)["inside"]}
        second = f"""[contour]
file = "contour.onnx"
sha256 = "{hashlib.sha256(_contour()).hexdigest()}"
input = "crop"
output = "inside"
size = [32, 32]
spacing_mm = 0.75
threshold = 0.5
"""
    if verify is not None:
        files["verify.onnx"], tensor = _verify(), np.abs(noise(2, 1, 16, 16))
        more |= {"verify_input": tensor, "verify_output": answers(_verify(), tensor)["chance"]}
        second += f"""[verify]
file = "verify.onnx"
sha256 = "{hashlib.sha256(_verify()).hexdigest()}"
input = "crop"
output = "chance"
size = [16, 16]
spacing_mm = [0.75, 0.75]
floor = {verify}
"""
    manifest = f"""task = "detect"
dimensions = "2d"
output = "boxes"
[prepare]
plane = "axial"
spacing_mm = [{spacing}, {spacing}]
size = [{size}, {size}]
intensity = {{ rule = "window", low = {window[0]}, high = {window[1]} }}
[[outputs]]
{names("Peak")}threshold = {threshold}
[merge]
overlap = 0.3
gap_mm = {gap_mm}
{second}
[gate]
modality = ["CT"]
"""
    target = write(folder, model_id, weights, manifest, np.abs(noise(2, 1, size, size)), **more)
    for name, weights in files.items():
        (target / name).write_bytes(weights)
    return target
