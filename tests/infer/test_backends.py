"""A link of the chain serves only after it has reproduced the self-test on this very machine."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from overread.domain.errors import Cancelled, UserError
from overread.domain.ports import Cancel
from overread.infer.backends.candidate import Candidate
from overread.infer.backends.chain import REFERENCE as CPU
from overread.infer.backends.chain import Chain
from overread.infer.backends.onnx import OnnxBackend
from overread.infer.manifest import ModelSpec, read
from overread.infer.selftest import SelfTest
from support.engines import called_off
from support.models import bright_model


def _reference(spec: ModelSpec, change: Callable[[np.ndarray], np.ndarray]) -> None:
    with np.load(spec.selftest) as stored:
        tensor, output = stored["input"], stored["output"]
    np.savez_compressed(spec.selftest, input=tensor, output=change(output))


def _manifest(spec: ModelSpec, old: str, new: str) -> ModelSpec:
    file = spec.folder / "model.toml"
    text = file.read_text("utf-8")
    assert old in text
    file.write_text(text.replace(old, new), "utf-8")
    return read(spec.folder)


def test_what_reproduces_the_self_test_serves(bright: ModelSpec) -> None:
    served = Chain((CPU,)).serve(bright)
    assert (served.backend.name, served.backend.precision, served.why) == ("ONNX Runtime CPU", "fp32", "")
    (verdict,) = served.verdicts
    assert verdict.passed
    assert verdict.error is not None
    assert verdict.error <= bright.tolerance["fp32"]


def test_the_next_link_serves_and_the_badge_says_why(bright: ModelSpec) -> None:
    served = Chain((Candidate("NoSuchProvider", "Wonder", "fp32"), CPU)).serve(bright)
    assert served.backend.name == "ONNX Runtime CPU"
    assert served.why == "Wonder fp32: not part of the installed ONNX Runtime"


def test_a_precision_without_a_tolerance_does_not_serve(bright: ModelSpec) -> None:
    served = Chain((Candidate(CPU.provider, "Half", "fp16"), CPU)).serve(bright)
    assert (served.backend.name, served.why) == (CPU.name, "Half fp16: the model gives no tolerance for fp16")


@pytest.mark.parametrize(("off", "passes"), [(0.5e-4, True), (2e-4, False), (np.nan, False)])
def test_the_tolerance_decides(bright: ModelSpec, off: float, passes: bool) -> None:
    def moved(output: np.ndarray) -> np.ndarray:
        output[0, 0, 17, 31] += np.float32(off)
        return output

    _reference(bright, moved)
    verdict, backends = Chain().judged(bright, CPU)
    assert verdict.passed is passes
    assert len(backends) == passes
    if np.isnan(off):
        assert verdict.why.startswith("self-test missed")
    else:
        assert verdict.error == pytest.approx(off, rel=1e-2)
        assert verdict.why == ("" if passes else "self-test missed: off by 0.0002, 0.0001 allowed")


def test_an_output_of_another_shape_does_not_serve(bright: ModelSpec) -> None:
    _reference(bright, lambda output: np.concatenate([output, output], axis=1))
    verdict, _ = Chain().judged(bright, CPU)
    assert (verdict.passed, verdict.error) == (False, float("inf"))


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [('input = "image"', 'input = "picture"', "picture"), ('output = "probability"', 'output = "odds"', "odds")],
)
def test_a_link_that_fails_says_so_and_harms_nothing(bright: ModelSpec, old: str, new: str, why: str) -> None:
    verdict, backends = Chain().judged(_manifest(bright, old, new), CPU)
    assert (verdict.passed, backends) == (False, ())
    assert why in verdict.why
    assert "\n" not in verdict.why


def test_weights_that_are_no_model(bright: ModelSpec) -> None:
    bright.weights.write_bytes(b"no model at all")
    digest = hashlib.sha256(b"no model at all").hexdigest()
    spec = _manifest(bright, bright.sha256, digest)
    with pytest.raises(UserError, match=r"^Bright cannot run on this machine \(.*ONNX Runtime CPU fp32: .+\)\."):
        Chain().serve(spec)


def test_weights_that_were_exchanged_after_the_manifest_was_read_do_not_serve(
    bright: ModelSpec, tmp_path: Path
) -> None:
    other = bright_model(tmp_path / "other", level=0.7)
    bright.weights.write_bytes((other / "model.onnx").read_bytes())
    bright.selftest.write_bytes((other / "selftest.npz").read_bytes())
    verdict, backends = Chain().judged(bright, CPU)
    assert backends == ()
    assert verdict.why == "model.onnx is not the file whose sha256 the manifest gives"


@pytest.mark.parametrize("content", [b"", b"garbage", b"PK\x03\x04garbage", None], ids=["empty", "text", "zip", "gone"])
def test_a_damaged_self_test_is_said_plainly(bright: ModelSpec, content: bytes | None) -> None:
    if content is None:
        bright.selftest.unlink()
    else:
        bright.selftest.write_bytes(content)
    with pytest.raises(UserError, match=r"^The self-test of bright cannot be read\."):
        Chain().serve(bright)


def test_a_self_test_cut_in_the_middle_is_damaged(bright: ModelSpec) -> None:
    whole = bytearray(bright.selftest.read_bytes())
    whole[2000:4000] = bytes(2000)
    bright.selftest.write_bytes(whole)
    with pytest.raises(UserError, match=r"^The self-test of bright cannot be read\."):
        SelfTest(bright)


@pytest.mark.parametrize(
    ("tensor", "output"),
    [((1, 1, 64, 64), (1, 1, 64, 64)), ((1, 1, 256, 256), (1, 0, 256, 256)), ((0, 1, 256, 256), (0, 1, 256, 256))],
)
def test_a_self_test_of_another_size_proves_nothing(
    bright: ModelSpec, tensor: tuple[int, ...], output: tuple[int, ...]
) -> None:
    np.savez_compressed(bright.selftest, input=np.zeros(tensor, np.float32), output=np.zeros(output, np.float32))
    with pytest.raises(UserError, match="cannot be read"):
        Chain().serve(bright)


def test_a_run_is_terminated_while_it_runs(tmp_path: Path) -> None:
    """Eighty 31×31 convolutions take seconds; the run is called off from another thread after it has begun."""
    slow = read(bright_model(tmp_path, work=80))
    backend = OnnxBackend(slow.graph, CPU)
    assert called_off(backend, np.zeros((1, 1, 256, 256), np.float32))


def test_what_was_called_off_before_does_not_run_and_the_backend_serves_on(bright: ModelSpec) -> None:
    backend, cancel = OnnxBackend(bright.graph, CPU), Cancel()
    cancel.cancel()
    (probe,) = SelfTest(bright).probes
    with pytest.raises(Cancelled):
        backend.run(probe.input, cancel)
    answer = backend.run(probe.input, Cancel())
    assert answer.keys() == probe.outputs.keys() == {"probability"}
    np.testing.assert_array_equal(answer["probability"], probe.outputs["probability"])
