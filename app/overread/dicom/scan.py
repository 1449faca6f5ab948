"""Folder → studies, from headers alone, growing while the scan runs."""

from __future__ import annotations

import filecmp
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from overread.dicom.headers import FrameFacts, read_facts
from overread.dicom.objects import pictured, read_object, shown_on
from overread.dicom.sources import Names, files
from overread.dicom.stacks import stacks
from overread.dicom.values import NotAnImage
from overread.domain.study import Catalogue, DerivedObject, Patient, Series, Skipped, Stack, Study

_Key = tuple[str, str, str]
_EVERY_S = 0.25


class _Found:
    """What has been found so far. Series that did not change since the last picture are not worked out again."""

    def __init__(self) -> None:
        self.frames: dict[_Key, dict[str, dict[str, list[FrameFacts]]]] = {}
        self.seen: dict[tuple[_Key, str, int], FrameFacts] = {}
        self.skipped: list[Skipped] = []
        self.objects: dict[str, DerivedObject] = {}
        self.names: Names = {}
        self.known: dict[tuple[Any, ...], Any] = {}
        self.done: dict[tuple[_Key, str, str], tuple[int, Series]] = {}

    def add(self, path: Path) -> None:
        name = self.names.get(path, str(path))
        try:
            found = read_facts(path, self.known)
        except NotAnImage as reason:
            self._add_object(path, name, str(reason))
            return
        for facts in found:
            uid = facts.frame.sop_instance_uid
            other = self.seen.setdefault((facts.patient, uid, facts.frame.index), facts) if uid else facts
            if other is not facts:
                same = (other.series, other.number, other.position) == (facts.series, facts.number, facts.position)
                what = "a copy" if same else "bears the SOP Instance UID"
                self.skipped.append(Skipped(name, f"{what} of an image that is already there"))
                return
            studies = self.frames.setdefault(facts.patient, {})
            studies.setdefault(facts.identity.study_uid, {}).setdefault(facts.series, []).append(facts)

    def _add_object(self, path: Path, name: str, reason: str) -> None:
        """Keep what speaks about images; what else is no image is left out for `reason`, or for one that says more."""
        try:
            found = read_object(path)
        except NotAnImage as better:
            self.skipped.append(Skipped(name, str(better) or reason))
            return
        other = self.objects.setdefault(found.source.sop_instance_uid or str(path), found)
        if other is not found:
            what = "a copy" if filecmp.cmp(path, other.path, shallow=False) else "bears the SOP Instance UID"
            self.skipped.append(Skipped(name, f"{what} of a {other.source.kind} that is already there"))

    def catalogue(self, *, whole: bool = False) -> Catalogue:
        """What is there so far; once it is the `whole`, with the objects that speak about it."""
        patients = []
        for key, studies in self.frames.items():
            found = tuple(self._study(key, uid, series) for uid, series in studies.items())
            kept = tuple(study for study in found if study.series)
            if kept:
                first = next(iter(next(iter(studies.values())).values()))[0].identity
                ordered = tuple(sorted(kept, key=lambda study: study.date, reverse=True))
                patients.append(Patient(first.patient_id, first.patient_name, first.birth_date, ordered))
        return self._with_objects(patients) if whole else Catalogue(tuple(patients), tuple(self.skipped))

    def _with_objects(self, patients: list[Patient]) -> Catalogue:
        """The catalogue with each object in the study whose images it speaks of; those without any are named."""
        skipped = list(self.skipped)
        shown: list[DerivedObject] = []
        stacks = [stack for patient in patients for study in patient.studies for stack in study.stacks]
        for each in shown_on(tuple(self.objects.values()), stacks):
            if isinstance(each, DerivedObject):
                shown.append(each)
            else:
                path, reason = each
                skipped.append(Skipped(self.names.get(Path(path), path), reason))
        told = (
            replace(patient, studies=tuple(_told(study, shown, stacks) for study in patient.studies))
            for patient in patients
        )
        return Catalogue(tuple(told), tuple(skipped))

    def _study(self, key: _Key, uid: str, series: dict[str, list[FrameFacts]]) -> Study:
        built = [self._series(key, uid, name, frames) for name, frames in series.items()]
        first = next(iter(series.values()))[0].identity
        ordered = sorted((s for s in built if s.stacks), key=lambda s: (s.number is None, s.number or 0, s.uid))
        return Study(uid, first.study_date, first.study_description, tuple(ordered))

    def _series(self, key: _Key, study: str, name: str, frames: list[FrameFacts]) -> Series:
        known = self.done.get((key, study, name))
        if known and known[0] == len(frames):
            return known[1]
        who = frames[0].identity
        series = Series(who.series_uid, who.series_number, who.modality, who.series_description, stacks(frames))
        self.done[key, study, name] = (len(frames), series)
        return series


def _told(study: Study, objects: list[DerivedObject], stacks: list[Stack]) -> Study:
    """The study with what speaks about its images, and its captures with what they are pictures of."""
    uids = {stack.uid for stack in study.stacks}
    series = tuple(
        replace(each, stacks=tuple(_linked(stack, stacks) for stack in each.stacks)) for each in study.series
    )
    return replace(study, series=series, objects=tuple(each for each in objects if uids.intersection(each.stacks)))


def _linked(stack: Stack, stacks: list[Stack]) -> Stack:
    of = pictured(stack, stacks)
    return replace(stack, made_from=of) if of else stack


def scan(paths: tuple[Path, ...], scratch: Path) -> Iterator[Catalogue]:
    """Yield what has been found, several times a second and once more at the end.

    UserError where a path cannot be opened at all. Damaged files and files that are no images are named in `skipped`.
    """
    found = _Found()
    shown = time.monotonic()
    for path in files(paths, scratch, found.names):
        if isinstance(path, Skipped):
            found.skipped.append(path)
        else:
            found.add(path)
        if time.monotonic() - shown > _EVERY_S:
            yield found.catalogue()
            shown = time.monotonic()
    yield found.catalogue(whole=True)


def scanned(paths: tuple[Path, ...], scratch: Path) -> Catalogue:
    """The whole scan at once."""
    *_, last = scan(paths, scratch)
    return last
