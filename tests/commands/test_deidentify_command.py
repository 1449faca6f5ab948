"""`overread deidentify`: files, a report beside them, and what is said."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pydicom import dcmread

from overread import paths


def test_files_and_a_report_are_written(overread: Callable[..., Any], flair: Path, tmp_path: Path) -> None:
    said = overread("deidentify", flair, "--out", tmp_path / "out", "--shift-dates", "--json")
    assert (said.status, said.err) == (0, "")
    report = json.loads((tmp_path / "out" / "deidentification.json").read_text())
    assert report["files"] == said.json["files"]
    assert sorted(report["files"]) == sorted(path.name for path in (tmp_path / "out").glob("*.dcm"))
    assert [method["code"] for method in report["methods"]] == ["113100", "113103", "113104", "113107", "113111"]
    text = (tmp_path / "out" / "deidentification.txt").read_text()
    assert "Patient ID: replaced" in text
    assert "cannot be judged from headers" in text
    assert str(flair) not in text + json.dumps(report)
    assert (paths.data() / "deidentify.key").exists()
    again = overread("deidentify", flair, "--out", tmp_path / "again", "--json")
    assert again.json["files"] == said.json["files"]


def test_a_key_of_the_project_gives_its_own_uids(overread: Callable[..., Any], flair: Path, tmp_path: Path) -> None:
    one, other = (
        overread("deidentify", flair, "--out", tmp_path / name, "--key", tmp_path / f"{name}.key", "--json").json
        for name in ("one", "other")
    )
    assert not set(one["files"]) & set(other["files"])
    kept = overread("deidentify", flair, "--out", tmp_path / "kept", "--keep-uids", "--json").json
    assert set(kept["files"]) == {f"{dcmread(path).SOPInstanceUID}.dcm" for path in flair.iterdir()}


def test_what_is_left_out_is_named(overread: Callable[..., Any], flair: Path, tmp_path: Path) -> None:
    first = sorted(flair.iterdir())[0]
    (flair / "twice.dcm").write_bytes(first.read_bytes())
    said = overread("deidentify", flair, "--out", tmp_path / "out")
    assert said.status == 3
    assert "twice.dcm was left out: its SOP Instance UID was there already." in said.err
    assert "1 left out" in said.out
    (tmp_path / "empty").mkdir()
    assert overread("deidentify", tmp_path / "empty", "--out", tmp_path / "none").status == 3
