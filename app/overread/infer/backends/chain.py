"""The chain of what may run models here, decided by self-test on this very machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from overread.domain.ports import Backend
from overread.infer.backends import openvino
from overread.infer.backends.book import Book
from overread.infer.backends.candidate import Candidate, Engine
from overread.infer.backends.judge import Judge, Verdict
from overread.infer.backends.onnx import CPU, CUDA, TENSORRT, OnnxRuntime
from overread.infer.backends.openvino import OpenVino
from overread.infer.backends.serving import Served
from overread.infer.manifest import ModelSpec

# What every model runs on, and what its makers measured it with.
REFERENCE = Candidate(CPU, "ONNX Runtime CPU", "fp32")

# In the order in which they are tried: what starts at once comes first, what has to be built comes last.
CHAIN = (
    REFERENCE,
    Candidate("CPU", "OpenVINO CPU", "bf16", engine=openvino.ENGINE),
    Candidate("CPU", "OpenVINO CPU", "fp32", engine=openvino.ENGINE),
    Candidate(CUDA, "ONNX Runtime CUDA", "fp32"),
    Candidate(CUDA, "ONNX Runtime CUDA graph", "fp32", (("enable_cuda_graph", "1"),)),
    Candidate(TENSORRT, "TensorRT", "fp32"),
    Candidate(TENSORRT, "TensorRT", "fp16", (("trt_fp16_enable", "1"),)),
)


class Chain:
    """The links that this installation may have, or those given. With a folder what is found out is kept there."""

    def __init__(
        self,
        candidates: Sequence[Candidate] | None = None,
        folder: Path | None = None,
        engines: Mapping[str, Engine] | None = None,
    ) -> None:
        self._given = candidates
        self._book = Book(folder) if folder is not None else None
        self._engines: Mapping[str, Engine] = engines or {"onnxruntime": OnnxRuntime(), openvino.ENGINE: OpenVino()}

    @cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """The links, in the order in which they are tried; devices that only some machines have come with the rest."""
        if self._given is not None:
            return tuple(self._given)
        return CHAIN + tuple(found for engine in self._engines.values() for found in engine.devices())

    def knows(self, spec: ModelSpec) -> bool:
        """Whether a link of the model has passed here before, as far as that can be told without starting anything."""
        return self._book is not None and self._book.passed(f"{spec.id} ")

    def judged(self, spec: ModelSpec, candidate: Candidate) -> tuple[Verdict, tuple[Backend, ...]]:
        """Start one link and test it anew; what runs each of the model's networks, nothing where that did not pass."""
        return Judge(spec, self._engines, self._book).judged(candidate)

    def serve(self, spec: ModelSpec) -> Served:
        """The fastest link that is known to pass, else the first that does. UserError where none does."""
        return Served(spec.name, self.candidates, Judge(spec, self._engines, self._book))
