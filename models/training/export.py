"""From trained weights to a model folder: ONNX, the manifest and a self-test; no patient's image goes in."""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime
import tomlkit
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.training import gradient_head
from models.training.prune import fitted
from overread.dicom.demo import demo_truth, ensure_demo
from overread.dicom.load import loaded
from overread.dicom.scan import scanned
from overread.infer.manifest import SCHEMA, parse
from overread.infer.selftest import Probe
from overread.infer.slices import Slicer

# 17 is the newest that every ONNX Runtime and TensorRT the program may meet reads; the net needs Hardswish (14).
OPSET = 17
PARITY = 1e-5


class Probability(nn.Module):
    """The net with its sigmoid, as it is shipped: input (n, channels, rows, columns), output (n, 1, rows, columns)."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        """Chance of each pixel."""
        return torch.sigmoid(cast("Tensor", self.net(image)))


def load(net: nn.Module, weights: Path) -> nn.Module:
    """The net with the weights of a run, ready to be asked; narrower where they are those of a pruned one."""
    return fitted(net, torch.load(weights, map_location="cpu", weights_only=True)["net"]).eval()


def write_model(
    folder: Path, manifest: Mapping[str, Any], model: nn.Module, tensor: NDArray[np.float32], outputs: Sequence[str]
) -> None:
    """Write model.onnx, model.toml and selftest.npz. ValueError where ONNX Runtime and torch disagree.

    ``model`` maps one tensor to as many tensors as there are ``outputs``; ``tensor`` is the input of the self-test.
    Where the manifest's `explain` names a file, that is written too; the model's part ``net`` gives the logits then.
    """
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "model.onnx"
    boxes = str(manifest["output"]) if manifest["task"] == "detect" else ""
    expected = write_graph(file, model, tensor, str(manifest["input"]), outputs, boxes)
    np.savez_compressed(folder / "selftest.npz", allow_pickle=False, input=tensor, **expected)
    table = {"schema": SCHEMA, **manifest, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}
    if "file" in manifest.get("explain", {}):
        table["explain"] = write_explanation(folder, table, model.get_submodule("net"), tensor)
    write_manifest(folder, table)


def write_explanation(
    folder: Path, manifest: Mapping[str, Any], net: nn.Module, tensor: NDArray[np.float32]
) -> dict[str, Any]:
    """Write the graph that explains a net's logits, and its part of selftest.npz; returns the manifest's `explain`.

    In the self-test the region is what the model draws on ``tensor`` (1, channels, rows, columns), and where it draws
    nothing the middle of it. ValueError where ONNX Runtime and torch disagree, or where nothing speaks for the region.
    """
    explain, test = dict(manifest["explain"]), folder / "selftest.npz"
    with np.load(test) as stored:
        arrays = {name: stored[name] for name in stored.files}
    chance = arrays[manifest["output"] if manifest["output"] in arrays else "output"]
    drawn = chance[: len(tensor), : len(manifest["outputs"])] >= manifest["outputs"][0]["threshold"]
    rows, columns = tensor.shape[2:]
    if not drawn.any():
        drawn[..., rows // 3 : rows - rows // 3, columns // 3 : columns - columns // 3] = True
    graph = gradient_head.traced(net, explain["layer"], explain["method"], tensor, drawn.shape[1])
    marked = gradient_head.marked(tensor, drawn)
    file = folder / explain["file"]
    expected = write_graph(file, graph, marked, explain["input"], [explain["output"]])
    if not expected[explain["output"]].any():
        raise ValueError(f"nothing in {explain['layer']} speaks for the region of the self-test")
    arrays |= {"explain_region": drawn, "explain_output": expected[explain["output"]]}
    np.savez_compressed(test, allow_pickle=False, **arrays)
    return {**explain, "sha256": hashlib.sha256(file.read_bytes()).hexdigest()}


def write_graph(
    file: Path, model: nn.Module, tensor: NDArray[np.float32], name: str, outputs: Sequence[str], boxes: str = ""
) -> dict[str, NDArray[np.float32]]:
    """Trace a model into an ONNX file and check it; returns what it gives for ``tensor``, by output.

    The number of slices in a batch stays free; ``boxes`` names the output that holds boxes, where one does.
    ValueError where ONNX Runtime and torch disagree.
    """
    model.eval()
    with torch.inference_mode():
        given = model(torch.from_numpy(tensor))
    answers = given if isinstance(given, tuple) else (given,)
    expected = {output: answer.numpy() for output, answer in zip(outputs, answers, strict=True)}
    with warnings.catch_warnings():
        # the newer exporter writes opset 18 at least, whose Resize not every reader of ONNX knows
        warnings.simplefilter("ignore", DeprecationWarning)
        # the net checks its input's size; the answer is the same for every slice of the canvas
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        torch.onnx.export(
            model,
            (torch.from_numpy(tensor),),
            file,
            input_names=[name],
            output_names=list(outputs),
            dynamic_axes={each: {0: "n"} for each in (name, *outputs)},
            opset_version=OPSET,
            dynamo=False,
        )
    worst = disagreement(file, tensor, expected, boxes)
    if not worst <= PARITY:
        raise ValueError(f"ONNX Runtime and torch differ by {worst:.2g}, {PARITY:g} allowed")
    return expected


def disagreement(
    file: Path, tensor: NDArray[np.float32], expected: Mapping[str, NDArray[np.float32]], boxes: str = ""
) -> float:
    """The greatest difference between what ONNX Runtime computes and what torch did, over all outputs.

    As the engine's self-test measures it: edges of boxes by the canvas, numbers beyond ±1 by the greatest of them.
    """
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    answers = session.run(list(expected), {session.get_inputs()[0].name: tensor})
    given = {name: np.asarray(answer) for name, answer in zip(expected, answers, strict=True)}
    rows, columns = tensor.shape[-2:]
    return Probe(tensor, expected, boxes, (rows, columns)).error(given, PARITY)


def write_manifest(folder: Path, table: dict[str, Any]) -> None:
    """Write model.toml. KeyError, ValueError or TypeError where the engine would not take it."""
    parse(folder, table)
    # tables last, or TOML would read what follows them as theirs
    ordered = dict(sorted(table.items(), key=lambda item: isinstance(item[1], (dict, list))))
    (folder / "model.toml").write_text(tomlkit.dumps(ordered), encoding="utf-8")


def demo_tensor(manifest: Mapping[str, Any], role: str) -> NDArray[np.float32]:
    """The slice of the demo head with most tumour, as the engine gives it to the model: (1, channels, rows, columns).

    ``role`` says in which sequence: T1, T1C, T2 or FLAIR.
    """
    with tempfile.TemporaryDirectory() as scratch:
        # there are no weights yet, so no digest of them, and nothing that explains them
        table = {name: value for name, value in manifest.items() if name != "explain"}
        prepare = parse(Path(scratch), {"schema": SCHEMA, **table, "sha256": "0" * 64}).prepare
        study = ensure_demo(Path(scratch))
        catalogue = scanned((study,), Path(scratch) / "scan")
        volume = loaded(next(stack for stack in catalogue.stacks if stack.role == role))
    truth, _ = demo_truth()
    tensor = Slicer.of(volume, prepare).tensor(int(truth.sum(axis=(1, 2)).argmax()))
    return tensor.astype(np.float16).astype(np.float32)  # rounded, so that the file is smaller; exact from here on
