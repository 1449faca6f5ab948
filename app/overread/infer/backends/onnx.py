"""Networks in ONNX Runtime: on the CPU, with CUDA, with TensorRT."""

from __future__ import annotations

import ctypes
import sys
import threading
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overread.domain.errors import Cancelled
from overread.domain.ports import Backend, Cancel
from overread.infer.backends.candidate import Candidate, Lack
from overread.infer.backends.machine import processor, threads
from overread.infer.graphs import Graph
from overread.infer.runtime import gpus, trouble

F32 = NDArray[np.float32]

CPU, CUDA, TENSORRT = "CPUExecutionProvider", "CUDAExecutionProvider", "TensorrtExecutionProvider"
_GPU_FIX = 'with an NVIDIA GPU and its driver: pip uninstall onnxruntime, then pip install "overread[gpu]"'


class OnnxRuntime:
    """ONNX Runtime as an engine of the chain."""

    def devices(self) -> tuple[Candidate, ...]:
        """None beyond the chain's own."""
        return ()

    @cached_property
    def built_in(self) -> frozenset[str]:
        """The providers that the installed library was built with; none where it cannot be imported."""
        try:
            import onnxruntime
        except ImportError:
            return frozenset()
        return frozenset(onnxruntime.get_available_providers())

    def lack(self, candidate: Candidate) -> Lack | None:
        """A library that is not installed, or was built without the provider."""
        if candidate.provider in self.built_in:
            return None
        if not self.built_in:
            wrong = trouble()
            if wrong is None:
                return Lack("ONNX Runtime cannot be imported", "install it again")
            return Lack("ONNX Runtime is not installed", 'pip install "overread[cpu]"')
        if candidate.provider in (CUDA, TENSORRT):
            return Lack("onnxruntime-gpu is not installed", _GPU_FIX)
        return Lack("not part of the installed ONNX Runtime")

    def remedy(self, candidate: Candidate) -> str:
        """On the CPU every sound model starts."""
        return "install the model again" if candidate.provider == CPU else _GPU_FIX

    def identity(self, candidate: Candidate) -> str:
        """The version with the processor and its threads, or the GPU and its driver."""
        import onnxruntime

        device = f"{processor()}, {threads()} threads" if candidate.provider == CPU else "; ".join(gpus())
        return f"onnxruntime {onnxruntime.__version__}, {device}"

    def start(self, graph: Graph, candidate: Candidate, folder: Path | None, *, cores: int = 0) -> Backend:
        """Load a network; TensorRT keeps its engine in `folder`, so that it is built once."""
        return OnnxBackend(graph, candidate, folder, cores)


class OnnxBackend:
    """A network in ONNX Runtime, with the provider that really serves."""

    def __init__(self, graph: Graph, candidate: Candidate, folder: Path | None = None, cores: int = 0) -> None:
        """Load the weights. RuntimeError where the provider does not come up."""
        import onnxruntime  # a slow import, wanted on the worker thread and not at start-up

        if candidate.provider != CPU:
            onnxruntime.preload_dlls()  # CUDA and cuDNN come as wheels and are not on the loader's path
        if candidate.provider == TENSORRT:
            with suppress(ImportError, OSError):  # what is missing then, the loader says below
                import tensorrt  # noqa: F401  its wheel loads libnvinfer, which is not on the loader's path either
        self._runtime: Any = onnxruntime
        self._candidate = candidate
        self._graph = graph
        self._session = onnxruntime.InferenceSession(
            graph.onnx(),
            _session_options(onnxruntime, cores or threads()),
            providers=[(candidate.provider, _options(candidate, folder))],
        )
        if self._session.get_providers()[0] != candidate.provider:
            raise RuntimeError(_not_started(onnxruntime, candidate.provider))
        captured = dict(candidate.options).get("enable_cuda_graph") == "1"
        self._bound = None if candidate.provider == CPU else Bound(onnxruntime, self._session, graph, "cuda", captured)

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
            if self._bound is not None:
                outputs = self._bound.run(tensor, options)
            else:
                outputs = self._session.run(list(names), {self._graph.input: tensor}, options)
        except Exception as error:
            if cancel.cancelled:
                raise Cancelled from error
            raise
        finally:
            forget()
        return {name: np.asarray(output, dtype=np.float32) for name, output in zip(names, outputs, strict=True)}


