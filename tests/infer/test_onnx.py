"""What ONNX Runtime is asked for on a GPU, as far as that can be told without one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from overread.domain.ports import Cancel
from overread.infer.backends import onnx as engine
from overread.infer.backends.chain import CHAIN, REFERENCE, Chain
from overread.infer.backends.onnx import Bound, OnnxBackend, OnnxRuntime, _options
from overread.infer.manifest import ModelSpec


def test_inputs_and_outputs_that_stay_on_the_device_give_the_same(bright: ModelSpec) -> None:
    """Bound to the processor's own memory, which works as a GPU's does but for the copies and the capture."""
    session = onnxruntime.InferenceSession(bright.weights, providers=["CPUExecutionProvider"])
    bound = Bound(onnxruntime, session, bright.graph, "cpu", captured=False)
    backend = OnnxBackend(bright.graph, REFERENCE)
    rng = np.random.default_rng(3)
    answers = []
    for count in (1, 2, 1, 2):
        tensor = rng.normal(size=(count, 1, 256, 256)).astype(np.float32)
        (answer,) = bound.run(tensor, onnxruntime.RunOptions())
        np.testing.assert_array_equal(answer, backend.run(tensor, Cancel())["probability"])
        answers.append((answer, answer.copy()))
    assert len(bound._bindings) == 2, "one pair a shape"
    for answer, before in answers:
        np.testing.assert_array_equal(answer, before, "a later run wrote over an answer")


class Recorder:
    """A session that notes which capture each run belongs to."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self._session = session
        self.captures: list[str] = []

    def io_binding(self) -> onnxruntime.IOBinding:
        return self._session.io_binding()

    def run_with_iobinding(self, binding: onnxruntime.IOBinding, options: onnxruntime.RunOptions) -> None:
        self.captures.append(options.get_run_config_entry("gpu_graph_id"))
        self._session.run_with_iobinding(binding)


def test_each_shape_is_captured_by_itself_and_the_first_look_at_it_is_not(bright: ModelSpec) -> None:
    session = Recorder(onnxruntime.InferenceSession(bright.weights, providers=["CPUExecutionProvider"]))
    bound = Bound(onnxruntime, session, bright.graph, "cpu", captured=True)
    for count in (1, 1, 2, 1):
        bound.run(np.zeros((count, 1, 256, 256), np.float32), onnxruntime.RunOptions())
    assert session.captures == ["-1", "1", "1", "-1", "2", "1"]


def test_tensorrt_keeps_what_it_built_where_there_is_a_place(tmp_path: Path) -> None:
    fp16 = CHAIN[-1]
    assert (fp16.name, fp16.precision) == ("TensorRT", "fp16")
    assert _options(fp16, None) == {"trt_fp16_enable": "1"}
    place = tmp_path / "compiled" / "key"
    assert _options(fp16, place) == {
        "trt_fp16_enable": "1",
        "trt_engine_cache_enable": "1",
        "trt_engine_cache_path": str(place),
        "trt_timing_cache_enable": "1",
        "trt_timing_cache_path": str(place),
    }
    assert place.is_dir()
    assert _options(REFERENCE, place) == {}


@pytest.mark.parametrize(
    ("found", "why", "fix"),
    [
        (("CPUExecutionProvider",), "onnxruntime-gpu is not installed", "overread[gpu]"),
        ((), "ONNX Runtime is not installed", "overread[cpu]"),
    ],
)
def test_what_is_missing_is_named_with_what_to_do(
    bright: ModelSpec, monkeypatch: pytest.MonkeyPatch, found: tuple[str, ...], why: str, fix: str
) -> None:
    runtime = OnnxRuntime()
    runtime.built_in = frozenset(found)
    monkeypatch.setattr(engine, "trouble", lambda: None if found else UserWarning())
    cuda = next(candidate for candidate in CHAIN if candidate.name == "ONNX Runtime CUDA")
    verdict, backends = Chain((cuda,), engines={"onnxruntime": runtime}).judged(bright, cuda)
    assert (verdict.passed, verdict.why, backends) == (False, why, ())
    assert fix in verdict.fix


def test_a_library_that_a_provider_lacks_is_named_by_the_loader(tmp_path: Path) -> None:
    class Runtime:
        __file__ = str(tmp_path / "onnxruntime" / "__init__.py")

    said = engine._not_started(Runtime, "CUDAExecutionProvider")
    assert "onnxruntime_providers_cuda" in said
