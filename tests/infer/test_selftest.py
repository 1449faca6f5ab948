"""Every output of every network of a model is held against the self-test before it serves."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from overread.domain.errors import UserError
from overread.domain.ports import Cancel
from overread.infer.backends.chain import REFERENCE as CPU
from overread.infer.backends.chain import Chain
from overread.infer.manifest import ModelSpec, read
from overread.infer.selftest import Probe, SelfTest
from support.tiny import kinds_model, peaks_model, sides_model


def stored(spec: ModelSpec) -> dict[str, np.ndarray]:
    with np.load(spec.selftest) as file:
        return dict(file)


def outlining(folder: Path) -> Path:
    return peaks_model(folder, contour=True)


def looking_twice(folder: Path) -> Path:
    return peaks_model(folder, contour=True, verify=0.5)


# (model, which array of its self-test moves by how much, whether it serves then)
MOVED = [
    (kinds_model, "probability", 0.5e-4, True),
    (kinds_model, "probability", 2e-4, False),
    (kinds_model, "class", 0.5e-4, True),
    (kinds_model, "class", 2e-4, False),
    (sides_model, "probability", -2e-3, False),
    (sides_model, "activation", 2e-2, False),
    (outlining, "contour_output", 2e-4, False),
    (outlining, "contour_output", 0.5e-4, True),
    (outlining, "contour_output", np.nan, False),
    (outlining, "contour_input", 1e-3, False),
    (looking_twice, "verify_output", 2e-4, False),
    (looking_twice, "verify_output", 0.5e-4, True),
    (looking_twice, "verify_output", np.nan, False),
    (looking_twice, "contour_output", 2e-4, False),
]


@pytest.mark.parametrize(("make", "name", "by", "serves"), MOVED)
def test_every_output_counts(tmp_path: Path, make: Callable[[Path], Path], name: str, by: float, serves: bool) -> None:
    spec = read(make(tmp_path))
    arrays = stored(spec)
    arrays[name] = arrays[name].copy()
    arrays[name].reshape(-1)[7 % arrays[name].size] += np.float32(by)
    np.savez_compressed(spec.selftest, **arrays)
    verdict, backends = Chain().judged(spec, CPU)
    assert verdict.passed is serves, verdict.why
    assert len(backends) == (len(spec.graphs) if serves else 0)


@pytest.mark.parametrize("make", [kinds_model, sides_model, outlining, looking_twice])
def test_what_is_missing_or_of_another_size_proves_nothing(tmp_path: Path, make: Callable[[Path], Path]) -> None:
    spec = read(make(tmp_path))
    arrays = stored(spec)
    for name, array in arrays.items():
        others = {key: value for key, value in arrays.items() if key != name}
        np.savez_compressed(spec.selftest, **others)
        with pytest.raises(UserError, match="cannot be read"):
            SelfTest(spec)
        np.savez_compressed(spec.selftest, **others, **{name: array[..., :-1]})
        if name != "activation":  # maps may have any size
            with pytest.raises(UserError, match="cannot be read"):
                SelfTest(spec)
        np.savez_compressed(spec.selftest, **others, **{name: array[:1]})
        with pytest.raises(UserError, match="cannot be read"):
            SelfTest(spec)


def test_all_networks_of_a_detector_serve(tmp_path: Path) -> None:
    served = Chain((CPU,)).serve(read(looking_twice(tmp_path)))
    assert list(served.looks) == ["contour", "verify"]
    assert set(served.looks["verify"].run(np.zeros((3, 1, 16, 16), np.float32), Cancel())) == {"chance"}
    assert Chain((CPU,)).serve(read(peaks_model(tmp_path, "plain"))).looks == {}
    alone = Chain((CPU,)).serve(read(peaks_model(tmp_path, "alone", verify=0.5)))
    assert list(alone.looks) == ["verify"]


def test_an_exchanged_second_network_is_not_run(tmp_path: Path) -> None:
    folder = outlining(tmp_path)
    (folder / "contour.onnx").write_bytes((folder / "model.onnx").read_bytes())
    with pytest.raises(UserError, match=r"contour\.onnx is not the file whose sha256"):
        read(folder)
    (folder / "contour.onnx").unlink()
    with pytest.raises(UserError, match=r"contour\.onnx: No such file"):
        read(folder)


def boxes(*rows: tuple[float, ...]) -> dict[str, np.ndarray]:
    return {"boxes": np.array([rows], np.float32)}


def test_boxes_count_by_the_canvas_and_where_their_order_is_sure() -> None:
    """Edges are compared as parts of the canvas; of boxes that are equally sure, either may come first."""
    first, second, third = (10, 10, 20, 20, 0.9), (50, 50, 60, 60, 0.5), (80, 80, 90, 90, 0.5)
    last = (5, 5, 6, 6, 0.2)
    probe = Probe(np.zeros((1, 1, 4, 4), np.float32), boxes(first, second, third, last), "boxes", (200, 100))
    assert probe.error(boxes(first, third, second, last), 1e-3) == 0
    assert probe.error(boxes(first, second, third, (9, 9, 9, 9, 0.2)), 1e-3) == 0, "it may stand for one left out"
    assert probe.error(boxes((10, 10, 20, 24, 0.9), second, third, last), 1e-3) == pytest.approx(4 / 200)
    assert probe.error(boxes(first, second, third, (*last[:4], 0.23)), 1e-3) == pytest.approx(0.03, abs=1e-6)
    assert np.isnan(probe.error(boxes((10, np.nan, 20, 20, 0.9), second, third, last), 1e-3))
    assert probe.error(boxes(first, second, third), 1e-3) == float("inf")


def test_numbers_of_any_unit_count_by_the_greatest_of_them() -> None:
    activations = {"a": np.array([[4.0, -40.0]], np.float32)}
    probe = Probe(np.zeros((1, 1, 4, 4), np.float32), activations)
    assert probe.error({"a": np.array([[4.4, -40.0]], np.float32)}, 1e-3) == pytest.approx(0.01, rel=1e-4)
