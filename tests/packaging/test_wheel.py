"""The wheel holds the program, its resources and its models, and works where it is unpacked."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[zipfile.ZipFile]:
    out = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    (built,) = out.glob("*.whl")
    with zipfile.ZipFile(built) as opened:
        yield opened


def test_holds_resources_models_and_licences(wheel: zipfile.ZipFile) -> None:
    names = set(wheel.namelist())
    for wanted in ("model.onnx", "model.toml", "CARD.md", "selftest.npz"):
        assert f"overread/_models/glioma-flair/{wanted}" in names
        for model in ("cxr-pneumonia", "lung-nodule", "retina-vessels", "tumour-t1c"):
            assert f"overread/_models/{model}/{wanted}" in names
    assert {f"overread/_models/lung-nodule/{look}.onnx" for look in ("contour", "verify")} <= names
    assert "overread/_resources/windows.toml" in names
    assert any(name.startswith("overread/_resources/icons/") for name in names)
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert not [name for name in names if "training" in name or name.startswith("tests")]


def test_gives_the_command(wheel: zipfile.ZipFile) -> None:
    points = next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))
    assert "overread = overread.__main__:main" in wheel.read(points).decode()


def test_works_where_it_is_unpacked(wheel: zipfile.ZipFile, tmp_path: Path) -> None:
    wheel.extractall(tmp_path / "site")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "site"), "OVERREAD_HOME": str(tmp_path / "home")}
    command = [sys.executable, "-P", "-m", "overread", "models", "list"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert {"cxr-pneumonia", "glioma-flair"} <= {line.split(" ")[0] for line in done.stdout.splitlines()}
