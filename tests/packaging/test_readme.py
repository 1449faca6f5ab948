"""What the README says of the models is what their folders say."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
MODELS = sorted(path.parent for path in REPOSITORY.glob("models/*/model.toml"))


def test_there_are_models() -> None:
    assert "glioma-flair" in {folder.name for folder in MODELS}


@pytest.mark.parametrize("folder", MODELS, ids=lambda folder: folder.name)
def test_measured_figures_are_those_of_the_folder(folder: Path) -> None:
    table = tomllib.loads((folder / "model.toml").read_text("utf-8"))
    readme = (REPOSITORY / "README.md").read_text("utf-8")
    (line,) = (line for line in readme.splitlines() if line.startswith(f"| `{folder.name}` {table['version']} |"))
    assert table["results"]["headline"] in line
    assert (folder / "CARD.md").exists()
