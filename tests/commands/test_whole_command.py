"""`overread infer` with a 3-D model that reads two series together."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from overread import paths
from support.series import head_like, write_series
from support.volumes import volume_model


@pytest.fixture
def study(tmp_path: Path) -> Path:
    """A FLAIR, and a T1 of the same head whose header lies by 9 mm."""
    for number, (description, off) in enumerate((("FLAIR AX", 0.0), ("T1 AX", 9.0))):
        write_series(
            tmp_path / "study" / str(number),
            head_like((32, 48, 48)),
            description=description,
            spacing=(4.0, 4.0),
            positions=[(off, 0.0, 5.0 * k) for k in range(32)],
            study="1.2.3",
            series=f"1.2.3.{number}",
        )
    return tmp_path / "study"


@pytest.fixture
def together() -> Path:
    return volume_model(
        paths.data() / "models",
        "together",
        size=(16, 32, 32),
        spacing=(5.0, 4.0, 4.0),
        roles=("T1", "FLAIR"),
        weights=((0, 0), (8, 0)),
        outputs=("keep = 1.0",),
    )


def test_both_series_are_found_registered_and_read(
    overread: Callable[..., Any], together: Path, study: Path, tmp_path: Path
) -> None:
    said = overread("infer", study, "--model", "together", "--out", tmp_path / "out", "--accept", "--json")
    assert said.status == 0
    answer = said.json
    assert answer["series_uid"] == "1.2.3.0"
    (finding,) = answer["findings"]
    assert finding["label"] == "Label 1"
    assert {item["kind"] for item in answer["files"]} >= {"SEG", "SR"}
    (laid,) = answer["registered"]
    assert (laid["role"], laid["series_uid"]) == ("T1", "1.2.3.1")
    assert laid["shift_mm"] == pytest.approx(9.0, abs=1.0)
    assert laid["mutual_information"][1] > laid["mutual_information"][0]
    assert answer["ms_per_slice"] is None
    assert answer["ms"]["run"] > 0


def test_the_series_that_is_missing_is_named(
    overread: Callable[..., Any], together: Path, study: Path, tmp_path: Path
) -> None:
    said = overread("infer", study / "0", "--model", "together", "--out", tmp_path / "out")
    assert said.status == 3
    assert "the model reads T1 and FLAIR together, the study has no T1." in said.complaint
    assert not (tmp_path / "out").exists()