class Bound:
    """Inputs and outputs that stay in the device's memory, one pair for each shape (IO binding).

    With `captured` the kernels' launches are recorded once a shape and replayed (CUDA graphs), which the provider
    refuses for networks that it does not run as a whole. One run at a time.
    """

    def __init__(self, runtime: Any, session: Any, graph: Graph, device: str, captured: bool) -> None:
        self._runtime, self._session, self._graph = runtime, session, graph
        self._device, self._captured = device, captured
        self._lock = threading.Lock()
        self._bindings: dict[tuple[int, ...], tuple[Any, Any, str]] = {}

    def run(self, tensor: F32, options: Any) -> Sequence[F32]:
        """The outputs for an input, in the graph's order; `options` are ONNX Runtime's for this run."""
        with self._lock:
            if tensor.shape not in self._bindings:
                self._bindings[tensor.shape] = self._made(tensor)
            source, binding, number = self._bindings[tensor.shape]
            source.update_inplace(np.ascontiguousarray(tensor))
            if self._captured:
                options.add_run_config_entry("gpu_graph_id", number)
            self._session.run_with_iobinding(binding, options)
            return [np.array(output.numpy()) for output in binding.get_outputs()]  # the next run writes over them

    def _made(self, tensor: F32) -> tuple[Any, Any, str]:
        """Bind a shape: a first run, never captured, shows how large the outputs are."""
        source = self._runtime.OrtValue.ortvalue_from_numpy(np.ascontiguousarray(tensor), self._device, 0)
        binding = self._session.io_binding()
        binding.bind_ortvalue_input(self._graph.input, source)
        for name in self._graph.outputs:
            binding.bind_output(name, self._device)
        options = self._runtime.RunOptions()
        if self._captured:
            options.add_run_config_entry("gpu_graph_id", "-1")
        self._session.run_with_iobinding(binding, options)
        outputs = binding.get_outputs()
        binding.clear_binding_outputs()
        for name, output in zip(self._graph.outputs, outputs, strict=True):
            binding.bind_ortvalue_output(name, output)
        return source, binding, str(len(self._bindings) + 1)


def _session_options(runtime: Any, cores: int) -> Any:
    # Arena and memory pattern stay on, as they are by default: without the arena the largest of the models here took a
    # third more processor time, and the pattern made no difference to any (medians of 16 runs in turn, one core).
    options = runtime.SessionOptions()
    options.intra_op_num_threads = cores
    options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return options


def _options(candidate: Candidate, folder: Path | None) -> dict[str, str]:
    """The provider's options; TensorRT keeps its engine and its timings where there is a place for them."""
    options = dict(candidate.options)
    if candidate.provider == TENSORRT and folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        place = str(folder)
        options |= {"trt_engine_cache_enable": "1", "trt_engine_cache_path": place}
        options |= {"trt_timing_cache_enable": "1", "trt_timing_cache_path": place}
    return options


def _not_started(runtime: Any, provider: str) -> str:
    """Why a provider that is built in did not come up: the loader names the library that is missing."""
    name = provider.removesuffix("ExecutionProvider").lower()
    file = f"onnxruntime_providers_{name}.dll" if sys.platform == "win32" else f"libonnxruntime_providers_{name}.so"
    try:
        ctypes.CDLL(str(Path(runtime.__file__).parent / "capi" / file))
    except OSError as error:
        return str(error)
    return "the provider did not start: no GPU, or a driver that is too old"
