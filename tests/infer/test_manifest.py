"""`model.toml`: what is right is read as it is written, what is wrong is said in one plain sentence."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import pytest

from overread.domain.errors import UserError
from overread.domain.finding import Code
from overread.domain.geometry import Plane
from overread.infer.graphs import Merge
from overread.infer.manifest import Explain, find_models, read
from support.models import bright_model
from support.tiny import kinds_model, peaks_model, sides_model

# (what stands in the manifest, what stands there instead, what the reader is told)
WRONG = [
    ("schema = 1", "schema = 2", "schema 2 is not 1"),
    ('id = "bright"\n', "", "“id” is missing"),
    ('id = "bright"', "id = 7", "“id” is no text"),
    ('version = "1.0.0"', 'version = " "', "“version” is no text"),
    ('task = "segment"', 'task = "report"', "“task” is not segment, detect or classify"),
    ('task = "segment"', 'task = "classify"', "“explain” is missing"),
    ('task = "segment"', 'task = "detect"', "“merge” is missing"),
    ('task = "segment"', 'task = "segment"\nclass_output = "class"', "“classes” is missing"),
    ('dimensions = "2d"', 'dimensions = "4d"', "“dimensions” is not 2d, 2.5d or 3d"),
    ('dimensions = "2d"', 'dimensions = "2.5d"', "“neighbours” is a number of slices with “2.5d”"),
    ('plane = "axial"', 'plane = "axial"\nneighbours = 1', "“neighbours” is a number of slices with “2.5d”"),
    ('plane = "axial"', 'plane = "axial"\nfit = "crop"', "“fit” is not spacing, stretch or inside"),
    ('plane = "axial"', 'plane = "axial"\nchannels = "cmyk"', "“channels” is not grey or rgb"),
    ('"median-spread"', '"percentile", low = 1, high = 101', "“low” and “high” are no percentiles"),
    ("min_volume_ml = 0.5", "keep = 1.5", "“keep” is not between 0 and 1"),
    ("min_volume_ml = 0.5", "together = 1", "“together” is not true or false"),
    ('sha256 = "', 'sha256 = "0', "model.onnx is not the file whose sha256"),
    ("[prepare]", "[prepared]", "“prepare” is missing"),
    ('plane = "axial"', 'plane = "oblique"', "“plane” is not axial, coronal or sagittal"),
    ("spacing_mm = [0.9, 0.9]", "spacing_mm = [0.9]", "“spacing_mm” is not two numbers"),
    ("spacing_mm = [0.9, 0.9]", "spacing_mm = [0.9, 0.0]", "“spacing_mm” is not above 0"),
    ("spacing_mm = [0.9, 0.9]", "spacing_mm = [0.9, nan]", "“spacing_mm” is no number"),
    ("size = [256, 256]", "size = [256, -256]", "“size” is not above 0"),
    ('rule = "median-spread"', 'rule = "gamma"', "“rule” is not window, median-spread, percentile or z-score"),
    ("clip = [-3.0, 6.0]", "clip = [6.0, -3.0]", "“clip” does not run from low to high"),
    ("clip = [-3.0, 6.0]", 'clip = [-3.0, "6"]', "“clip” is no number"),
    ("52988006|SCT|Lesion", "52988006", "“concept” is no code"),
    ("12738006|SCT|Brain", "12738006||Brain", "“anatomy” is no code"),
    ("#F5B83D", "amber", "“colour” is not like #F5B83D"),
    ("threshold = 0.5", "threshold = 0", "“threshold” is not above 0"),
    ("threshold = 0.5", "threshold = true", "“threshold” is no number"),
    ("threshold = 0.5", "", "“threshold” is missing"),
    ("modality = ['MR']", 'modality = "MR"', "“modality” is no list of names"),
    ("fp32 = 1e-4", "fp32 = inf", "“tolerance” is no number"),
    ("fp32 = 1e-4", "fp32 = 1e-4\nfp8 = 0.1", "“tolerance” has no precision fp8, but fp32, fp16, bf16, int8"),
    ("[tolerance]\n", "[tolerance", "model.toml is no TOML"),
    ("[licence]", "[licensed]", "“licence” is missing"),
    ("[[outputs]]", "[outputs]", "a table stands where a value should"),
]


@pytest.fixture
def bright(tmp_path: Path) -> Path:
    return bright_model(tmp_path / "models")


def _rewrite(folder: Path, old: str, new: str) -> None:
    manifest = folder / "model.toml"
    text = manifest.read_text("utf-8")
    assert text.count(old) == 1
    manifest.write_text(text.replace(old, new), "utf-8")


def test_a_manifest_is_read_as_it_is_written(bright: Path) -> None:
    spec = read(bright)
    assert (spec.id, spec.version, spec.task, spec.dimensions) == ("bright", "1.0.0", "segment", "2d")
    assert spec.sha256 == hashlib.sha256((bright / "model.onnx").read_bytes()).hexdigest()
    assert (spec.prepare.plane, spec.prepare.spacing_mm, spec.prepare.size) == (Plane.AXIAL, (0.9, 0.9), (256, 256))
    (output,) = spec.outputs
    assert (output.channel, output.threshold, output.min_volume_ml) == (0, 0.5, 0.5)
    assert output.concept == Code("52988006", "SCT", "Lesion")
    assert (spec.gate.modality, spec.gate.role, spec.gate.slices, spec.gate.tilt_deg) == (
        ("MR",),
        ("FLAIR",),
        (3, 512),
        45,
    )
    assert spec.tolerance == {"fp32": 1e-4}


def test_what_each_task_adds_is_read(tmp_path: Path) -> None:
    kinds = read(kinds_model(tmp_path))
    assert (kinds.dimensions, kinds.prepare.neighbours, kinds.class_output) == ("2.5d", 1, "class")
    assert [(named.label, named.colour) for named in kinds.classes] == [("Rising", "#112233"), ("Level", "#445566")]
    assert (kinds.outputs[0].keep, kinds.graph.outputs) == (0.25, ("probability", "class"))

    sides = read(sides_model(tmp_path, fit="inside", channels="rgb"))
    assert (sides.prepare.fit, sides.prepare.channels, sides.prepare.spacing_mm) == ("inside", "rgb", None)
    assert (sides.prepare.intensity.low, sides.prepare.intensity.high, sides.prepare.intensity.clip) == (0, 255, (0, 1))
    assert (sides.explain, sides.graph.outputs) == (Explain("CAM", "bright"), ("probability", "activation"))
    assert (sides.classes, sides.merge, sides.asks_mm) == ((), None, False)

    peaks = read(peaks_model(tmp_path, contour=True))
    assert (peaks.merge, peaks.explain, peaks.asks_mm) == (Merge(0.3, 3.0), None, True)
    assert peaks.contour is not None
    assert (peaks.contour.size, peaks.contour.spacing_mm, peaks.contour.threshold) == ((32, 32), (0.75, 0.75), 0.5)
    assert (peaks.contour.graph.input, peaks.contour.graph.outputs) == ("crop", ("inside",))
    assert peaks.contour.graph.path == peaks.folder / "contour.onnx"
    assert (peaks.verify, list(peaks.looks)) == (None, ["contour"])

    twice = read(peaks_model(tmp_path, "twice", contour=True, verify=0.25))
    assert twice.verify is not None
    assert (twice.verify.size, twice.verify.spacing_mm, twice.verify.floor) == ((16, 16), (0.75, 0.75), 0.25)
    assert [graph.path.name for graph in twice.graphs] == ["model.onnx", "contour.onnx", "verify.onnx"]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("gap_mm = 3.0", "gap_mm = -1", "“gap_mm” is below 0"),
        ("overlap = 0.3", "overlap = 0", "“overlap” is not above 0 and at most 1"),
        ('"contour.onnx"', '"../model.onnx"', "“file” is no file of the model's folder"),
        ("spacing_mm = 0.75", "spacing_mm = 0", "“spacing_mm” is not above 0"),
        ("floor = 0.5", "floor = 0", "“floor” is not above 0 and at most 1"),
        ("floor = 0.5", "floor = 0.5\nagain = 2", "“again” is not above 0 and at most 1"),
        ('"verify.onnx"', '"models/verify.onnx"', "“file” is no file of the model's folder"),
        ("[merge]", "[[outputs]]\nlabel = 'x'\n[merge]", "is missing"),
    ],
)
def test_what_is_wrong_with_a_detector(tmp_path: Path, old: str, new: str, told: str) -> None:
    folder = peaks_model(tmp_path, contour=True, verify=0.5)
    _rewrite(folder, old, new)
    with pytest.raises(UserError, match=r"^The model in peaks cannot be used: ") as caught:
        read(folder)
    assert told in caught.value.title


@pytest.mark.parametrize(("old", "new", "told"), WRONG)
def test_what_is_wrong_is_said_in_a_plain_sentence(bright: Path, old: str, new: str, told: str) -> None:
    _rewrite(bright, old, new)
    with pytest.raises(UserError) as caught:
        read(bright)
    assert told in caught.value.title
    assert re.fullmatch(r"The model in bright cannot be used: [^\n]+\.", caught.value.title)
    assert caught.value.hint


@pytest.mark.parametrize("missing", ["model.toml", "model.onnx"])
def test_a_missing_file_is_named(bright: Path, missing: str) -> None:
    (bright / missing).unlink()
    with pytest.raises(UserError, match=rf"^The model in bright cannot be read: {missing}: No such file"):
        read(bright)


def test_text_that_is_no_text(bright: Path) -> None:
    (bright / "model.toml").write_bytes(b"\xff\xfe schema")
    with pytest.raises(UserError, match=r"no UTF-8 text\."):
        read(bright)


def test_weights_that_were_exchanged_are_not_run(bright: Path) -> None:
    weights = bytearray((bright / "model.onnx").read_bytes())
    weights[-1] ^= 1
    (bright / "model.onnx").write_bytes(weights)
    with pytest.raises(UserError, match="is not the file whose sha256"):
        read(bright)


def test_broken_models_do_not_take_the_others_along(tmp_path: Path) -> None:
    for name in ("alpha", "beta", "gamma", "omega"):
        bright_model(tmp_path, model_id=name)
    _rewrite(tmp_path / "alpha", "[prepare]", "[prepare")
    _rewrite(tmp_path / "gamma", "[gate]", "[door]")
    (tmp_path / "delta").mkdir()
    (tmp_path / "delta" / "model.toml").mkdir()
    found, broken = find_models((tmp_path / "absent", tmp_path))
    assert [spec.id for spec in found] == ["beta", "omega"]
    assert [error.title.split()[3] for error in broken] == ["alpha", "delta", "gamma"]


def test_the_readers_own_folder_wins(tmp_path: Path) -> None:
    own, shipped = (bright_model(tmp_path / where, level=level) for where, level in (("own", 0.4), ("shipped", 0.6)))
    found, broken = find_models((own.parent, shipped.parent))
    assert ([spec.folder for spec in found], broken) == ([own], ())
    _rewrite(own, 'task = "segment"', 'task = "detect"')
    found, broken = find_models((own.parent, shipped.parent))
    assert ([spec.folder for spec in found], len(broken)) == ([shipped], 1)
