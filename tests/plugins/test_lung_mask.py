"""The example plug-in: installed as anybody would install it, found by its entry point, right about lungs."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import textwrap
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom as hd
import numpy as np
import pydicom
import pytest
from hatchling.builders.wheel import WheelBuilder
from overread_lung_mask import LungMask
from scipy import ndimage

from overread import paths
from overread.__main__ import main
from overread.domain.study import Stack
from overread.domain.volume import Volume
from overread.session.plugins import load_plugins
from support.models import bright_model
from support.series import head_like, write_series
from support.values import box_grid, volume

PROJECT = Path(__file__).resolve().parents[2] / "plugins" / "lung-mask"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("wheel")
    (built,) = WheelBuilder(str(PROJECT)).build(directory=str(out), versions=["standard"])
    return Path(built)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wheel: Path) -> Path:
    """A place for packages with the example installed in it, and no model on the machine but the test's own."""
    folder = tmp_path / "site"
    with zipfile.ZipFile(wheel) as members:
        members.extractall(folder)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setattr(paths, "model_folders", lambda: (paths.data() / "models",))
    return folder


def install(site: Path, name: str, source: str) -> None:
    """Install a one-module project that gives its DETECTORS at the entry point."""
    (site / f"{name}.py").write_text(textwrap.dedent(source), "utf-8")
    info = site / f"{name}-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n", "utf-8")
    (info / "entry_points.txt").write_text(f"[overread.plugins]\n{name} = {name}:DETECTORS\n", "utf-8")


@pytest.fixture(autouse=True)
def _modules_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("noisy", "broken", "rude", "usurper", "astray"):
        monkeypatch.delitem(sys.modules, name, raising=False)


# Detectors that misbehave: {read} is what they do instead of reading.
DETECTOR = """
    from overread.api import Proposal, Code, Mask
    import numpy as np
    print("{said}")

    class Detector:
        id, title, version = "{id}", "The {id}", "0.1"

        def refuse(self, stack):
            print("looking")
            return ""

        def __call__(self, volume, progress):
            print("reading")
            {read}

    DETECTORS = [Detector()]
"""


def run(capsys: pytest.CaptureFixture[str], *words: str | Path) -> tuple[int, str, str]:
    capsys.readouterr()
    status = main([str(word) for word in words])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_installed_it_is_found_by_its_entry_point(site: Path) -> None:
    (plugin,) = load_plugins()
    assert (plugin.name, plugin.package, plugin.error) == ("lung-mask", "overread-lung-mask 1.0.0", "")
    assert [(d.id, d.title, d.version) for d in plugin.detectors] == [("lung-mask", "Lungs by threshold", "1.0.0")]


def test_it_sees_nothing_but_the_api() -> None:
    source = (PROJECT / "overread_lung_mask" / "__init__.py").read_text("utf-8")
    assert set(re.findall(r"(?:from|import) (overread[.\w]*)", source)) == {"overread.api"}


