"""From trained weights to a model folder: ONNX, the manifest, and a self-test made from the synthetic head."""

from __future__ import annotations

import hashlib
import tempfile
import warnings
from copy import deepcopy
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnxruntime
import tomlkit
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.training import lgg
from models.training.recipe import Recipe
from models.training.score import best_threshold, probabilities
from overread.dicom.demo import demo_truth, ensure_demo
from overread.dicom.load import loaded
from overread.dicom.scan import scanned
from overread.infer.manifest import SCHEMA, parse
from overread.infer.slices import Slicer

# 17 is the newest that every ONNX Runtime and TensorRT the program may meet reads; the net needs Hardswish (14).
OPSET = 17
PARITY = 1e-5


class Probability(nn.Module):
    """The net with its sigmoid, as it is shipped: input (n, 1, rows, columns), output the same shape in 0 … 1."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, image: Tensor) -> Tensor:
        """Chance of each pixel."""
        return torch.sigmoid(cast("Tensor", self.net(image)))


def export(recipe: Recipe, weights: Path, data: Path, folder: Path) -> None:
    """Write model.onnx, model.toml and selftest.npz. ValueError where ONNX Runtime and torch disagree.

    The threshold is the one with the best Dice on the validation patients of the bundle in ``data``.
    """
    net = recipe.network()
    net.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True)["net"])
    patients = {patient.name: patient for patient in lgg.read(data / recipe.bundle)}
    watched = [patients[name] for name in lgg.split(tuple(patients), recipe.seed).validation]
    chances = [probabilities(net, patient.normalised(recipe.intensity)) for patient in watched]
    manifest = deepcopy(recipe.manifest)
    (output,) = manifest["outputs"]
    output["threshold"] = best_threshold(chances, [patient.masks for patient in watched])
    model = Probability(net).eval()
    folder.mkdir(parents=True, exist_ok=True)
    tensor = _synthetic_slice(manifest, folder)
    file = folder / "model.onnx"
    to_onnx(model, tensor, file, manifest)
    with torch.inference_mode():
        expected = model(torch.from_numpy(tensor)).numpy()
    worst = disagreement(file, tensor, expected)
    if not worst <= PARITY:
        raise ValueError(f"ONNX Runtime and torch differ by {worst:.2g}, {PARITY:g} allowed")
    np.savez_compressed(folder / "selftest.npz", input=tensor, output=expected)
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    write_manifest(folder, {"schema": SCHEMA, **manifest, "sha256": sha256})


def to_onnx(model: nn.Module, tensor: NDArray[np.float32], file: Path, manifest: dict[str, Any]) -> None:
    """Trace a model; the number of slices in a batch stays free."""
    with warnings.catch_warnings():
        # the newer exporter writes opset 18 at least, whose Resize not every reader of ONNX knows
        warnings.simplefilter("ignore", DeprecationWarning)
        # the net checks its input's size; the answer is the same for every slice of the canvas
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        torch.onnx.export(
            model,
            (torch.from_numpy(tensor),),
            file,
            input_names=[manifest["input"]],
            output_names=[manifest["output"]],
            dynamic_axes={manifest["input"]: {0: "n"}, manifest["output"]: {0: "n"}},
            opset_version=OPSET,
            dynamo=False,
        )


def disagreement(file: Path, tensor: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """The greatest difference between what ONNX Runtime computes and what torch did."""
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {session.get_inputs()[0].name: tensor})
    return float(np.abs(np.asarray(output) - expected).max())


def write_manifest(folder: Path, table: dict[str, Any]) -> None:
    """Write model.toml. KeyError, ValueError or TypeError where the engine would not take it."""
    parse(folder, table)
    # tables last, or TOML would read what follows them as theirs
    ordered = dict(sorted(table.items(), key=lambda item: isinstance(item[1], (dict, list))))
    (folder / "model.toml").write_text(tomlkit.dumps(ordered), encoding="utf-8")


def _synthetic_slice(manifest: dict[str, Any], folder: Path) -> NDArray[np.float32]:
    """The FLAIR slice of the demo study with most tumour, prepared as the engine does it: (1, 1, rows, columns)."""
    prepare = parse(folder, {"schema": SCHEMA, **manifest, "sha256": "0" * 64}).prepare  # there are no weights yet
    with tempfile.TemporaryDirectory() as scratch:
        study = ensure_demo(Path(scratch))
        catalogue = scanned((study,), Path(scratch) / "scan")
        volume = loaded(next(stack for stack in catalogue.stacks if stack.role == "FLAIR"))
    truth, _ = demo_truth()
    tensor = Slicer.of(volume, prepare).tensor(int(truth.sum(axis=(1, 2)).argmax()))
    return tensor.astype(np.float16).astype(np.float32)  # rounded, so that the file is smaller; exact from here on
