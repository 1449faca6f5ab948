"""A network in ONNX Runtime."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overread.domain.errors import Cancelled
from overread.domain.ports import Cancel
from overread.infer.backends.candidate import Candidate
from overread.infer.graphs import Graph

F32 = NDArray[np.float32]


class OnnxBackend:
    """A network in ONNX Runtime, with the provider that really serves."""

    def __init__(self, graph: Graph, candidate: Candidate) -> None:
        """Load the weights. RuntimeError where the provider does not come up."""
        import onnxruntime  # a slow import, wanted on the worker thread and not at start-up

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = max(1, (os.cpu_count() or 2) - 1)  # one core stays for the window
        options.inter_op_num_threads = 1
        options.log_severity_level = 4
        if candidate.provider != "CPUExecutionProvider":
            onnxruntime.preload_dlls()  # CUDA and cuDNN come as wheels and are not on the loader's path
        if candidate.provider == "TensorrtExecutionProvider":
            with suppress(ImportError, OSError):  # what is missing then, the provider says itself
                import tensorrt  # noqa: F401  its wheel loads libnvinfer, which is not on the loader's path either
        self._runtime: Any = onnxruntime
        self._candidate = candidate
        self._graph = graph
        self._session = onnxruntime.InferenceSession(
            graph.onnx(), options, providers=[(candidate.provider, dict(candidate.options))]
        )
        if self._session.get_providers()[0] != candidate.provider:
            raise RuntimeError("the provider did not start (driver or libraries missing)")

    @property
    def name(self) -> str:
        """What serves."""
        return self._candidate.name

    @property
    def precision(self) -> str:
        """The number format asked for."""
        return self._candidate.precision

    def run(self, tensor: F32, cancel: Cancel) -> Mapping[str, F32]:
        """Run once; ends early with Cancelled when called off."""
        options = self._runtime.RunOptions()

        def terminate() -> None:
            options.terminate = True

        names = self._graph.outputs
        forget = cancel.on_cancel(terminate)
        try:
            outputs = self._session.run(list(names), {self._graph.input: tensor}, options)
        except Exception as error:
            if cancel.cancelled:
                raise Cancelled from error
            raise
        finally:
            forget()
        return {name: np.asarray(output, dtype=np.float32) for name, output in zip(names, outputs, strict=True)}
