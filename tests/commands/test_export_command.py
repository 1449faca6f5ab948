"""`overread export`: profiles, kinds, and the packet that tries a receiver."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from overread import paths
from overread.dicom.scan import scanned
from overread.domain.finding import Mask, Reader
from overread.session import settings
from overread.session.books import Books
from overread.session.packet import three_arms
from overread.session.review import draw_new
from support.series import write_series

ADA = Reader("Ada Lovelace")


def test_only_the_kinds_that_were_asked_for_leave(overread: Callable[..., Any], drawn: Path, tmp_path: Path) -> None:
    for words, kinds in (([], ["SEG", "SR"]), (["--only", "seg"], ["SEG"]), (["--only", "SR, seg"], ["SEG", "SR"])):
        said = overread("export", drawn, "--out", tmp_path / "out", "--json", *words)
        assert (said.status, [item["kind"] for item in said.json["files"]]) == (0, kinds)


def test_profiles_of_the_reader_are_kept_in_the_settings(
    overread: Callable[..., Any], drawn: Path, tmp_path: Path
) -> None:
    own = paths.config() / "settings.toml"
    own.parent.mkdir(parents=True)
    own.write_text('[profiles]\nward = ["seg"]\n', "utf-8")
    said = overread("export", drawn, "--out", tmp_path / "out", "--profile", "ward", "--json")
    assert [item["kind"] for item in said.json["files"]] == ["SEG"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--only", "seg,hologram"), "Nothing can be exported as hologram. There are: seg"),
        (("--profile", "ward"), "There is no profile ward. There are: standard"),
        (("--test-packet", "x"), "Name a study and --out DIR, or --test-packet DIR."),
    ],
)
def test_wrong_usage_names_what_there_is(
    overread: Callable[..., Any], drawn: Path, tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    answer = overread("export", drawn, "--out", tmp_path / "out", *words)
    assert answer.status == 2
    assert said in answer.complaint
    assert not (tmp_path / "out").exists()
    assert overread("export", drawn).status == 2


def test_a_test_packet_shows_whether_a_receiver_turns_or_flips(
    overread: Callable[..., Any], demo: Path, tmp_path: Path
) -> None:
    there = paths.data() / "demo" / "demo"
    shutil.copytree(demo.parent, there)
    folder = tmp_path / "packet"
    said = overread("export", "--test-packet", folder, "--json")
    assert said.status == 0
    files = {item["kind"]: Path(item["path"]) for item in said.json["files"]}
    assert {path.name for path in folder.iterdir()} == {"images", "objects", "WHAT-TO-SEE.txt"}
    assert set(files["SEG"].parent.iterdir()) == set(files.values())
    segmentation = pydicom.dcmread(files["SEG"])
    images = [pydicom.dcmread(path, stop_before_pixels=True) for path in sorted((folder / "images").iterdir())]
    assert {image.StudyInstanceUID for image in images} == {segmentation.StudyInstanceUID}
    assert "SYNTHETIC" in str(images[0].PatientName).upper()
    sheet = (folder / "WHAT-TO-SEE.txt").read_text("utf-8")
    assert files["SEG"].name in sheet
    assert "three arms are 40 mm long towards the patient's left" in sheet
    (stack,) = scanned((folder / "images",), tmp_path).stacks
    arms = three_arms(stack.grid)
    where = stack.grid.to_lps(np.argwhere(arms))
    assert np.allclose(where.max(axis=0) - where.min(axis=0), (52, 42, 32), atol=6), "arms and their thickness"
    again = overread("export", "--test-packet", folder)
    assert (again.status, "is not empty" in again.complaint) == (3, True)


def report(said: Any) -> pydicom.Dataset:
    return pydicom.dcmread(next(item["path"] for item in said.json["files"] if item["kind"] == "SR"))


def test_an_amended_report_names_the_one_that_left_before(
    overread: Callable[..., Any], drawn: Path, tmp_path: Path
) -> None:
    first, second, third = (
        report(overread("export", drawn, "--out", tmp_path / "out", "--json", "--only", "sr")) for _ in range(3)
    )
    assert "PredecessorDocumentsSequence" not in first
    named = [
        instance.ReferencedSOPInstanceUID
        for series in third.PredecessorDocumentsSequence[0].ReferencedSeriesSequence
        for instance in series.ReferencedSOPSequence
    ]
    assert sorted(named) == sorted([first.SOPInstanceUID, second.SOPInstanceUID])


def test_a_reader_signs_only_by_name_and_on_request(overread: Callable[..., Any], drawn: Path, tmp_path: Path) -> None:
    out = ("--out", tmp_path / "out", "--json")
    assert report(overread("export", drawn, *out)).VerificationFlag == "UNVERIFIED"
    signed = report(overread("export", drawn, *out, "--sign-off", "--reader", "Rosalind Franklin"))
    assert (signed.VerificationFlag, signed.CompletionFlag) == ("VERIFIED", "COMPLETE")
    assert signed.VerifyingObserverSequence[0].VerifyingObserverName == "Franklin^Rosalind"
    settings.save(paths.config() / "settings.toml", settings.Settings(reader=""))
    assert overread("export", drawn, "--out", tmp_path / "out", "--sign-off").status == 2


def test_sheared_slices_are_resampled_on_request_alone(overread: Callable[..., Any], tmp_path: Path) -> None:
    places = [(0.0, 1.1 * k, 3.0 * k) for k in range(6)]
    write_series(tmp_path / "in", np.zeros((6, 24, 24), np.int16), positions=places, modality="CT")
    (stack,) = scanned((tmp_path / "in",), tmp_path).stacks
    voxels = np.zeros(stack.grid.shape, bool)
    voxels[2:4, 5:12, 6:14] = True
    books = Books(paths.data() / "journals")
    label, findings, _ = draw_new((), Mask.of(voxels), stack, ADA)
    books.of(stack.identity).edit(label, findings, ADA.name, "")
    books.close()
    plain = overread("export", tmp_path / "in", "--out", tmp_path / "plain", "--only", "seg")
    assert plain.status == 3
    assert "sheared by a tilted gantry, so have it resampled onto an upright grid (--resample)" in plain.err
    said = overread("export", tmp_path / "in", "--out", tmp_path / "out", "--only", "seg,sr", "--resample", "--json")
    assert [item["kind"] for item in said.json["files"]] == ["UPRIGHT"] * 6 + ["SEG", "SR"]


def test_a_study_leaves_without_its_patient(overread: Callable[..., Any], drawn: Path, tmp_path: Path) -> None:
    words = ["--deidentify", "--with-images", "--shift-dates", "--only", "seg,sr,pdf,csv", "--json"]
    said = overread("export", drawn, "--out", tmp_path / "out", *words)
    assert said.status == 0
    kinds = [item["kind"] for item in said.json["files"]]
    assert set(kinds) == {"SEG", "SR", "PDF", "CSV", "IMAGE", "DEIDENTIFICATION"}
    plain = overread("deidentify", drawn, "--out", tmp_path / "images", "--shift-dates", "--json")
    theirs = {path.name for path in (tmp_path / "images").glob("*.dcm")}
    assert {path.name.removeprefix("IMAGE_") for path in (tmp_path / "out").glob("IMAGE_*")} == theirs
    assert plain.status == 0
    audit = overread("audit", drawn)
    assert "De-identified: " in audit.out
    for words in (["--shift-dates"], ["--with-images"], ["--key", tmp_path / "key"]):
        assert "add --deidentify" in overread("export", drawn, "--out", tmp_path / "no", *words).complaint
