"""A network by itself, without the slice's way there and back."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overread.commands.benchmarks.rows import Row, alternately
from overread.commands.engine import models
from overread.domain.ports import Cancel
from overread.infer.backends.candidate import Engine
from overread.infer.backends.chain import CHAIN, Chain
from overread.infer.backends.onnx import OnnxRuntime
from overread.infer.backends.openvino import ENGINE, OpenVino
from overread.infer.manifest import ModelSpec
from overread.infer.selftest import SelfTest

MODEL = "glioma-flair"
_RUNS = 30


def slice_model(scratch: Path) -> list[Row]:
    """One slice through the network of a model on one and two cores, by each link of the CPU that passes."""
    spec = next((detector.spec for detector in models() if detector.id == MODEL), None)
    if spec is None:
        return []
    engines: dict[str, Engine] = {"onnxruntime": OnnxRuntime(), ENGINE: OpenVino()}
    chain, tensor = Chain(engines=engines), SelfTest(spec).probes[0].input[:1]
    passing = [link for link in CHAIN if link.provider.startswith("CPU") and chain.judged(spec, link)[0].passed]
    rows: list[Row] = []
    for cores in (1, 2):
        peer, measured = _eager(spec, tensor, cores), list[Row]()
        for link in passing:
            backend = engines[link.engine].start(spec.graph, link, None, cores=cores)
            values, theirs = alternately(partial(backend.run, tensor, Cancel()), peer or (lambda: None), _RUNS)
            measured.append(
                Row(
                    f"slice-model {spec.id}, {link.label}, {cores} of {os.cpu_count()} cores",
                    "ms",
                    values,
                    f"{'×'.join(str(n) for n in tensor.shape)}; {_PEER if peer is not None else _NO_PEER}",
                    "torch eager" if peer is not None else "",
                    theirs if peer is not None else (),
                )
            )
        best = min(measured, key=lambda row: row.p50, default=None)  # the one that would serve is held to the figure
        held = {"limit": 3.0, "on": "ratio"} if peer is not None else {}
        rows += [replace(row, **held) if row is best else row for row in measured]  # type: ignore[arg-type]
    return rows


_PEER = "torch eager runs the recipe's net, with fresh weights, on as many cores"
_NO_PEER = "torch eager was not measured: the extra train is not installed, or this is not the repository's folder"


def _eager(spec: ModelSpec, tensor: NDArray[np.float32], cores: int) -> Callable[[], object] | None:
    """The net of the model's recipe in PyTorch; None where there is no PyTorch or no recipe."""
    try:
        import torch

        from models.training import networks, recipe
    except ImportError:
        return None
    file = Path(networks.__file__).with_name(f"{spec.id.replace('-', '_')}.toml")
    words = dict(recipe.read(file).network)
    net = networks.build(words.pop("name", "cmunext"), channels=tensor.shape[1], **words).eval()
    given = torch.from_numpy(tensor)

    def run() -> object:
        before = torch.get_num_threads()
        torch.set_num_threads(cores)
        try:
            with torch.inference_mode():
                return torch.sigmoid(net(given))
        finally:
            torch.set_num_threads(before)

    return run
