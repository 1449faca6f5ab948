"""OpenVINO reproduces what ONNX Runtime gives, can be called off, and tells nobody that it was started."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from overread.domain.errors import Cancelled
from overread.domain.ports import Cancel
from overread.infer.backends import openvino as engine
from overread.infer.backends.candidate import Candidate
from overread.infer.backends.chain import CHAIN, Chain
from overread.infer.backends.openvino import OpenVino
from overread.infer.graphs import Graph
from overread.infer.manifest import ModelSpec, read
from overread.infer.selftest import SelfTest
from support.engines import called_off
from support.models import bright_model

BF16, FP32 = (candidate for candidate in CHAIN if candidate.engine == engine.ENGINE)


def test_it_reproduces_the_self_test_and_keeps_what_it_compiled(bright: ModelSpec, tmp_path: Path) -> None:
    chain = Chain((FP32,), tmp_path / "cache")
    served = chain.serve(bright)
    (verdict,) = served.verdicts
    assert (verdict.passed, verdict.why) == (True, "")
    assert verdict.error is not None
    assert verdict.error <= bright.tolerance["fp32"]
    assert list((tmp_path / "cache" / "compiled").glob("*/*.blob"))
    batch = np.zeros((3, 1, 256, 256), np.float32)
    assert served.backend.run(batch, Cancel())["probability"].shape == (3, 1, 256, 256)


def test_bf16_is_tried_where_the_model_allows_it_and_the_processor_computes_in_it(bright: ModelSpec) -> None:
    verdict, _ = Chain().judged(bright, BF16)
    assert verdict.why == "the model gives no tolerance for bf16"
    manifest = bright.folder / "model.toml"
    manifest.write_text(manifest.read_text("utf-8").replace("fp32 = 1e-4", "fp32 = 1e-4\nbf16 = 0.5"), "utf-8")
    verdict, backends = Chain().judged(read(bright.folder), BF16)
    if OpenVino().lack(BF16) is not None:
        assert (verdict.why, backends) == ("this processor does not compute in bf16", ())
    else:
        assert verdict.error is not None
        assert bright.tolerance["fp32"] < verdict.error <= 0.5, "so it did compute in another precision"


def test_half_precision_is_not_what_the_processor_computes_in(bright: ModelSpec) -> None:
    """Where a device goes on in full precision, nobody is told that it runs in half."""
    core_says = OpenVino()
    if "FP16" in core_says._capabilities("CPU"):
        pytest.skip("this processor does compute in fp16")
    with pytest.raises(RuntimeError, match=r"the device computes in b?f\d+, not in f16"):
        core_says.start(bright.graph, Candidate("CPU", "OpenVINO CPU", "fp16", engine=engine.ENGINE), None)


def test_a_run_is_called_off_while_it_runs(tmp_path: Path) -> None:
    slow = read(bright_model(tmp_path, work=80))
    backend = OpenVino().start(slow.graph, FP32, None)
    assert called_off(backend, np.zeros((1, 1, 256, 256), np.float32))


def test_what_was_called_off_before_does_not_run_and_it_serves_on(bright: ModelSpec) -> None:
    backend, cancel = OpenVino().start(bright.graph, FP32, None), Cancel()
    cancel.cancel()
    (probe,) = SelfTest(bright).probes
    with pytest.raises(Cancelled):
        backend.run(probe.input, cancel)
    answer = backend.run(probe.input, Cancel())
    np.testing.assert_allclose(answer["probability"], probe.outputs["probability"], atol=1e-4)


def test_one_operation_that_takes_long_is_not_waited_for(tmp_path: Path) -> None:
    """It is called off between operations; this network has but one that takes seconds, as on a large patch."""
    backend = OpenVino().start(_one_long_operation(tmp_path), FP32, None)
    tensor = np.ones((1, 1, 96, 96, 96), np.float32)
    started = time.perf_counter()
    expected = backend.run(tensor, Cancel())["sum"]
    whole, taken = time.perf_counter() - started, []
    for wait in (0.2, 0.3, 0.4):
        cancel = Cancel()
        timer = threading.Timer(wait * whole, lambda cancel=cancel, taken=taken: _call_off(cancel, taken))
        timer.start()
        with pytest.raises(Cancelled):
            backend.run(tensor, cancel)
        taken[-1] = time.perf_counter() - taken[-1]
        timer.join()
    assert max(taken) < 0.3 * whole, f"{taken} of {whole:.2f} s"
    np.testing.assert_array_equal(backend.run(tensor, Cancel())["sum"], expected)


def _call_off(cancel: Cancel, moments: list[float]) -> None:
    moments.append(time.perf_counter())
    cancel.cancel()


def _one_long_operation(folder: Path) -> Graph:
    """A network of one convolution of 25 × 25 × 25 voxels and 16 channels."""
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, 96, 96, 96])
    total = helper.make_tensor_value_info("sum", TensorProto.FLOAT, ["n", 16, 72, 72, 72])
    weights = numpy_helper.from_array(np.full((16, 1, 25, 25, 25), 1e-3, np.float32), "weights")
    graph = helper.make_graph(
        [helper.make_node("Conv", ["image", "weights"], ["sum"])], "long", [image], [total], [weights]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    (folder / "long.onnx").write_bytes(model)
    return Graph(folder / "long.onnx", hashlib.sha256(model).hexdigest(), "image", ("sum",))


def test_one_image_and_many_give_the_same(bright: ModelSpec) -> None:
    backend = OpenVino().start(bright.graph, FP32, None)
    batch = np.random.default_rng(3).normal(size=(3, 1, 256, 256)).astype(np.float32)
    together = backend.run(batch, Cancel())["probability"]
    for at in range(3):
        alone = backend.run(batch[at : at + 1], Cancel())["probability"]
        np.testing.assert_allclose(alone[0], together[at], atol=1e-5)


def test_answers_stay_what_they_were_when_the_next_slice_runs(bright: ModelSpec) -> None:
    backend = OpenVino().start(bright.graph, FP32, None)
    first = backend.run(np.zeros((1, 1, 256, 256), np.float32), Cancel())["probability"]
    before = first.copy()
    backend.run(np.ones((1, 1, 256, 256), np.float32), Cancel())
    np.testing.assert_array_equal(first, before)


def test_where_it_is_not_installed_it_is_named_with_what_to_do(
    bright: ModelSpec, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "find_spec", lambda name: None)
    verdict, _ = Chain().judged(bright, FP32)
    assert (verdict.why, verdict.fix) == ("openvino is not installed", 'pip install "overread[openvino]"')
    assert OpenVino().devices() == OpenVino().available == ()


def test_its_makers_are_not_told_that_it_was_started() -> None:
    """Importing openvino sends an event where openvino_telemetry can be imported: it is not, in our process."""
    code = (
        "import sys\n"
        "from overread.infer.backends.openvino import OpenVino\n"
        "assert OpenVino().available\n"
        "assert 'openvino' in sys.modules\n"
        "loaded = [name for name in sys.modules if name.startswith('openvino_telemetry') and sys.modules[name]]\n"
        "assert not loaded, loaded\n"
        "from openvino.tools import ovc\n"
        "assert type(ovc.telemetry).__module__ == 'openvino.tools.ovc.telemetry_stub', type(ovc.telemetry)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
