"""A net as a bare ONNX graph, and how fast such graphs are, timed side by side."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from models.training.export import OPSET

F32 = NDArray[np.float32]
_AXES = {0: "n", 2: "rows", 3: "columns"}


def bare_graph(net: nn.Module, tensor: F32, file: Path) -> None:
    """Write a net as it is, without what `export` puts behind it; n, rows and columns of its input stay free.

    ``tensor`` (n, channels, rows, columns) is what it is traced with. Outputs are called output0, output1 …
    """
    net.eval()
    with torch.inference_mode():
        given = net(torch.from_numpy(tensor))
    names = [f"output{at}" for at in range(len(given) if isinstance(given, tuple) else 1)]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # as in `export`: the newer exporter needs opset 18
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
        # a slice of a U-Net's padding stays in the graph as it is
        warnings.filterwarnings("ignore", "Constant folding", UserWarning)
        torch.onnx.export(
            net,
            (torch.from_numpy(tensor),),
            file,
            input_names=["image"],
            output_names=names,
            dynamic_axes={"image": _AXES, **{name: {0: "n"} for name in names}},
            opset_version=OPSET,
            dynamo=False,
        )


class Graph(nn.Module):
    """An ONNX graph in the place of the net it came from, so that the same code measures both."""

    def __init__(self, file: Path, threads: int = 1) -> None:
        super().__init__()
        self.place = nn.Parameter(torch.zeros(0))  # says that it stands on the CPU
        self._session = session(file, threads)

    def forward(self, image: Tensor) -> Tensor | tuple[Tensor, ...]:
        """What the graph gives for (n, channels, rows, columns): a tensor, or a tuple of as many as it has outputs."""
        answers = self._session.run(None, {self._session.get_inputs()[0].name: image.numpy()})
        tensors = tuple(torch.from_numpy(np.asarray(answer, np.float32)) for answer in answers)
        return tensors if len(tensors) > 1 else tensors[0]


def session(file: Path, threads: int, shape: Sequence[int] = ()) -> Any:
    """Open a graph on the CPU; with ``shape`` (n, channels, rows, columns) its free axes are fixed to that."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    if shape:
        for axis, name in _AXES.items():
            options.add_free_dimension_override_by_name(name, shape[axis])
    return onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])


@dataclass(frozen=True)
class Timing:
    """Milliseconds a run, and how the time compares with the first graph's (median over turns of the ratio)."""

    median: float
    p95: float
    ratio: float


def timed(files: Mapping[str, Path], tensor: F32, threads: int, turns: int = 40) -> dict[str, Timing]:
    """Time graphs on ``tensor`` in turn, so that what else the machine does falls on all alike; five turns warm up."""
    sessions = {name: session(file, threads, tensor.shape) for name, file in files.items()}
    table = np.empty((turns + 5, len(sessions)))
    for turn in range(len(table)):
        for at, one in enumerate(sessions.values()):
            began = time.perf_counter()
            one.run(None, {one.get_inputs()[0].name: tensor})
            table[turn, at] = (time.perf_counter() - began) * 1000
    table = table[5:]
    ratios = np.median(table / table[:, :1], axis=0)
    return {
        name: Timing(float(np.median(times)), float(np.percentile(times, 95)), float(ratio))
        for name, times, ratio in zip(sessions, table.T, ratios, strict=True)
    }
