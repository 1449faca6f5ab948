"""A reader who does everything in any order, while models, loads and scans finish early, late or never.

After every step: nothing of a person's was changed by a machine, undo and redo take each other back, what is on screen
belongs to the person on screen, and a second program that reads the journals finds the very same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from numpy.typing import NDArray

from overread import paths
from overread.domain.finding import Finding, Findings, Mask, Reader, Status, find
from overread.domain.geometry import Plane
from overread.domain.ports import Proposal
from overread.domain.study import Stack
from overread.domain.view import scrolled
from overread.imaging.paint import Stroke, empty
from overread.infer.detector import OnnxDetector
from overread.session.books import Books
from overread.session.reading import deliver
from overread.session.review import accept, draw_new, redraw, reject, restore
from support.series import head_like, write_series
from support.sitting import ABNORMAL, LESION, Sitting, detectors

MODEL = "glioma-flair"
SHAPE = (6, 32, 32)
# Two people whose series have the same shape; one has two studies. Series UID → whose, which study, what.
SERIES = {
    "1.2.1.1": ("ONE", "1.2.1", "FLAIR AX"),
    "1.2.1.2": ("ONE", "1.2.1", "T1 AX"),
    "1.2.2.1": ("ONE", "1.2.2", "FLAIR AX"),
    "1.2.3.1": ("TWO", "1.2.3", "FLAIR AX"),
}
picks = st.integers(0, 5)
places = st.tuples(st.integers(0, 5), st.integers(4, 27), st.integers(4, 27))
# What a reader does to findings, one thing after another: the method of the walk, and what it is given.
acts = st.lists(
    st.one_of(
        st.tuples(st.just("judge"), st.tuples(picks, st.sampled_from(["", "artefact", "vessel"]))),
        st.tuples(st.just("draw"), st.tuples(picks, places, places, st.sampled_from([3.0, 20.0]), st.booleans())),
        st.tuples(st.just("all_or_nothing"), st.tuples(picks, st.booleans())),
    ),
    min_size=1,
    max_size=5,
)


class Blocks:
    """A plug-in that proposes two blocks on anything, and one of them elsewhere every time it is asked."""

    id, title, version = "blocks", "Blocks", "1.0"

    def __init__(self) -> None:
        self.asked = 0

    def refuse(self, stack: Stack) -> str:
        return ""

    def __call__(self, volume: Any, progress: Any) -> list[Proposal]:
        progress(0.5)
        found = []
        self.asked += 1
        for at in (6, 14 + self.asked % 5):
            voxels = np.zeros(volume.grid.shape, np.bool_)
            voxels[1:4, at : at + 6, 8:14] = True
            found.append(Proposal("Block", LESION, ABNORMAL, Mask.of(voxels), 0.5))
        return found


class Walk(RuleBasedStateMachine):
    """One reader, one machine, until the end of the day."""

    def __init__(
        self, study: Path, stored: dict[str, NDArray[Any]], models: tuple[OnnxDetector, ...], homes: Iterator[Path]
    ) -> None:
        super().__init__()
        self.study, self.stored, self.models = study, stored, models
        self.home = next(homes)
        os.environ["OVERREAD_HOME"] = str(self.home)
        self.sittings: list[Sitting] = []
        self.seen: dict[str, Findings] = {}
        self.blocks = Blocks()
        self.begin(quiet=True)

    def begin(self, quiet: bool) -> None:
        """The program starts and opens what is there; `quiet` waits until all is read."""
        self.sittings.append(Sitting(self.models, [self.blocks]))
        self.session.change_settings(replace(self.session.settings, reader="Doe"))
        self.session.open([self.study])
        if quiet:
            self.sitting.settle()

    @property
    def sitting(self) -> Sitting:
        return self.sittings[-1]

    @property
    def session(self) -> Any:
        return self.sitting.session

    @property
    def stack(self) -> Stack:
        stack: Stack = self.session.image.stack
        return stack

    def reading(self) -> bool:
        return self.session.image is not None

    def pick(self, which: int) -> Finding | None:
        shown = self.session.shown_findings
        return shown[which % len(shown)] if shown else None

    @contextmanager
    def touching(self, *ids: str) -> Iterator[None]:
        """A reader's own act: it may change the findings named, and no others."""
        before: Findings = self.session.findings
        yield
        after: Findings = self.session.findings
        for finding in (*before, *after):
            if finding.id not in ids:
                assert find(before, finding.id) == find(after, finding.id), "an act on one changed another"
        self.seen[self.stack.identity.study_uid] = after

    # What a reader does

    @precondition(lambda self: any(self.session.sources.catalogue.stacks))
    @rule(ways=st.lists(st.tuples(picks, st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=4))
    def switch(self, ways: list[tuple[int, int, int]]) -> None:
        """From series to series, with so many pieces of work done and so many results come in between."""
        stacks = list(self.session.sources.catalogue.stacks)
        for which, worked, arrived in ways:
            self.session.select(stacks[which % len(stacks)])
            for _ in range(worked):
                self.sitting.run()
            for _ in range(arrived):
                self.sitting.deliver()
                self.what_is_on_screen_is_this_persons()

    @precondition(reading)
    @rule(step=st.integers(-6, 6), which=picks, reader=st.sampled_from(["Doe", "Roe"]))
    def look(self, step: int, which: int, reader: str) -> None:
        """Scroll, hide or show, and perhaps hand over to a colleague."""
        self.session.set_view(scrolled(self.session.view, self.stack.grid, Plane.AXIAL, step))
        finding = self.pick(which)
        if finding is not None:
            view = self.session.view
            self.session.set_view(replace(view, hidden=view.hidden ^ {finding.id}, selected=finding.id))
        self.session.change_settings(replace(self.session.settings, reader=reader))

    @precondition(reading)
    @rule(done=acts)
    def review(self, done: list[tuple[str, tuple[Any, ...]]]) -> None:
        for verb, how in done:
            getattr(self, verb)(*how)

    def judge(self, which: int, reason: str) -> None:
        finding = self.pick(which)
        if finding is None:
            return
        findings, reader = self.session.findings, self.session.reader
        with self.touching(finding.id):
            step = reject(findings, [finding.id], reader, reason) if reason else accept(findings, [finding.id], reader)
            self.session.edit(*step)
        after = find(self.session.findings, finding.id)
        assert after is not None
        assert (after.mask, after.model, after.original) == (finding.mask, finding.model, finding.original)
        assert not reason or after.reason == reason
        assert after.status is Status.REJECTED if reason or not finding.mask else after.status.leaves

    def draw(self, which: int, at: tuple[int, ...], to: tuple[int, ...], diameter: float, erase: bool) -> None:
        finding = self.pick(which)
        if finding is None or (which == 5 and not erase):
            self.draw_one(at, to, diameter)
            return
        stroke = Stroke(self.stack.grid, finding.mask, diameter, erase=erase, through=0)
        stroke.extend(at)
        stroke.extend(to)
        with self.touching(finding.id):
            verb = "Erase" if erase else "Brush"
            findings = self.session.findings
            self.session.edit(*redraw(findings, finding.id, stroke.mask, self.stack, self.session.reader, verb))
        after = find(self.session.findings, finding.id)
        assert after is not None
        assert (after.mask, after.model) == (stroke.mask, finding.model)
        if stroke.mask == finding.mask:
            assert after == finding
        else:
            assert after.reader == self.session.reader
            drawn = finding.mask if finding.model is not None else None
            assert after.original == (drawn if finding.original is None else finding.original)

    def draw_one(self, at: tuple[int, ...], to: tuple[int, ...], diameter: float) -> None:
        stroke = Stroke(self.stack.grid, empty(self.stack.grid.shape), diameter, erase=False, through=None)
        stroke.extend(at)
        stroke.extend(to)
        label, findings, new = draw_new(self.session.findings, stroke.mask, self.stack, self.session.reader)
        with self.touching(new):
            assert self.session.edit(label, findings)

    def all_or_nothing(self, which: int, erase: bool) -> None:
        """Erase all of a finding, or put back what the model drew."""
        finding, findings, reader = self.pick(which), self.session.findings, self.session.reader
        if finding is None or (not erase and finding.original is None):
            return
        blank = empty(self.stack.grid.shape)
        with self.touching(finding.id):
            if erase:
                self.session.edit(*redraw(findings, finding.id, blank, self.stack, reader, "Erase"))
            else:
                self.session.edit(*restore(findings, finding.id, self.stack, reader))

    @precondition(reading)
    @rule(steps=st.integers(1, 4), forward=st.booleans())
    def travel(self, steps: int, forward: bool) -> None:
        for _ in range(steps):
            label = self.session.redo_label if forward else self.session.undo_label
            assert (self.session.redo() if forward else self.session.undo()) == bool(label)
        self.seen[self.stack.identity.study_uid] = self.session.findings

    @precondition(lambda self: self.reading() and any(f.status.leaves for f in self.session.shown_findings))
    @rule()
    def export(self) -> None:
        folder = self.home / "out"
        if not folder.exists():
            written = deliver(self.stack, self.session.shown_findings, folder, self.session.reader)
            assert [item.kind for item in written] == ["SEG", "SR"]
            self.session.note("export", ", ".join(item.path.name for item in written), self.stack.identity)

    # What the machine does

    @rule(worked=st.integers(0, 2), arrived=st.integers(0, 8), all_of_it=st.booleans())
    def pass_time(self, worked: int, arrived: int, all_of_it: bool) -> None:
        for _ in range(worked):
            self.sitting.run()
        for _ in range(arrived):
            self.sitting.deliver()
        if all_of_it:
            self.sitting.settle()

    @rule(what=st.sampled_from(["toggle", "pause", "all", "stop"]))
    def steer(self, what: str) -> None:
        runs = self.session.runs
        {"toggle": lambda: self.session.toggle_model(MODEL), "stop": self.session.stop_youngest}.get(
            what, lambda: runs.pause(MODEL) if what == "pause" else runs.read_all(MODEL)
        )()

    @precondition(reading)
    @rule(quiet=st.booleans())
    def plugin(self, quiet: bool) -> None:
        self.session.run_plugin(self.blocks, lambda count: None)
        if quiet:
            self.sitting.settle()

    @rule(how=st.sampled_from(["open", "close", "kill"]), quiet=st.booleans())
    def start_again(self, how: str, quiet: bool) -> None:
        """The study is opened once more; or the program ends; or it is killed and closes nothing."""
        if how == "open":
            self.session.open([self.study])
            return
        if how == "close":
            self.sitting.close()
        else:
            self.sitting.die()
        self.begin(quiet)

    # What holds after every step

    @invariant()
    def nothing_failed(self) -> None:
        assert self.sitting.errors == []

    @invariant()
    def what_is_on_screen_is_this_persons(self) -> None:
        image = self.session.image
        if image is None:
            assert self.session.findings == ()
            return
        whose, study, _ = SERIES[image.stack.identity.series_uid]
        assert (image.stack.identity.patient_id, image.stack.identity.study_uid) == (whose, study)
        stored = self.stored[image.stack.identity.series_uid]
        for k, state in enumerate(image.ready.slices):
            assert state != 2
            if state == 1:
                assert np.array_equal(image.volume.voxels[k], stored[k])
        for finding in self.session.findings:
            assert SERIES[finding.series_uid][:2] == (whose, study)
        for finding in self.session.shown_findings:
            assert finding.stack_uid == image.stack.uid
            assert finding.mask.shape == image.stack.grid.shape

    @invariant()
    def findings_make_sense(self) -> None:
        findings: Findings = self.session.findings
        assert len({finding.id for finding in findings}) == len(findings)
        for finding in findings:
            assert finding.status is Status.PROPOSED or finding.acts
            assert finding.model is not None or finding.acts[0].verb == "draw"
            assert finding.original is None or finding.model is not None
            assert not finding.status.leaves or finding.mask
            assert {act.reader for act in finding.acts} <= {Reader("Doe"), Reader("Roe")}

    @invariant()
    def no_machine_changed_what_is_a_persons(self) -> None:
        if self.session.image is None:
            return
        study = self.stack.identity.study_uid
        for finding in self.seen.get(study, ()):
            if finding.touched:
                assert find(self.session.findings, finding.id) == finding
        self.seen[study] = self.session.findings

    @invariant()
    def undo_and_redo_take_each_other_back(self) -> None:
        before = self.session.findings, self.session.undo_label, self.session.redo_label
        for there, back in ((self.session.undo, self.session.redo), (self.session.redo, self.session.undo)):
            if there():
                assert self.session.findings != before[0]
                assert back()
            assert (self.session.findings, self.session.undo_label, self.session.redo_label) == before

    @invariant()
    def a_second_program_finds_the_same(self) -> None:
        if self.session.image is None:
            return
        books = Books(paths.data() / "journals")
        try:
            book = books.of(self.stack.identity)
            assert book.findings == self.session.findings
            assert book.history.undo_label == self.session.undo_label
            assert book.history.redo_label == self.session.redo_label
            assert book.journal.broken() is None
        finally:
            books.close()

    def teardown(self) -> None:
        for sitting in self.sittings:
            sitting.close()


def test_a_day_of_reading(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stored = {}
    for number, (series, (whose, study, what)) in enumerate(SERIES.items()):
        stored[series] = np.roll(head_like(SHAPE, seed=number), 2 * number, axis=2)
        write_series(
            tmp_path / "study" / series,
            stored[series],
            description=what,
            patient=(f"TEST^{whose}", whose),
            study=study,
            series=series,
            spacing=(4.0, 4.0),
            step=5.0,
            FrameOfReferenceUID=study,
        )
    monkeypatch.setenv("OVERREAD_HOME", str(tmp_path))

    def homes() -> Iterator[Path]:
        number = 0
        while True:
            number += 1
            yield tmp_path / f"home{number}"

    left = homes()
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        lambda: Walk(tmp_path / "study", stored, detectors(models), left),
        settings=settings(
            max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
        ),
    )
