"""`overread demo`, `audit` and `export`: the study, who did what to it, and what was accepted."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from overread import paths
from overread.dicom.scan import scanned
from overread.domain.finding import Finding, Mask, Reader
from overread.domain.study import Stack
from overread.session import settings
from overread.session.books import Books
from overread.session.review import accept, draw_new, reject
from support.models import bright_model
from support.series import changed, head_like, write_series

ADA = Reader("Ada Lovelace")


def stacks_of(folder: Path) -> list[Stack]:
    return list(scanned((folder,), folder).stacks)


def draw(stack: Stack, findings: Sequence[Finding] = ()) -> tuple[str, tuple[Finding, ...], str]:
    voxels = np.zeros(stack.grid.shape, bool)
    voxels[:, 20:30, 25:40] = True
    return draw_new(tuple(findings), Mask.of(voxels), stack, ADA)


@pytest.fixture
def read_before(flair: Path) -> Path:
    """A study in which one finding was drawn and accepted, another drawn and rejected."""
    books = Books(paths.data() / "journals")
    (stack,) = stacks_of(flair)
    book = books.of(stack.identity)
    label, findings, first = draw(stack)
    book.edit(label, findings, ADA.name, "")
    label, findings, second = draw(stack, book.findings)
    book.edit(label, findings, ADA.name, "")
    for label, findings in (
        accept(book.findings, [first], ADA),
        reject(accept(book.findings, [first], ADA)[1], [second], ADA, "artefact"),
    ):
        book.edit(label, findings, ADA.name, "")
    books.close()
    return flair


def test_demo_makes_the_study_once(overread: Callable[..., Any], demo: Path) -> None:
    there = paths.data() / "demo" / "demo" / demo.name
    shutil.copytree(demo.parent, there.parent)
    before = {path: path.stat().st_mtime_ns for path in there.rglob("*")}
    said = overread("demo", "--path")
    folder = Path(said.out.removesuffix("\n"))
    assert folder == there
    assert {path: path.stat().st_mtime_ns for path in there.rglob("*")} == before, "it was written again"
    answer = overread("info", folder, "--json").json
    (patient,) = answer["patients"]
    assert "SYNTHETIC" in json.dumps(patient).upper()
    assert {s["description"].split()[0] for s in patient["studies"][0]["series"]} >= {"T1", "T2", "FLAIR"}


def test_audit_tells_who_did_what(overread: Callable[..., Any], read_before: Path) -> None:
    for path in (read_before, next(read_before.iterdir())):  # any file of the study will do
        said = overread("audit", path, "--json")
        assert said.status == 0
        (study,) = said.json["studies"]
        assert study["study_uid"] == pydicom.dcmread(next(read_before.iterdir())).StudyInstanceUID
        assert study["broken_at"] is None
        assert [(e["number"], e["reader"], e["verb"], e["label"]) for e in study["entries"]] == [
            (1, "Ada Lovelace", "edit", "Draw Lesion 1"),
            (2, "Ada Lovelace", "edit", "Draw Lesion 2"),
            (3, "Ada Lovelace", "edit", "Accept Lesion 1"),
            (4, "Ada Lovelace", "edit", "Reject Lesion 2 (artefact)"),
        ]
        assert all(e["at"].endswith("+00:00") for e in study["entries"])
    assert "Ada Lovelace edit: Accept Lesion 1" in overread("audit", read_before).out


def test_audit_sees_what_was_changed_afterwards(overread: Callable[..., Any], read_before: Path) -> None:
    (journal,) = (paths.data() / "journals").glob("*.sqlite")
    with sqlite3.connect(journal) as forged:
        forged.execute("UPDATE entries SET reader = 'Somebody Else' WHERE number = 2")
    forged.close()
    said = overread("audit", read_before, "--json")
    assert (said.status, said.json["studies"][0]["broken_at"]) == (3, 2)
    assert "⚠ Entry 2 was changed after it was written." in overread("audit", read_before).out


def test_audit_tells_of_a_clock_that_was_set_back(overread: Callable[..., Any], read_before: Path) -> None:
    (path,) = (paths.data() / "journals").glob("*.sqlite")
    with closing(sqlite3.connect(path)) as db:
        db.execute("UPDATE entries SET at = '2031-01-01T00:00:00.000+00:00' WHERE number = 1")
        db.commit()
    (told,) = json.loads(overread("audit", read_before, "--json").out)["studies"]
    assert [back["entry"] for back in told["clock_set_back"]] == [2]
    assert told["clock_set_back"][0]["seconds"] > 86400
    assert "⚠ Before entry 2 the clock was set back by" in overread("audit", read_before).out


def test_audit_of_a_damaged_journal(overread: Callable[..., Any], read_before: Path) -> None:
    (journal,) = (paths.data() / "journals").glob("*.sqlite")
    content = bytearray(journal.read_bytes())
    content[4096:] = b"\x5a" * (len(content) - 4096)
    journal.write_bytes(content)
    said = overread("audit", read_before, "--json")
    assert said.status == 3
    assert "is damaged" in said.complaint


def test_audit_and_export_of_a_study_that_nobody_read(
    overread: Callable[..., Any], flair: Path, tmp_path: Path
) -> None:
    said = overread("export", flair, "--out", tmp_path / "out")
    assert (said.status, said.complaint) == (3, "Nothing was accepted in this study yet. Accept findings first.")
    assert not (tmp_path / "out").exists()
    assert overread("audit", flair).out == "Nobody has read this study here yet.\n"
    assert overread("audit", flair, "--json").json == {"studies": []}
    assert not (paths.data() / "journals").exists(), "asking leaves a trace"


def test_what_was_accepted_leaves(overread: Callable[..., Any], read_before: Path, tmp_path: Path) -> None:
    settings.save(paths.config() / "settings.toml", settings.Settings(reader="Rosalind Franklin"))
    said = overread("export", read_before, "--out", tmp_path / "out", "--json")
    assert (said.status, said.err) == (0, "")
    assert [item["kind"] for item in said.json["files"]] == ["SEG", "SR"]
    assert {Path(item["path"]).name for item in said.json["files"]} == {p.name for p in (tmp_path / "out").iterdir()}
    seg, report = (pydicom.dcmread(item["path"]) for item in said.json["files"])
    assert len(seg.SegmentSequence) == 1
    assert "Lovelace^Ada" in str(report), "the observer is the one who accepted, not the one who sends"
    assert "Franklin" not in str(report)
    trail = overread("audit", read_before, "--json").json["studies"][0]["entries"][-1]
    assert (trail["verb"], trail["reader"]) == ("export", "Rosalind Franklin")
    assert Path(said.json["files"][0]["path"]).name in trail["label"]


def test_findings_whose_images_are_not_there_are_not_forgotten(
    overread: Callable[..., Any], read_before: Path, tmp_path: Path
) -> None:
    said = overread("export", next(read_before.iterdir()), "--out", tmp_path / "out")
    assert said.status == 3
    assert said.complaint == (
        "1 of 1 accepted findings lie on images that are not all here. Name the folder of the whole study."
    )
    assert not (tmp_path / "out").exists()


def test_all_series_leave_or_none(overread: Callable[..., Any], read_before: Path, tmp_path: Path) -> None:
    """Nothing can refer to the second series: what the first left goes too, and the journal is silent."""
    study = str(pydicom.dcmread(next(read_before.iterdir())).StudyInstanceUID)
    (later,) = write_series(read_before / "z", head_like((1, 64, 64)), study=study, description="SCOUT", series="9.9")
    changed(later, SOPInstanceUID=None, SeriesNumber=99)
    books = Books(paths.data() / "journals")
    _, second = stacks_of(read_before)
    book = books.of(second.identity)
    label, findings, _ = draw(second, book.findings)
    book.edit(label, findings, ADA.name, "")
    books.close()
    said = overread("export", read_before, "--out", tmp_path / "out", "--json")
    assert said.status == 3
    assert "no UIDs" in said.complaint
    assert not (tmp_path / "out").exists()
    verbs = [entry["verb"] for entry in overread("audit", read_before, "--json").json["studies"][0]["entries"]]
    assert set(verbs) == {"edit"}


def test_what_was_accepted_without_a_window_is_in_the_journal(
    overread: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bright_model(paths.data() / "models")
    monkeypatch.setattr(paths, "model_folders", lambda: (paths.data() / "models",))
    study = tmp_path / "mr"
    write_series(study, head_like((12, 96, 96)), step=5.0)
    words = ("infer", study, "--model", "bright", "--reader", ADA.name, "--json")
    assert overread(*words, "--out", tmp_path / "proposed").status == 0
    assert overread("audit", study).out == "Nobody has read this study here yet.\n"

    first = overread(*words, "--out", tmp_path / "a", "--accept").json
    (found,) = first["findings"]
    assert (found["status"], [file["kind"] for file in first["files"]]) == ("accepted", ["SEG", "SR"])
    (trail,) = overread("audit", study, "--json").json["studies"]
    verbs = [(entry["verb"], entry["label"].split()[0], entry["reader"], entry["model"]) for entry in trail["entries"]]
    bright = "bright 1.0.0"
    assert verbs[:2] == [("edit", "Bright", ADA.name, bright), ("edit", "Accept", ADA.name, bright)]
    assert verbs[2][0] == "export"
    assert [Path(f["path"]).name for f in first["files"]] == trail["entries"][2]["label"].split(", ")

    again = overread("export", study, "--out", tmp_path / "b", "--only", "seg", "--json").json
    assert [file["kind"] for file in again["files"]] == ["SEG"]

    (stack,) = stacks_of(study)
    books = Books(paths.data() / "journals")
    book = books.opened(stack.identity)
    book.edit(*reject(book.findings, [found["id"]], ADA, "artefact"), ADA.name, "")
    books.close()
    third = overread(*words, "--out", tmp_path / "c", "--accept").json
    assert [finding["status"] for finding in third["findings"]] == ["rejected"], "a person has judged it"
    assert third["files"] == []


def test_a_study_that_is_open_in_a_window_is_not_accepted_behind_its_back(
    overread: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bright_model(paths.data() / "models")
    monkeypatch.setattr(paths, "model_folders", lambda: (paths.data() / "models",))
    write_series(tmp_path / "mr", head_like((12, 96, 96)), step=5.0)
    (stack,) = stacks_of(tmp_path / "mr")
    books = Books(paths.data() / "journals")
    books.opened(stack.identity)
    said = overread("infer", tmp_path / "mr", "--model", "bright", "--out", tmp_path / "a", "--accept")
    books.close()
    assert (said.status, (tmp_path / "a").exists()) == (3, False)
    assert "open in another window" in said.complaint
