"""A 3-D model in a sitting: one pass, told as it goes; called off it leaves nothing; partners are laid once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from overread.dicom.load import loaded
from overread.dicom.scan import scanned
from overread.domain.errors import UserError
from overread.domain.ports import Cancel
from overread.domain.study import Stack
from overread.domain.volume import Volume
from overread.imaging import register as finding
from overread.imaging.registration import Registration
from overread.session import companions
from overread.session.companions import Companions
from overread.session.reading import choose, read
from overread.session.state import Phase, Reading
from overread.ui.model_rows import sentence
from support.series import head_like, write_series
from support.sitting import Sitting, detectors
from support.volumes import volume_model

MODEL = "glioma-flair"  # the one that is on by default


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A FLAIR of forty slices; a T1 of the same head whose header lies by 9 mm."""
    folder = tmp_path_factory.mktemp("study")
    for number, (description, off) in enumerate((("FLAIR AX", 0.0), ("T1 AX", 9.0))):
        write_series(
            folder / str(number),
            head_like((40, 64, 64)),
            description=description,
            spacing=(3.0, 3.0),
            positions=[(off, 0.0, 4.0 * k) for k in range(40)],
            study="1.2.3",
            series=f"1.2.3.{number}",
            SeriesNumber=number,
        )
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    volume_model(folder, MODEL, size=(16, 32, 32), spacing=(4.0, 3.0, 3.0), outputs=("keep = 1.0",))
    return folder


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is bright on T1, drawn on FLAIR."""
    folder = tmp_path_factory.mktemp("together")
    volume_model(
        folder,
        MODEL,
        size=(16, 32, 32),
        spacing=(4.0, 3.0, 3.0),
        roles=("T1", "FLAIR"),
        weights=((0, 0), (8, 0)),
        outputs=("keep = 1.0",),
    )
    return folder


def reading(sitting: Sitting) -> Reading:
    return sitting.session.runs.readings[MODEL]


def begun(sitting: Sitting, study: Path) -> None:
    sitting.session.open([study])
    while reading(sitting).phase is not Phase.STARTING:
        assert sitting.deliver() or sitting.run()


def test_a_pass_over_all_of_it_enters_as_one_step(sit: Callable[..., Sitting], models: Path, study: Path) -> None:
    sitting = sit(detectors(models))
    told: list[Reading] = []
    sitting.session.reading_changed.connect(told.append)
    sitting.open(study)
    assert sitting.errors == []
    (finding,) = sitting.session.shown_findings
    assert finding.label == "Label 1"
    assert list(dict.fromkeys(each.phase for each in told)) == [
        Phase.WAITING,
        Phase.STARTING,
        Phase.RUNNING,
        Phase.DONE,
    ]
    shares = [each.done for each in told if each.phase is Phase.RUNNING and each.total]
    assert sorted(set(shares)) == list(range(1, 4 * 3 * 3 + 1))
    assert "Reads part 5 of 36 …" in [sentence(each) for each in told]
    assert reading(sitting).total == 36
    assert finding.model is not None
    assert finding.model.backend.endswith("fp32")


def test_called_off_it_leaves_nothing_and_begins_anew(sit: Callable[..., Sitting], models: Path, study: Path) -> None:
    sitting = sit(detectors(models))
    begun(sitting, study)
    sitting.session.runs.pause(MODEL)
    assert (reading(sitting).phase, sentence(reading(sitting))) == (Phase.PAUSED, "Stopped.")
    sitting.settle()
    view = sitting.session.view
    sitting.session.set_view(replace(view, cursor=(3, *view.cursor[1:])))
    sitting.settle()
    assert (reading(sitting).phase, sitting.session.findings) == (Phase.PAUSED, ()), "scrolling starts nothing"
    sitting.session.runs.read_all(MODEL)
    sitting.settle()
    assert reading(sitting).phase is Phase.DONE
    assert len(sitting.session.findings) == 1


def test_there_and_back_nothing_is_read_again(sit: Callable[..., Sitting], models: Path, study: Path) -> None:
    sitting = sit(detectors(models))
    sitting.open(study)
    before = sitting.session.findings
    flair, t1 = sitting.session.sources.catalogue.stacks
    sitting.session.select(t1)
    sitting.settle()
    assert reading(sitting).phase is Phase.CLOSED
    parts: list[int] = []
    sitting.session.reading_changed.connect(lambda new: parts.append(new.done))
    sitting.session.select(flair)
    sitting.settle()
    assert reading(sitting).phase is Phase.DONE
    assert set(parts) <= {0}
    assert sitting.session.findings == before


def test_what_is_read_together_is_laid_on_the_series_on_screen(
    sit: Callable[..., Sitting], together: Path, study: Path
) -> None:
    sitting = sit(detectors(together))
    said: list[str] = []
    sitting.session.reading_changed.connect(lambda new: said.append(sentence(new)))
    sitting.open(study)
    assert sitting.errors == []
    assert "Lays T1 on FLAIR …" in said
    (finding,) = sitting.session.shown_findings
    bright = head_like((40, 64, 64)) > 550
    drawn = finding.mask.voxels
    assert 2 * (drawn & bright).sum() / (drawn.sum() + bright.sum()) > 0.9, "9 mm are three voxels"
    assert finding.mask.shape == (40, 64, 64)


def test_without_its_partner_the_gate_is_closed(sit: Callable[..., Sitting], together: Path, study: Path) -> None:
    sitting = sit(detectors(together))
    sitting.open(study / "0")
    assert reading(sitting).phase is Phase.CLOSED
    assert reading(sitting).text.endswith("the model reads T1 and FLAIR together, the study has no T1.")


def test_without_a_window_the_partner_is_found_too(together: Path, study: Path, tmp_path: Path) -> None:
    (detector,) = detectors(together)
    catalogue = scanned((study,), tmp_path)
    stack = choose(catalogue, detector)
    assert stack.role == "FLAIR"
    outcome = read(stack, detector, catalogue.stacks)
    (finding,) = outcome.findings
    assert finding.mask.count > 100
    registration = outcome.channels["T1"].registration
    assert registration is not None
    assert registration.motion[:3, 3] == pytest.approx((9, 0, 0), abs=1.0)
    with pytest.raises(UserError, match="no T1"):
        choose(scanned((study / "0",), tmp_path), detector)


@pytest.fixture
def stacks(study: Path, tmp_path: Path) -> tuple[Volume, Stack]:
    flair, t1 = scanned((study,), tmp_path).stacks
    return loaded(flair), t1


def test_series_are_registered_once_and_kept_within_the_budget(
    stacks: tuple[Volume, Stack], monkeypatch: pytest.MonkeyPatch
) -> None:
    volume, t1 = stacks
    calls: list[str] = []

    def known(*args: Any) -> Registration:
        calls.append("register")
        return Registration(np.eye(4), 0.5, 0.6, 1.0, ambiguous=False)

    def counted(stack: Stack) -> Volume:
        calls.append("load")
        return loaded(stack)

    monkeypatch.setattr(finding, "register", known)
    monkeypatch.setattr(companions, "loaded", counted)
    kept = Companions()
    assert [kept.channel(volume, t1, Cancel()).volume.uid for _ in range(3)] == [t1.uid] * 3
    assert calls == ["load", "register"]
    small = Companions(budget=1)
    calls.clear()
    again = replace(t1, uid="another")
    for stack in (t1, again, t1):
        small.channel(volume, stack, Cancel())
    assert calls == ["load", "register", "load", "register", "load"], "motions are kept, voxels are not"


def test_what_cannot_be_laid_on_it_is_said(stacks: tuple[Volume, Stack], monkeypatch: pytest.MonkeyPatch) -> None:
    volume, t1 = stacks
    lost = Registration(np.eye(4), 0.5, 0.3, 1.0, ambiguous=False)
    monkeypatch.setattr(finding, "register", lambda *args: lost)
    with pytest.raises(UserError, match="The T1 series could not be laid on the FLAIR series"):
        Companions().channel(volume, t1, Cancel())
