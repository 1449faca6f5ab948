"""What runs a model here: a chain of ONNX Runtime providers, decided by self-test on this very machine."""

from __future__ import annotations

import os
import time
import zlib
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from overread.domain.errors import Cancelled, UserError
from overread.domain.ports import Backend, Cancel
from overread.infer.manifest import ModelSpec
from overread.infer.runtime import trouble

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class Candidate:
    """One link of the chain: a provider of ONNX Runtime and the precision it is asked for."""

    provider: str
    name: str
    precision: str
    options: tuple[tuple[str, str], ...] = ()


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
    """The backend that serves, and what was found about every link of the chain up to it."""

    backend: Backend
    verdicts: tuple[Verdict, ...]

    @property
    def why(self) -> str:
        """Why nothing faster serves; "" where the first link does."""
        return "; ".join(f"{v.candidate.name} {v.candidate.precision}: {v.why}" for v in self.verdicts if not v.passed)


class OnnxBackend:
    """A model in ONNX Runtime, with the provider that really serves."""

    def __init__(self, spec: ModelSpec, candidate: Candidate) -> None:
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
        self._spec = spec
        self._session = onnxruntime.InferenceSession(
            spec.onnx(), options, providers=[(candidate.provider, dict(candidate.options))]
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

    def run(self, tensor: F32, cancel: Cancel) -> F32:
        """Run once; ends early with Cancelled when called off."""
        options = self._runtime.RunOptions()

        def terminate() -> None:
            options.terminate = True

        forget = cancel.on_cancel(terminate)
        try:
            (output,) = self._session.run([self._spec.output_name], {self._spec.input_name: tensor}, options)
        except Exception as error:
            if cancel.cancelled:
                raise Cancelled from error
            raise
        finally:
            forget()
        return np.asarray(output, dtype=np.float32)


class SelfTest:
    """A model's small input with its reference output."""

    def __init__(self, spec: ModelSpec) -> None:
        """UserError where the file is missing or damaged."""
        self._spec = spec
        try:
            with spec.selftest.open("rb") as file, np.load(file) as stored:
                self.input, self.output = stored["input"], stored["output"]
            fits = self.input.shape[2:] == spec.prepare.size and self.output.shape[1] >= len(spec.outputs)
            if not fits or not len(self.input):
                raise ValueError("the self-test is not of the size that the manifest gives")
        except (OSError, ValueError, KeyError, IndexError, EOFError, BadZipFile, zlib.error) as error:
            raise UserError(
                f"The self-test of {spec.id} cannot be read.", "Install the model again: nothing runs unverified."
            ) from error

    def verdict(self, candidate: Candidate, backend: Backend) -> Verdict:
        """Run the self-test on a backend."""
        tolerance = self._spec.tolerance.get(candidate.precision)
        if tolerance is None:
            return Verdict(candidate, False, f"the model gives no tolerance for {candidate.precision}")
        backend.run(self.input, Cancel())
        started = time.perf_counter()
        output = backend.run(self.input, Cancel())
        took = (time.perf_counter() - started) * 1000 / len(self.input)
        error = float(np.abs(output - self.output).max()) if output.shape == self.output.shape else float("inf")
        if not error <= tolerance:
            return Verdict(
                candidate, False, f"self-test missed: off by {error:.2g}, {tolerance:g} allowed", error, took
            )
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

    def judged(self, spec: ModelSpec, candidate: Candidate) -> tuple[Verdict, Backend | None]:
        """Start one link and test it."""
        if candidate.provider not in self.built_in:
            return Verdict(candidate, False, "not part of the installed ONNX Runtime"), None
        test = SelfTest(spec)
        try:
            backend = OnnxBackend(spec, candidate)
            verdict = test.verdict(candidate, backend)
        except Exception as error:  # noqa: BLE001  a provider may fail with anything; the next link then serves
            return Verdict(candidate, False, str(error).splitlines()[0] if str(error) else type(error).__name__), None
        return verdict, backend if verdict.passed else None

    def serve(self, spec: ModelSpec) -> Served:
        """The first link that passes. UserError where none does."""
        verdicts: list[Verdict] = []
        for candidate in self._candidates:
            verdict, backend = self.judged(spec, candidate)
            verdicts.append(verdict)
            if backend is not None:
                return Served(backend, tuple(verdicts))
        reasons = "; ".join(f"{v.candidate.name} {v.candidate.precision}: {v.why}" for v in verdicts)
        raise UserError(
            f"{spec.name} cannot run on this machine ({reasons}).", "“overread doctor” says what is missing."
        )