def test_a_chest_is_read_beside_broken_plug_ins(
    site: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], tool: Callable[[str], str]
) -> None:
    """The lungs of a real CT, against scipy; what broken and noisy plug-ins say stays off stdout."""
    install(site, "broken", "raise RuntimeError('no such thing')")
    install(site, "noisy", DETECTOR.format(said="hello, stdout", id="noisy", read="return []"))
    chest, out = data / "dicom" / "chest-ct-cptac", tmp_path / "out"
    status, said, complaints = run(
        capsys, "infer", chest, "--model", "lung-mask", "--out", out, "--accept", "--reader", "A B", "--json"
    )
    assert status == 0
    answer = json.loads(said)
    assert "The plug-in broken was left out: RuntimeError: no such thing\n" in complaints
    assert "hello, stdout" in complaints
    assert answer["model"] == {"id": "lung-mask", "version": "1.0.0", "sha256": None}
    assert answer["backend"]["name"] == "plug-in"
    (finding,) = answer["findings"]
    assert (finding["label"], finding["code"]["value"], finding["score"]) == ("Lungs", "39607008", None)

    images = sorted((pydicom.dcmread(path) for path in chest.rglob("*.dcm")), key=lambda i: i.ImagePositionPatient[2])
    hu = np.stack([i.pixel_array * float(i.RescaleSlope) + float(i.RescaleIntercept) for i in images])
    labels, count = ndimage.label(hu < -350)
    sizes = ndimage.sum_labels(np.ones_like(labels), labels, range(1, count + 1))
    border = {*np.unique(labels[:, [0, -1]]), *np.unique(labels[:, :, [0, -1]])}
    voxel_ml = float(np.prod(images[0].PixelSpacing)) * 3.0 / 1000
    kept = [n for n in range(1, count + 1) if n not in border and sizes[n - 1] * voxel_ml >= 50]
    bare = np.isin(labels, kept)
    assert bare.sum() * voxel_ml > 500
    assert bare.sum() * voxel_ml <= finding["volume_ml"] < bare.sum() * voxel_ml * 1.1  # vessels are closed in
    seg = hd.seg.segread(next(item["path"] for item in answer["files"] if item["kind"] == "SEG"))
    stacked = seg.get_volume(combine_segments=True)
    written = stacked.array[:: int(np.sign(stacked.affine[2, 0]))] > 0  # from feet to head, as above
    assert 2 * (written & bare).sum() / (written.sum() + bare.sum()) > 0.95
    assert written.sum() * voxel_ml == pytest.approx(finding["volume_ml"], rel=1e-3)
    for item in answer["files"]:
        done = subprocess.run([tool("dciodvfy"), item["path"]], capture_output=True, text=True, check=False)
        assert not re.findall(r"^Error.*", done.stdout + done.stderr, re.MULTILINE), item["kind"]


def test_doctor_names_what_is_installed_and_what_is_broken(site: Path, capsys: pytest.CaptureFixture[str]) -> None:
    install(site, "broken", "import no_such_module")
    _, said, _ = run(capsys, "doctor", "--json")
    plugins = {plugin["name"]: plugin for plugin in json.loads(said)["plugins"]}
    assert plugins["lung-mask"]["detectors"] == ["lung-mask"]
    assert plugins["broken"]["package"] == "broken 0.1"
    assert plugins["broken"]["error"] == "ModuleNotFoundError: No module named 'no_such_module'"


@pytest.mark.parametrize(
    ("read", "told"),
    [
        ("raise KeyError('spam')", "The plug-in The rude failed: KeyError."),
        ("raise MemoryError", "The plug-in The rude failed: MemoryError."),
        (
            "code = Code('1', 'X', 'x'); return [Proposal('x', code, code, Mask.of(np.ones((9, 9, 9), bool)))]",
            "The plug-in The rude failed: ValueError.",
        ),
        ("return [42]", "The plug-in The rude failed: AttributeError."),
    ],
)
def test_a_plug_in_that_fails_writes_nothing(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], read: str, told: str
) -> None:
    install(site, "rude", DETECTOR.format(said="", id="rude", read=read))
    write_series(tmp_path / "study", head_like((3, 16, 16)))
    out = tmp_path / "out"
    status, said, complaints = run(capsys, "infer", tmp_path / "study", "--model", "rude", "--out", out, "--json")
    assert (status, said) == (3, "")
    assert complaints.splitlines()[-1].startswith(f"overread: {told}")
    assert not out.exists()


