"""Folder → studies, from headers alone, growing while the scan runs."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from overread.dicom.headers import FrameFacts, NotAnImage, read_facts
from overread.dicom.sources import files
from overread.dicom.stacks import stacks
from overread.domain.study import Catalogue, Patient, Series, Skipped, Study

_Key = tuple[str, str, str]
_EVERY_S = 0.25


class _Found:
    """What has been found so far. Series that did not change since the last picture are not worked out again."""

    def __init__(self) -> None:
        self.frames: dict[_Key, dict[str, dict[str, list[FrameFacts]]]] = {}
        self.seen: set[tuple[_Key, str, int]] = set()
        self.skipped: list[Skipped] = []
        self.known: dict[tuple[Any, ...], Any] = {}
        self.done: dict[tuple[_Key, str, str], tuple[int, Series]] = {}

    def add(self, path: Path) -> None:
        try:
            found = read_facts(path, self.known)
        except NotAnImage as reason:
            self.skipped.append(Skipped(str(path), str(reason)))
            return
        for facts in found:
            instance = (facts.patient, facts.frame.sop_instance_uid, facts.frame.index)
            if facts.frame.sop_instance_uid and instance in self.seen:
                self.skipped.append(Skipped(str(path), "a copy of an image that is already there"))
                return
            self.seen.add(instance)
            who = facts.identity
            studies = self.frames.setdefault(facts.patient, {})
            studies.setdefault(who.study_uid, {}).setdefault(who.series_uid, []).append(facts)

    def catalogue(self) -> Catalogue:
        patients = []
        for key, studies in self.frames.items():
            found = tuple(self._study(key, uid, series) for uid, series in studies.items())
            kept = tuple(study for study in found if study.series)
            if kept:
                first = next(iter(next(iter(studies.values())).values()))[0].identity
                ordered = tuple(sorted(kept, key=lambda study: study.date, reverse=True))
                patients.append(Patient(first.patient_id, first.patient_name, first.birth_date, ordered))
        return Catalogue(tuple(patients), tuple(self.skipped))

    def _study(self, key: _Key, uid: str, series: dict[str, list[FrameFacts]]) -> Study:
        built = [self._series(key, uid, series_uid, frames) for series_uid, frames in series.items()]
        first = next(iter(series.values()))[0].identity
        ordered = sorted((s for s in built if s.stacks), key=lambda s: (s.number is None, s.number or 0, s.uid))
        return Study(uid, first.study_date, first.study_description, tuple(ordered))

    def _series(self, key: _Key, study: str, uid: str, frames: list[FrameFacts]) -> Series:
        known = self.done.get((key, study, uid))
        if known and known[0] == len(frames):
            return known[1]
        who = frames[0].identity
        try:
            built = stacks(frames)
        except (ValueError, ArithmeticError) as error:
            built = ()
            self.skipped.extend(Skipped(facts.frame.path, f"damaged geometry: {error}") for facts in frames)
        series = Series(uid, who.series_number, who.modality, who.series_description, built)
        self.done[key, study, uid] = (len(frames), series)
        return series


def scan(paths: tuple[Path, ...], scratch: Path) -> Iterator[Catalogue]:
    """Yield what has been found, several times a second and once more at the end.

    UserError where a path cannot be opened at all. Damaged files and files that are no images are named in `skipped`.
    """
    found = _Found()
    shown = time.monotonic()
    for path in files(paths, scratch):
        if isinstance(path, Skipped):
            found.skipped.append(path)
        else:
            found.add(path)
        if time.monotonic() - shown > _EVERY_S:
            yield found.catalogue()
            shown = time.monotonic()
    yield found.catalogue()


def scanned(paths: tuple[Path, ...], scratch: Path) -> Catalogue:
    """The whole scan at once."""
    *_, last = scan(paths, scratch)
    return last
