"""The sitting: one person's pixels at a time, late answers dropped, nothing lost when disk or window says no."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from overread import paths
from overread.domain.errors import UserError
from overread.domain.finding import Mask
from overread.domain.ports import Proposal
from overread.domain.study import Stack
from overread.domain.view import Tool
from overread.domain.volume import Volume
from overread.session.books import Books
from overread.session.journal import journal_path
from overread.session.review import accept, draw_new
from overread.session.settings import Settings, load
from overread.session.state import Image
from support.series import head_like, write_series
from support.sitting import ABNORMAL, DOE, LESION, Sitting, box_mask

SHAPE = (6, 24, 24)


class Spot:
    """A plug-in that sees one block."""

    id, title, version = "spot", "Spot", "1.0"

    def refuse(self, stack: Stack) -> str:
        return ""

    def __call__(self, volume: Volume, progress: Callable[[float], None]) -> Sequence[Proposal]:
        voxels = np.zeros(volume.grid.shape, np.bool_)
        voxels[1:3, 4:8, 4:8] = True
        return [Proposal("Spot", LESION, ABNORMAL, Mask.of(voxels))]


@pytest.fixture
def people(tmp_path: Path) -> tuple[Path, dict[str, NDArray[Any]]]:
    """Two people in one folder, whose series agree in everything but the person and the pixels."""
    stored = {}
    for seed, whose in enumerate(("ONE", "TWO")):
        stored[whose] = head_like(SHAPE, seed=seed)
        write_series(
            tmp_path / "people" / whose,
            stored[whose],
            patient=(f"TEST^{whose}", whose),
            study="1.2.3",
            series="1.2.3.4",
        )
    return tmp_path / "people", stored


def of(sitting: Sitting, whose: str) -> Stack:
    return next(s for s in sitting.session.sources.catalogue.stacks if s.identity.patient_id == whose)


def image_of(sitting: Sitting) -> Image:
    assert sitting.session.image is not None
    return sitting.session.image


def draw(sitting: Sitting, column: int = 1) -> str:
    stack, findings = image_of(sitting).stack, sitting.session.findings
    label, after, new = draw_new(findings, box_mask(SHAPE, (1, 1, column), (2, 3, 4)), stack, sitting.session.reader)
    return new if sitting.session.edit(label, after) else ""


def test_switched_in_mid_load_the_late_slices_are_nobodys(
    sit: Callable[..., Sitting], people: tuple[Path, dict[str, NDArray[Any]]]
) -> None:
    folder, stored = people
    sitting = sit()
    sitting.open(folder)
    for whose in ("TWO", "ONE", "TWO", "ONE", "TWO"):
        sitting.session.select(of(sitting, whose))
        assert sitting.run()  # all slices of this one are on their way, and the next one is chosen
        assert set(image_of(sitting).ready.slices) == {0}
    sitting.session.select(of(sitting, "ONE"))
    while sitting.deliver():
        assert set(image_of(sitting).ready.slices) == {0}, "slices of another image were taken for this one's"
    sitting.settle()
    assert image_of(sitting).ready.whole
    assert np.array_equal(image_of(sitting).volume.voxels, stored["ONE"])
    assert sitting.session.jobs.running == ()


def test_closed_or_opened_anew_in_mid_work_nothing_late_arrives(
    sit: Callable[..., Sitting], people: tuple[Path, dict[str, NDArray[Any]]], tmp_path: Path
) -> None:
    folder, stored = people
    write_series(tmp_path / "third", stored["ONE"] + np.int16(1), patient=("TEST^THREE", "THREE"))
    sitting = sit()
    told: list[int] = []
    sitting.session.open([folder])
    sitting.run()
    sitting.session.open([tmp_path / "third"])
    while sitting.deliver():
        assert sitting.session.sources.catalogue.patients == ()
    sitting.settle()
    assert [patient.id for patient in sitting.session.sources.catalogue.patients] == ["THREE"]
    sitting.session.run_plugin(Spot(), told.append)
    sitting.run()
    sitting.open(folder)
    assert told == []
    assert sitting.session.findings == ()
    sitting.session.run_plugin(Spot(), told.append)
    sitting.run()
    sitting.session.close_image()
    sitting.settle()
    assert told == []
    assert (sitting.session.image, sitting.session.findings) == (None, ())
    assert not sitting.session.undo()
    assert not sitting.session.edit("Draw", ())
    assert sitting.errors == []


def test_each_person_has_a_book_of_their_own(
    sit: Callable[..., Sitting], people: tuple[Path, dict[str, NDArray[Any]]]
) -> None:
    sitting = sit()
    sitting.open(people[0])
    changes: list[tuple[int, int]] = []
    sitting.session.findings_changed.connect(lambda old, new: changes.append((len(old), len(new))))
    sitting.session.select(of(sitting, "ONE"))
    mine = draw(sitting)
    sitting.session.select(of(sitting, "TWO"))
    assert (sitting.session.findings, sitting.session.undo_label, sitting.session.saved) == ((), "", None)
    assert not sitting.session.undo(), "another person's step is not taken back from here"
    draw(sitting)
    draw(sitting, 9)
    sitting.session.select(of(sitting, "ONE"))
    assert [finding.id for finding in sitting.session.findings] == [mine]
    assert changes == [(0, 1), (1, 0), (0, 1), (1, 2), (2, 0), (0, 1)]


def test_a_load_that_was_stopped_goes_on_when_the_series_is_chosen_again(
    sit: Callable[..., Sitting], people: tuple[Path, dict[str, NDArray[Any]]]
) -> None:
    folder, stored = people
    sitting = sit()
    sitting.session.open([folder])
    while sitting.session.image is None:
        assert sitting.deliver() or sitting.run()
    stack = image_of(sitting).stack
    sitting.session.select(stack)
    assert len(sitting.session.jobs.running) == 1, "chosen twice it is loaded once"
    sitting.session.stop_youngest()
    sitting.settle()
    assert not image_of(sitting).ready.complete
    sitting.session.select(stack)
    sitting.settle()
    assert np.array_equal(image_of(sitting).volume.voxels, stored[stack.identity.patient_id])
    sitting.session.stop_youngest()


def test_a_scan_that_was_stopped_keeps_what_it_has(
    sit: Callable[..., Sitting], people: tuple[Path, dict[str, NDArray[Any]]]
) -> None:
    sitting = sit()
    sitting.session.open([people[0]])
    sitting.session.stop_youngest()
    sitting.settle()
    assert not sitting.session.sources.scanning
    assert sitting.session.image is None
    sitting.open(people[0])
    assert len(sitting.session.sources.catalogue.patients) == 2


def test_how_one_looks_belongs_to_the_stack_and_habits_to_the_reader(
    sit: Callable[..., Sitting], people: tuple[Path, dict[str, NDArray[Any]]]
) -> None:
    sitting = sit()
    sitting.open(people[0])
    session = sitting.session
    session.select(of(sitting, "ONE"))
    sitting.settle()
    mine = replace(session.view, cursor=(2, 3, 4), window=replace(session.view.window, width=77.0), tool=Tool.BRUSH)
    session.set_view(replace(mine, opacity=0.3))
    session.select(of(sitting, "TWO"))
    sitting.settle()
    assert session.view.cursor == (3, 12, 12)
    assert session.view.window.width != 77.0
    assert session.view.tool is Tool.WINDOW
    brush = replace(session.view.brush, diameter_mm=4.0)
    session.set_view(replace(session.view, opacity=0.7, overlays=False, brush=brush))
    session.select(of(sitting, "ONE"))
    assert (session.view.cursor, session.view.window.width) == ((2, 3, 4), 77.0)
    assert (session.view.opacity, session.view.overlays, session.view.brush) == (0.7, False, brush)
    assert session.view.tool is Tool.WINDOW, "a pen laid down stays down"


def test_an_export_is_told_in_the_journal_of_what_was_exported(
    sit: Callable[..., Sitting], people: tuple[Path, dict[str, NDArray[Any]]]
) -> None:
    sitting = sit()
    sitting.open(people[0])
    one, two = of(sitting, "ONE"), of(sitting, "TWO")
    sitting.session.select(two)
    draw(sitting)
    sitting.session.note("export", "one.dcm", one.identity)  # written while the reader has gone on to another
    sitting.session.note("export", "two.dcm", two.identity)
    sitting.settle()
    draw(sitting, 9)
    books = Books(paths.data() / "journals")
    assert [(e.verb, e.label) for e in books.of(one.identity).journal.entries()] == [("export", "one.dcm")]
    verbs = [entry.verb for entry in books.of(two.identity).journal.entries()]
    assert verbs == ["edit", "export", "edit"]
    books.close()
    assert sitting.errors == []


def test_a_step_that_cannot_be_saved_is_told_and_not_made(
    sit: Callable[..., Sitting], people: tuple[Path, dict[str, NDArray[Any]]]
) -> None:
    sitting = sit()
    sitting.open(people[0])
    assert draw(sitting)
    before, changes = sitting.session.findings, []
    sitting.session.findings_changed.connect(lambda old, new: changes.append(new))
    book = sitting.session._book
    assert book is not None
    book.journal._db.execute("PRAGMA query_only = ON")
    assert not draw(sitting, 9)
    assert not sitting.session.undo()
    assert not sitting.session.edit(*accept(before, [before[0].id], DOE))
    sitting.session.note("export", "a.dcm", image_of(sitting).stack.identity)
    sitting.settle()
    assert [isinstance(error, UserError) for error in sitting.errors] == [True] * 4
    assert (sitting.session.findings, changes) == (before, [])
    assert sitting.session.undo_label == "Draw Lesion 1"
    book.journal._db.execute("PRAGMA query_only = OFF")
    assert sitting.session.undo()
    assert len(changes) == 1


def test_a_damaged_journal_closes_that_study_and_no_other(
    sit: Callable[..., Sitting], people: tuple[Path, dict[str, NDArray[Any]]]
) -> None:
    sitting = sit()
    sitting.open(people[0])
    one, two = of(sitting, "ONE"), of(sitting, "TWO")
    sitting.close()
    journal = journal_path(paths.data() / "journals", one.identity)
    for file in journal.parent.glob(f"{journal.stem}*"):
        file.unlink()
    journal.write_bytes(b"no journal " * 500)
    again = sit()
    again.open(people[0])
    again.session.select(two)
    again.session.select(one)
    assert again.session.image is None
    assert "damaged" in str(again.errors[-1])
    assert "TEST" not in str(again.errors[-1])
    again.session.select(two)
    again.settle()
    assert image_of(again).ready.whole
    assert draw(again)
    journal.unlink()
    again.session.select(one)
    assert draw(again)


def test_two_windows_on_one_study_lose_nothing(
    sit: Callable[..., Sitting], people: tuple[Path, dict[str, NDArray[Any]]]
) -> None:
    one, other = sit(), sit()
    for sitting in (one, other):
        sitting.open(people[0])
        sitting.session.select(of(sitting, "ONE"))
    mine = draw(one)
    assert not draw(other)
    assert "another window" in str(other.errors[0])
    one.close()
    other.session.select(of(other, "TWO"))
    other.session.select(of(other, "ONE"))
    assert [finding.id for finding in other.session.findings] == [mine], "opened again it is there, as was promised"
    assert draw(other, 9)
    assert len(other.session.findings) == 2


def test_a_study_that_was_moved_is_the_same_study(
    sit: Callable[..., Sitting], people: tuple[Path, dict[str, NDArray[Any]]], tmp_path: Path
) -> None:
    sitting = sit()
    sitting.open(people[0])
    sitting.session.select(of(sitting, "ONE"))
    mine = draw(sitting)
    sitting.close()
    people[0].rename(tmp_path / "moved")
    again = sit()
    again.open(tmp_path / "moved")
    again.session.select(of(again, "ONE"))
    assert [finding.id for finding in again.session.shown_findings] == [mine]
    assert again.session.undo_label == "Draw Lesion 1"


def test_what_was_opened_is_remembered_from_the_root(
    sit: Callable[..., Sitting], people: tuple[Path, dict[str, NDArray[Any]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(people[0].parent)
    sitting = sit()
    sitting.open(Path("people"))
    assert sitting.session.settings.recent == (str(people[0]),)
    told: list[UserError] = []
    assert load(paths.config() / "settings.toml", told.append).recent == (str(people[0]),)
    assert told == []


def test_a_folder_whose_name_is_no_text_opens_all_the_same(sit: Callable[..., Sitting], tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"M\xfcller")
    write_series(folder, head_like(SHAPE))
    sitting = sit()
    sitting.open(folder)
    assert image_of(sitting).ready.whole
    assert sitting.errors == []


def test_nothing_there_is_said_plainly(sit: Callable[..., Sitting], tmp_path: Path) -> None:
    sitting = sit()
    (tmp_path / "empty").mkdir()
    sitting.open(tmp_path / "empty")
    sitting.open(tmp_path / "nowhere")
    assert [type(error) for error in sitting.errors] == [UserError, UserError]
    assert "folder is empty" in str(sitting.errors[0])
    assert not sitting.session.sources.scanning
    assert sitting.session.settings.recent == Settings().recent


def test_the_end_leaves_nothing_behind(
    sit: Callable[..., Sitting], people: tuple[Path, dict[str, NDArray[Any]]]
) -> None:
    sitting = sit()
    scratch = sitting.session._scratch.folder
    sitting.open(people[0])
    draw(sitting)
    sitting.session.run_plugin(Spot(), lambda count: None)
    sitting.run()
    sitting.close()
    while sitting.deliver():
        pass
    assert not scratch.exists()
    assert sitting.errors == []
    assert sitting.session.image is None


def test_the_session_knows_neither_window_nor_screen() -> None:
    script = "import sys, overread.session.session; print([n for n in sys.modules if n in ('PySide6', 'vtkmodules')])"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    told = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert told.stdout.strip() == "[]"