def test_what_a_plug_in_prints_is_no_part_of_the_answer(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(site, "noisy", DETECTOR.format(said="hello", id="noisy", read="return []"))
    write_series(tmp_path / "study", head_like((3, 16, 16)))
    words = ("infer", tmp_path / "study", "--model", "noisy", "--out", tmp_path / "out", "--json")
    status, said, complaints = run(capsys, *words)
    assert (status, json.loads(said)["findings"]) == (0, [])
    assert complaints.split() == ["hello", "looking", "reading"]


def test_what_has_no_millimetres_is_not_measured(
    site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    read = "code = Code('1', 'X', 'x'); return [Proposal('x', code, code, Mask.of(volume.voxels > 600))]"
    install(site, "rude", DETECTOR.format(said="", id="rude", read=read))
    steps = [(0.0, 0.0, z) for z in (0.0, 6.0, 12.0, 30.0, 36.0, 44.0)]
    write_series(tmp_path / "study", head_like((6, 64, 64)), positions=steps)
    words = ("infer", tmp_path / "study", "--model", "rude", "--out", tmp_path / "out")
    status, said, _ = run(capsys, *words)
    assert (status, "  1. x: not measurable, proposed" in said) == (0, True)
    (finding,) = json.loads(run(capsys, *words, "--json")[1])["findings"]
    assert (finding["volume_ml"], finding["axes_mm"]) == (None, None)
    assert finding["box_mm"] is not None


def test_a_plug_in_cannot_take_a_models_place(site: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bright_model(paths.data() / "models")
    install(site, "usurper", DETECTOR.format(said="", id="bright", read="return []"))
    write_series(tmp_path / "study", head_like(), spacing=(1.8, 1.8), step=6.0)
    words = ("infer", tmp_path / "study", "--model", "bright", "--out", tmp_path / "out", "--json")
    status, said, complaints = run(capsys, *words)
    assert status == 0
    assert json.loads(said)["model"]["sha256"]
    assert json.loads(said)["findings"]
    assert "The plug-in usurper was left out: a model is called bright already" in complaints


def chest(shape: tuple[int, int, int] = (12, 80, 100)) -> tuple[np.ndarray, np.ndarray]:
    """HU of a body in air with two lungs, vessels in them, and a bubble of gas too small to be one; and the lungs."""
    k, j, i = np.indices(shape)
    body = ((j - 40) / 34) ** 2 + ((i - 50) / 44) ** 2 < 1
    lungs = sum((((j - 40) / 20) ** 2 + ((i - x) / 14) ** 2 < 1).astype(int) for x in (28, 72)) > 0
    vessels = lungs & ((j - 44) ** 2 + (i - 70) ** 2 < 1)  # 3 mm wide
    gas = (j - 66) ** 2 + (i - 50) ** 2 + (3 * (k - 6)) ** 2 < 10
    hu = np.where(body, 40.0, -1000.0)
    hu[lungs] = -800
    hu[vessels] = 50
    hu[gas] = -900
    return hu, lungs


def ct(hu: np.ndarray, **scale: Any) -> Volume:
    stored = ((hu - scale.get("intercept", 0.0)) / scale.get("slope", 1.0)).round().astype(np.int16)
    return volume(stored, box_grid(hu.shape, (5.0, 3.0, 3.0)), **scale)  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", [{}, {"intercept": -1024.0}, {"slope": 2.0, "intercept": -1024.0}])
def test_lungs_are_both_lungs_without_the_air_around(scale: dict[str, float]) -> None:
    hu, lungs = chest()
    told: list[float] = []
    (proposal,) = LungMask()(ct(hu, **scale), told.append)
    seen = proposal.mask.voxels
    assert seen[lungs].all(), "vessels are part of the lung"
    assert (seen & ~lungs).sum() < 0.02 * lungs.sum()
    assert told == sorted(told)
    assert told[-1] == 1.0


def test_where_there_are_no_lungs_nothing_is_proposed() -> None:
    hu, lungs = chest()
    hu[lungs] = 40
    assert list(LungMask()(ct(hu), lambda fraction: None)) == []


def test_it_refuses_what_has_no_hounsfield_units() -> None:
    def stack(modality: str, units: str, **facts: Any) -> Stack:
        made = replace(ct(chest()[0]).stack, units=units, **facts)
        return replace(made, identity=replace(made.identity, modality=modality))

    mask = LungMask()
    assert mask.refuse(stack("CT", "HU")) == ""
    assert "Hounsfield" in mask.refuse(stack("MR", ""))
    assert "Hounsfield" in mask.refuse(stack("CT", ""))
    assert "evenly spaced" in mask.refuse(stack("CT", "HU", grid=box_grid((12, 80, 100), oriented=False)))
