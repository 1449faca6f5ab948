"""The patient taken out of an export, by the engine of `overread deidentify` and under the same key.

DICOM objects are made as ever, checked against their images, and then go through the engine one by one, so that what
they refer to has the very UIDs that the images get. What the engine cannot look into is made without the patient from
the start: the report on paper, tables, pictures, and what leaves for research.
"""

from __future__ import annotations

import copy
import gzip
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from pydicom import Dataset, dcmread

from overread.dicom.check import gate, gate_released, refusing
from overread.dicom.deidentify import Options, Refused, deidentified
from overread.dicom.headers import identity
from overread.dicom.product import Parcel, Product, require
from overread.dicom.pseudonyms import Key
from overread.dicom.release import NOBODY, Report, without_patient
from overread.dicom.remains import Identity, joined, remains
from overread.dicom.source import SHARED, SourceHeaders
from overread.domain.errors import UserError
from overread.domain.finding import Finding, Reader
from overread.domain.study import Stack
from overread.domain.volume import Volume

SOMEBODY = Reader("a reader")
# What stands before the voxels of a NIfTI file, before the triangles of an STL file, in bytes.
_NIFTI, _STL = 352, 80
# A count or a measured number: among those of a table somebody's number of three digits stands by chance.
_MEASURED = re.compile(r"(?<![\w.])-?(\d{1,4}|\d+\.\d+)(e[-+]\d+)?(?![\w.])")


@dataclass(frozen=True)
class Nameless:
    """How the patient is taken out: under which `key`, with which options; `images` leave with what lies on them."""

    key: Key
    options: Options = field(default_factory=Options)
    images: bool = False


