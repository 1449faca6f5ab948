"""Load → infer → review → export, said once: what comes of it is what the window shows, and what others read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import highdicom as hd
import numpy as np
import pydicom
import pytest

from overread.dicom.scan import scanned
from overread.domain.errors import UserError
from overread.domain.finding import Reader, Status
from overread.domain.study import Catalogue, Stack
from overread.session.books import Books
from overread.session.reading import accepted, choose, deliver, read
from overread.session.review import redraw
from support.models import bright_model
from support.series import head_like, write_series
from support.sitting import Sitting, box_mask, detectors

DOE = Reader("Doe^Jane")


@pytest.fixture
def books(tmp_path: Path) -> Iterator[Books]:
    opened = Books(tmp_path / "journals")
    yield opened
    opened.close()


@pytest.fixture
def catalogue(tmp_path: Path) -> Catalogue:
    """One study: two FLAIR series and a T1."""
    for number, description in enumerate(("FLAIR AX", "FLAIR COR", "T1 AX"), start=1):
        write_series(
            tmp_path / "study" / str(number),
            np.roll(head_like((8, 32, 32), seed=number), number, axis=1),
            description=description,
            spacing=(4.0, 4.0),
            step=5.0,
            study="1.2.3",
            series=f"1.2.3.{number}",
            SeriesNumber=number,
        )
    return scanned((tmp_path / "study",), tmp_path)


def test_one_series_is_chosen_or_the_reason_said(catalogue: Catalogue, models: Path) -> None:
    (detector,) = detectors(models)
    assert choose(catalogue, detector, "1.2.3.2").identity.series_description == "FLAIR COR"
    with pytest.raises(UserError, match=r"2 images fit: 1\.2\.3\.1 \(FLAIR AX\), 1\.2\.3\.2 \(FLAIR COR\)"):
        choose(catalogue, detector)
    with pytest.raises(UserError, match="T1"):
        choose(catalogue, detector, "1.2.3.3")
    with pytest.raises(UserError, match=r"no series 1\.2\.3\.9"):
        choose(catalogue, detector, "1.2.3.9")
    with pytest.raises(UserError, match="No DICOM images"):
        choose(Catalogue(), detector)


def test_it_finds_what_the_window_finds(
    catalogue: Catalogue, models: Path, sit: Callable[..., Sitting], tmp_path: Path
) -> None:
    (detector,) = detectors(models)
    outcome = read(choose(catalogue, detector, "1.2.3.1"), detector)
    sitting = sit([detector])
    sitting.open(tmp_path / "study")
    shown = sitting.session.shown_findings
    assert len(outcome.findings) == 1
    for ours, theirs in zip(outcome.findings, shown, strict=True):
        assert (ours.id, ours.mask, ours.measures) == (theirs.id, theirs.mask, theirs.measures)
        assert (ours.score, ours.status, ours.number) == (theirs.score, theirs.status, theirs.number)
        assert ours.model is not None
        assert theirs.model is not None
        assert (ours.model.sha256, ours.model.backend) == (theirs.model.sha256, theirs.model.backend)
    assert len(outcome.timings) == 8
    assert 0 < outcome.load_ms < outcome.total_ms


def test_what_was_accepted_leaves_and_nothing_else(
    books: Books, catalogue: Catalogue, models: Path, tmp_path: Path
) -> None:
    (detector,) = detectors(models)
    outcome = read(choose(catalogue, detector, "1.2.3.1"), detector)
    out = tmp_path / "out"
    assert deliver(outcome.stack, outcome.findings, out, DOE) == ()
    assert deliver(outcome.stack, (), out, DOE) == ()
    assert not out.exists(), "proposals never leave"

    agreed = accepted(books, outcome.stack, detector, outcome.findings, DOE)
    assert [(f.status, f.reader) for f in agreed] == [(Status.ACCEPTED, DOE)]
    again = accepted(books, outcome.stack, detector, outcome.findings, Reader("Roe"))
    assert again == agreed, "what is decided is not decided again"
    assert accepted(books, outcome.stack, detector, (), DOE) == ()
    written = {item.kind: item.path for item in deliver(outcome.stack, agreed, out, DOE)}
    assert sorted(file.name for file in out.iterdir()) == sorted(path.name for path in written.values())
    segmentation = hd.seg.segread(written["SEG"])
    voxels = segmentation.get_pixels_by_source_instance(
        [frame.sop_instance_uid for frame in outcome.stack.frames], assert_missing_frames_are_empty=True
    )[..., 0]
    assert np.array_equal(voxels.astype(bool), agreed[0].mask.voxels)
    assert pydicom.dcmread(written["SR"]).PatientID == "ID1"


def test_of_everything_erased_nothing_is_delivered(
    books: Books, catalogue: Catalogue, models: Path, tmp_path: Path
) -> None:
    (detector,) = detectors(models)
    outcome = read(choose(catalogue, detector, "1.2.3.1"), detector)
    blank = box_mask(outcome.stack.grid.shape, (0, 0, 0), (0, 0, 0))
    (finding,) = outcome.findings
    gone = redraw(outcome.findings, finding.id, blank, outcome.stack, DOE, "Erase")[1]
    assert deliver(outcome.stack, accepted(books, outcome.stack, detector, gone, DOE), tmp_path / "out", DOE) == ()


def test_a_model_that_sees_nothing(books: Books, catalogue: Catalogue, tmp_path: Path) -> None:
    bright_model(tmp_path / "models", level=1000.0)
    (detector,) = detectors(tmp_path / "models")
    outcome = read(choose(catalogue, detector, "1.2.3.1"), detector)
    assert outcome.findings == ()
    assert accepted(books, outcome.stack, detector, outcome.findings, DOE) == ()


def test_a_file_that_cannot_be_read_is_said_plainly(catalogue: Catalogue, models: Path, tmp_path: Path) -> None:
    (detector,) = detectors(models)
    stack: Stack = choose(catalogue, detector, "1.2.3.1")
    file = Path(stack.frames[3].path)
    file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(UserError, match="cannot be read"):
        read(stack, detector)
