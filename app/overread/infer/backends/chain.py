"""What runs a model here: a chain of ONNX Runtime providers, decided by self-test on this very machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from overread.domain.errors import UserError
from overread.domain.ports import Backend, Cancel
from overread.infer.backends.candidate import Candidate
from overread.infer.backends.onnx import OnnxBackend
from overread.infer.manifest import ModelSpec
from overread.infer.runtime import trouble
from overread.infer.selftest import SelfTest

# Fastest first. A link serves only after it has reproduced the model's self-test within the tolerance.
CHAIN = (
    Candidate("TensorrtExecutionProvider", "TensorRT", "fp16", (("trt_fp16_enable", "1"),)),
    Candidate("TensorrtExecutionProvider", "TensorRT", "fp32"),
    Candidate("CUDAExecutionProvider", "ONNX Runtime CUDA", "fp32"),
    Candidate("CPUExecutionProvider", "ONNX Runtime CPU", "fp32"),
)


@dataclass(frozen=True)
class Verdict:
    """Whether one link may serve a model here, and why not. `error` is the greatest deviation in the self-test."""

    candidate: Candidate
    passed: bool
    why: str
    error: float | None = None
    milliseconds: float | None = None


@dataclass(frozen=True)
class Served:
    """The backend that serves, and what was found about every link of the chain up to it.

    `contour` and `verify` run the further networks of a model that has them.
    """

    backend: Backend
    verdicts: tuple[Verdict, ...]
    contour: Backend | None = None
    verify: Backend | None = None

    @property
    def why(self) -> str:
        """Why nothing faster serves; "" where the first link does."""
        return "; ".join(f"{v.candidate.name} {v.candidate.precision}: {v.why}" for v in self.verdicts if not v.passed)


def _verdict(spec: ModelSpec, test: SelfTest, candidate: Candidate, backends: Sequence[Backend]) -> Verdict:
    """Run the self-test of each network on what would run it."""
    tolerance = spec.tolerance.get(candidate.precision)
    if tolerance is None:
        return Verdict(candidate, False, f"the model gives no tolerance for {candidate.precision}")
    error, took = 0.0, 0.0
    for probe, backend in zip(test.probes, backends, strict=True):
        backend.run(probe.input, Cancel())
        started = time.perf_counter()
        outputs = backend.run(probe.input, Cancel())
        took += (time.perf_counter() - started) * 1000 / len(probe.input)
        error = float(np.maximum(error, probe.error(outputs, tolerance)))  # not a number where one of them is
    if not error <= tolerance:
        return Verdict(candidate, False, f"self-test missed: off by {error:.2g}, {tolerance:g} allowed", error, took)
    return Verdict(candidate, True, "", error, took)


class Chain:
    """The links that this installation has, tried in order."""

    def __init__(self, candidates: Sequence[Candidate] = CHAIN) -> None:
        self._candidates = candidates

    @cached_property
    def built_in(self) -> frozenset[str]:
        """The providers that the installed ONNX Runtime was built with. UserError where none is installed."""
        try:
            import onnxruntime
        except ImportError as error:
            raise (trouble() or UserError("ONNX Runtime cannot be imported.", "Install it again.")) from error
        return frozenset(onnxruntime.get_available_providers())

    def judged(self, spec: ModelSpec, candidate: Candidate) -> tuple[Verdict, tuple[Backend, ...]]:
        """Start one link and test it; what runs each of the model's networks, nothing where that did not pass."""
        if candidate.provider not in self.built_in:
            return Verdict(candidate, False, "not part of the installed ONNX Runtime"), ()
        test = SelfTest(spec)
        try:
            backends = tuple(OnnxBackend(graph, candidate) for graph in spec.graphs)
            verdict = _verdict(spec, test, candidate, backends)
        except Exception as error:  # noqa: BLE001  a provider may fail with anything; the next link then serves
            return Verdict(candidate, False, str(error).splitlines()[0] if str(error) else type(error).__name__), ()
        return verdict, backends if verdict.passed else ()

    def serve(self, spec: ModelSpec) -> Served:
        """The first link that passes. UserError where none does."""
        verdicts: list[Verdict] = []
        for candidate in self._candidates:
            verdict, backends = self.judged(spec, candidate)
            verdicts.append(verdict)
            if backends:
                looks = dict(zip(spec.looks, backends[1:], strict=True))
                return Served(backends[0], tuple(verdicts), **looks)
        reasons = "; ".join(f"{v.candidate.name} {v.candidate.precision}: {v.why}" for v in verdicts)
        raise UserError(
            f"{spec.name} cannot run on this machine ({reasons}).", "“overread doctor” says what is missing."
        )
