"""Others' findings in a sitting: one step, once, beside what is there; the journal keeps where they came from."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from overread.dicom.export import export
from overread.domain.finding import Findings, Kind, Status
from overread.domain.merging import joined
from overread.session.imports import Imports
from overread.session.review import accept, reject
from support.findings import READER, opened, three
from support.series import write_series
from support.sitting import Sitting, box_mask, finding_of, stack_of


class Reading:
    """A sitting that reads others' objects."""

    def __init__(self, sitting: Sitting) -> None:
        self.sitting, self.session = sitting, sitting.session
        self.imports = Imports(sitting.session)


@pytest.fixture
def study(data: Path, tmp_path: Path) -> Path:
    """Three slices of CT with two segmentations of others."""
    home = data / "dicom" / "derived-objects" / "dcmqi" / "segmentations"
    shutil.copytree(home / "ct-3slice", tmp_path / "study")
    for name in ("liver.dcm", "partial_overlaps.dcm"):
        shutil.copy(home / name, tmp_path / "study" / name)
    return tmp_path / "study"


def test_others_findings_come_as_one_step_that_can_be_undone_for_good(sit: Callable[..., Sitting], study: Path) -> None:
    reading = Reading(sit())
    reading.sitting.open(study)
    session = reading.session
    assert sorted(f.label for f in session.findings) == [
        "DARK_BLUE", "GREEN", "LIGHT_BLUE", "Liver", "ORANGE", "PURPLE",
    ]  # fmt: skip
    assert {finding.status for finding in session.findings} == {Status.PROPOSED}
    assert [finding.number for finding in session.findings] == [1, 2, 3, 4, 5, 6]
    assert all(finding.measures is not None and finding.source is not None for finding in session.findings)
    assert session.undo_label == "Read 2 objects"
    assert session.undo()
    assert session.findings == ()
    assert session.image is not None
    stack = session.image.stack
    session.close_image()
    session.select(stack)
    reading.sitting.settle()
    assert session.findings == (), "what was undone is not read again in the same sitting"
    assert session.redo()
    assert len(session.findings) == 6
    assert not reading.sitting.errors


def test_read_again_nothing_is_there_twice_and_nothing_of_the_readers_is_lost(
    sit: Callable[..., Sitting], study: Path
) -> None:
    first = Reading(sit())
    first.sitting.open(study)
    ids = [finding.id for finding in first.session.findings]
    first.session.edit(*accept(first.session.findings, ids[:1], READER))
    first.session.edit(*reject(first.session.findings, ids[1:2], READER, "artefact"))
    before = first.session.findings
    first.sitting.close()
    again = Reading(sit())
    again.sitting.open(study)
    assert again.session.findings == before
    assert again.session.undo_label.startswith("Reject")
    again.sitting.open(study)
    assert again.session.findings == before


def test_what_was_exported_comes_back_elsewhere_under_the_same_ids(
    sit: Callable[..., Sitting], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_series(tmp_path / "study", np.zeros((6, 24, 24), np.int16))
    stack = opened(tmp_path / "study", tmp_path / "scratch")
    findings = three(stack)
    export(stack, findings, tmp_path / "study", READER)
    monkeypatch.setenv("OVERREAD_HOME", str(tmp_path / "elsewhere"))
    there = Reading(sit())
    there.sitting.open(tmp_path / "study")
    assert [(f.id, f.mask.digest) for f in there.session.findings] == [(f.id, f.mask.digest) for f in findings]
    export(
        stack, tuple(accept(there.session.findings, [f.id for f in findings], READER)[1]), tmp_path / "study", READER
    )
    once_more = Reading(sit())
    once_more.sitting.open(tmp_path / "study")
    assert [f.id for f in once_more.session.findings] == [f.id for f in findings]


def test_the_image_is_there_before_anything_is_read(sit: Callable[..., Sitting], study: Path) -> None:
    reading = Reading(sit())
    reading.session.open([study])
    while reading.session.image is None or not any(reading.session.image.ready.slices):
        assert reading.session.jobs.running == () or "others" not in reading.session.jobs.running[-1].label
        assert reading.sitting.run() or reading.sitting.deliver()
    reading.sitting.settle()
    assert len(reading.session.findings) == 6


def test_closed_meanwhile_late_findings_are_nobodys(sit: Callable[..., Sitting], study: Path) -> None:
    reading = Reading(sit())
    reading.session.open([study])
    while not any("others" in job.label for job in reading.session.jobs.running):
        assert reading.sitting.run() or reading.sitting.deliver()
    reading.session.close_image()
    reading.sitting.settle()
    assert reading.session.findings == ()
    assert not reading.sitting.errors


def test_a_broken_object_is_a_notice_and_no_error(sit: Callable[..., Sitting], study: Path) -> None:
    broken = study / "liver.dcm"
    broken.write_bytes(broken.read_bytes()[:-9000])
    reading = Reading(sit())
    reading.sitting.open(study)
    assert len(reading.session.findings) == 5
    assert [notice.split(":")[0] for notice in reading.imports.notices] == [
        "SEG ‘Liver Segmentation’ of QIICR is damaged and cannot be shown."
    ]
    assert not reading.sitting.errors


def test_the_same_id_on_another_stack_is_another_finding() -> None:
    one, other = stack_of(series="1.2.3.4"), stack_of(series="1.2.3.5")
    mask = box_mask(one.grid.shape, (1, 1, 1), (2, 2, 2))
    mine, theirs = finding_of(one, mask), finding_of(other, mask)
    both: Findings = joined((mine,), (theirs,), other.uid)
    assert len({finding.id for finding in both}) == 2
    assert joined(both, (theirs,), other.uid) == both
    assert joined(both, (mine,), one.uid) == both
    assert all(finding.kind is Kind.SEGMENTATION for finding in both)
