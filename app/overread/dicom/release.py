"""Files without their patients: each whole or not at all, read back from disk before it is put in place."""

from __future__ import annotations

import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydicom import Dataset, FileMetaDataset, dcmread
from pydicom.errors import InvalidDicomError

from overread import __version__
from overread.dicom.deidentify import EDITION, Options, Refused, Released, deidentified
from overread.dicom.pseudonyms import Key
from overread.dicom.quiet import quiet
from overread.dicom.remains import Identity, joined, remains
from overread.dicom.sources import Names, files
from overread.domain.errors import UserError
from overread.domain.study import Skipped

NO_JUDGE = (
    "Whether text is burned into a picture cannot be judged from headers: look at the pictures before they leave. "
    "Pixel data are as they were, and from slices of a head a face can be computed."
)

NOBODY = Identity(frozenset(), frozenset())


@dataclass(frozen=True)
class Report:
    """What was done. `skipped` names files of the source, so it stays in the house; the rest may go along."""

    written: tuple[Path, ...]
    skipped: tuple[Skipped, ...]
    done: Counter[tuple[str, str]]
    warnings: dict[str, tuple[str, ...]]
    options: Options

    def answer(self) -> dict[str, Any]:
        """It for machines, without anything of the source."""
        attributes: dict[str, dict[str, int]] = defaultdict(dict)
        for (name, how), count in sorted(self.done.items()):
            attributes[name][how] = count
        return {
            "program": f"Overread {__version__}",
            "profile": f"PS3.15 annex E, edition {EDITION}",
            "methods": [{"code": code, "meaning": meaning} for code, meaning in self.options.codes],
            "files": [path.name for path in self.written],
            "left_out": len(self.skipped),
            "attributes": dict(attributes),
            "warnings": [{"text": text, "files": list(names)} for text, names in self.warnings.items()],
            "remark": NO_JUDGE,
        }

    def lines(self) -> list[str]:
        """It for people, without anything of the source."""
        count = len(self.written)
        lines = [
            f"{count} file{'' if count == 1 else 's'} without patients, {len(self.skipped)} left out.",
            "What was done, by PS3.15 annex E:",
            *(f"  {code} {meaning}" for code, meaning in self.options.codes),
            "Attributes:",
            *(f"  {name}: {how}, {times}×" for (name, how), times in sorted(self.done.items())),
        ]
        if self.warnings:
            lines.append("Warnings:")
            lines += [f"  {len(names)}× a file {text}: {names[0]} …" for text, names in self.warnings.items()]
        return [*lines, NO_JUDGE]


def release(
    sources: Sequence[Path],
    out: Path,
    key: Key,
    options: Options,
    progress: Callable[[float], None] = lambda done: None,
) -> Report:
    """Write files without their patients into `out`, named by their new UIDs; the sources are only read.

    A file that cannot be read, or in which something of the patient is found once it is written, is left out and
    named. UserError where `out` lies among the sources, or the disk fails.
    """
    place = out.expanduser().resolve()
    for source in sources:
        top = source.expanduser().resolve()
        if place == top or top in place.parents:
            raise UserError(f"{out} lies among the files that are to be read.", "Name a folder somewhere else.")
    try:
        with tempfile.TemporaryDirectory(prefix="overread-unpacked-") as unpacked, quiet():
            names: Names = {}
            found = list(files(tuple(sources), Path(unpacked), names))
            out.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(prefix=".overread-", dir=out) as partial:
                return _released(found, names, out, Path(partial), key, options, progress)
    except OSError as error:
        raise UserError(
            f"{out} cannot be written: {error.strerror or error}.", "Choose another folder or free some space."
        ) from error


def _released(
    found: list[Path | Skipped],
    names: Names,
    out: Path,
    partial: Path,
    key: Key,
    options: Options,
    progress: Callable[[float], None],
) -> Report:
    written: list[Path] = []
    skipped: list[Skipped] = []
    done: Counter[tuple[str, str]] = Counter()
    warnings: dict[str, list[str]] = defaultdict(list)
    for number, source in enumerate(found):
        progress(number / len(found))
        if isinstance(source, Skipped):
            skipped.append(source)
            continue
        try:
            checked, made = without_patient(source, partial, key, options)
            target = out / checked.name
            if target in written:
                raise Refused("its SOP Instance UID was there already")
            checked.replace(target)
        except Refused as reason:
            skipped.append(Skipped(names.get(source, str(source)), str(reason)))
            continue
        written.append(target)
        done.update(made.done)
        for text in made.warnings:
            warnings[text].append(target.name)
    return Report(
        tuple(written), tuple(skipped), done, {text: tuple(which) for text, which in warnings.items()}, options
    )


def without_patient(
    source: Path, folder: Path, key: Key, options: Options, told: Identity = NOBODY, prefix: str = ""
) -> tuple[Path, Released]:
    """Write one file without its patient into `folder`, named by its new UID after a `prefix`; read back, and searched.

    It is searched for what the file itself tells of the patient and for what was `told` beside it. Refused where
    anything of that remains, or nothing can be made of the file.
    """
    made = deidentified(_read(source), key, options)
    return _checked(made, folder / f"{prefix}{made.dataset.SOPInstanceUID}.dcm", told), made


def _read(path: Path) -> Dataset:
    try:
        dataset = dcmread(path)
        for element in dataset.iterall():  # values that cannot be read show now
            _ = element.value
    except InvalidDicomError as error:
        raise Refused("it is no DICOM file") from error
    except OSError as error:
        raise Refused(f"it cannot be read: {error.strerror or error}") from error
    except Exception as error:  # damaged files raise whatever they make the library stumble over
        raise Refused("it is damaged") from error
    if not dataset.file_meta.get("TransferSyntaxUID"):
        raise Refused("it does not say in which transfer syntax it is")
    return dataset


def _checked(made: Released, path: Path, told: Identity) -> Path:
    """Write a data set, read it back, and look for what must not be there. Refused where it is."""
    dataset = made.dataset
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    meta.TransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    dataset.file_meta, dataset.preamble = meta, b"\0" * 128
    try:
        dataset.save_as(path, enforce_file_format=True)
        back = dcmread(path)
        left = remains(back, path.read_bytes(), joined([made.identity, told]))
        same = back.get("PixelData") == dataset.get("PixelData")
    except OSError:
        raise
    except Exception as error:  # a damaged value may show only when it is to be written
        path.unlink(missing_ok=True)
        raise Refused("it is damaged, so it cannot be written") from error
    if left or not same:
        path.unlink()
        what = f"something of the patient remains in {', '.join(left)}" if left else "its pixels did not come back"
        raise Refused(f"the check after writing failed: {what}")
    return path