class Removal:
    """The patient of one shipment, taken out file by file; all that was done is counted."""

    def __init__(self, how: Nameless, folder: Path) -> None:
        self.how, self._folder = how, folder
        self._done: Counter[tuple[str, str]] = Counter()
        self._warnings: dict[str, list[str]] = defaultdict(list)
        self._written: list[Path] = []
        self._bare: dict[SourceHeaders, SourceHeaders] = {}
        self._told: dict[SourceHeaders, Identity] = {}
        self._seen: set[str] = set()

    def _uid(self, uid: str) -> str:
        return uid if self.how.options.keep_uids else self.how.key.uid(uid)

    def bare(self, parcel: Parcel) -> Parcel:
        """The parcel without its patient. UserError where a finding's own words tell who it is."""
        without, volume = self._without(parcel), parcel.volume
        headers = without.headers
        return replace(
            without,
            findings=tuple(self._finding(finding) for finding in parcel.findings),
            rejected=tuple(self._finding(finding) for finding in parcel.rejected),
            given=Volume(headers.stack, volume.voxels, volume.slope, volume.intercept),
            reader=SOMEBODY,
            signed_by=SOMEBODY if parcel.signed_by else None,
            before={},
            nameless=True,
        )

    def _without(self, parcel: Parcel) -> Parcel:
        """The parcel on de-identified images. UserError where a finding's own words tell who the patient is."""
        headers = self._headers(parcel.headers)
        acquired = None if parcel.acquired is None else self._headers(parcel.acquired)
        told = self._told[parcel.headers]
        for finding in (*parcel.findings, *parcel.rejected):
            if any(told.told_by(text) for text in _words(finding)):
                raise UserError(
                    "What a finding is called, or what was noted of it, tells who the patient is.",
                    "Choose other words and export again.",
                )
        return replace(parcel, headers=headers, acquired=acquired, earlier=())

    def _headers(self, headers: SourceHeaders) -> SourceHeaders:
        if headers not in self._bare:
            images, told = [], []
            for image in headers.images:
                try:
                    made = deidentified(copy.deepcopy(image), self.how.key, self.how.options)
                except Refused as reason:
                    raise UserError(f"An image cannot be de-identified: {reason}.", "Nothing was exported.") from reason
                for keyword in SHARED:
                    made.dataset.setdefault(keyword, "")
                images.append(made.dataset)
                told.append(made.identity)
                self._done.update(made.done)
            stack = headers.stack
            frames = tuple(replace(frame, sop_instance_uid=self._uid(frame.sop_instance_uid)) for frame in stack.frames)
            bare = replace(stack, identity=identity(images[0]), frames=frames)
            self._bare[headers], self._told[headers] = SourceHeaders(bare, tuple(images)), joined(told)
        return self._bare[headers]

    def _finding(self, finding: Finding) -> Finding:
        acts = tuple(replace(act, reader=SOMEBODY) for act in finding.acts)
        return replace(finding, id=self._uid(finding.id), acts=acts, source=None if acts else finding.source)

    def make(self, parcel: Parcel, product: Product) -> tuple[Path, ...]:
        """Write what the engine cannot look into without the patient, check it, and search it for them."""
        bare, told = self.bare(parcel), self._told[parcel.headers]
        paths = tuple(product.write(bare))
        gate(bare, product, paths, self._seen)
        for path in paths:
            with refusing(path.name):
                if path.suffix == ".dcm":
                    require(not remains(dcmread(path), path.read_bytes(), told), "something of the patient remains")
                else:
                    spoken = _without_names_of_models(_spoken(path), bare.findings)
                    require(not told.told_by(spoken), "something of the patient remains")
        self._written += paths
        return paths

    def release(self, parcel: Parcel, paths: Sequence[Path], kind: str) -> tuple[Path, ...]:
        """Take the patient out of objects that were made and checked, and check them once more.

        They are then in files that are named by their new UIDs. UserError where something of the patient remains, or
        one is not what its de-identified images ask for.
        """
        without, told = self._without(parcel), self._told[parcel.headers]
        released = [self._released(path, f"{kind.upper()}_", told) for path in paths]
        gate_released(without, released, self._seen)
        for before, after in zip(paths, released, strict=True):
            with refusing(after.name):
                self._same(dcmread(before, defer_size=1 << 16), dcmread(after, defer_size=1 << 16))
        return tuple(released)

    def _same(self, before: Dataset, after: Dataset) -> None:
        """What makes an object what it is, but for who it is of. Wrong where it differs."""
        require(after.SOPInstanceUID == self._uid(str(before.SOPInstanceUID)), "it has another UID than was meant")
        require(after.SeriesInstanceUID == self._uid(str(before.SeriesInstanceUID)), "it lies in another series")
        require(after.PatientIdentityRemoved == "YES", "it does not say that the patient was removed")
        codes = [str(item.CodeValue) for item in after.DeidentificationMethodCodeSequence]
        require(codes == [code for code, _ in self.how.options.codes], "it says that something else was done")

    def images(self, stacks: Sequence[Stack]) -> tuple[Path, ...]:
        """The files of stacks without the patient. UserError where one cannot be."""
        files = dict.fromkeys(path for stack in stacks for path in stack.paths)
        return tuple(self._released(Path(path), "IMAGE_") for path in files)

    def _released(self, path: Path, prefix: str, told: Identity = NOBODY) -> Path:
        try:
            target, made = without_patient(path, self._folder, self.how.key, self.how.options, told, prefix)
        except Refused as reason:
            raise UserError(
                f"{prefix.rstrip('_')} cannot be de-identified: {reason}.", "Nothing was exported."
            ) from reason
        self._done.update(made.done)
        for text in made.warnings:
            self._warnings[text].append(target.name)
        self._written.append(target)
        return target

    @property
    def report(self) -> Report:
        """What was done."""
        warnings = {text: tuple(names) for text, names in self._warnings.items()}
        return Report(tuple(self._written), (), self._done, warnings, self.how.options)


def _without_names_of_models(text: str, findings: Sequence[Finding]) -> str:
    """A text but for what models are called: who shares a name with one is not told by it."""
    models = [finding.model for finding in findings if finding.model is not None]
    names = {name for model in models for name in (model.id, model.name) if name}
    return re.sub("|".join(re.escape(name) for name in sorted(names, key=len, reverse=True)) or r"\Z", " ", text)


def _words(finding: Finding) -> list[str]:
    """What people wrote on a finding, which stands in pictures and tables."""
    said = [finding.label, finding.reason, finding.concept.meaning, *(mark.text for mark in finding.marks)]
    if finding.proposed is not None:
        said.append(finding.proposed.label)
    return said


def _spoken(path: Path) -> str:
    """What stands in a file that is no DICOM object, and its name; without voxels, triangles and measured numbers."""
    read: Callable[[bytes], bytes] = {
        ".csv": lambda raw: raw.partition(b"\n")[2],  # what columns are called is ours, though people are called Max
        ".json": lambda raw: re.sub(rb'"\w+":', b"", raw),
        ".gz": lambda raw: gzip.decompress(raw)[:_NIFTI],
        ".nrrd": lambda raw: raw.partition(b"\n\n")[0],
        ".stl": lambda raw: raw[:_STL],
        ".png": lambda raw: raw.partition(b"IDAT")[0],
    }.get(path.suffix, lambda raw: raw)
    try:
        said = read(path.read_bytes()).decode("utf-8", "replace")
        return f"{path.name}\n{_MEASURED.sub(' ', said)}"
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path.name} cannot be read back.", "Nothing was exported.") from error
