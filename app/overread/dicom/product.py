"""What a product of the export is: how it is written, how it is read back, which findings it has room for."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from pydicom import Dataset

from overread.dicom.codecs import Undecodable
from overread.dicom.load import loaded
from overread.dicom.source import SourceHeaders
from overread.dicom.upright import TILTED, sheared, straight
from overread.dicom.upright import room as no_upright
from overread.domain.errors import UserError
from overread.domain.finding import Finding, Kind, Reader, Status
from overread.domain.study import Stack, Window
from overread.domain.volume import Volume

_NOTED = "It is a note of others, which presentation states and reports alone have room for."


class Wrong(Exception):
    """What does not agree, in words that follow "it failed the check before export:"."""


def require(condition: bool, what: str) -> None:
    """Wrong unless the condition holds."""
    if not condition:
        raise Wrong(what)


@dataclass(frozen=True)
class Left:
    """A DICOM object that left earlier: of which product, on which stack, and its UIDs."""

    product: str
    stack_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    series_uid: str
    study_uid: str


@dataclass(frozen=True, eq=False)
class Parcel:
    """What one product is made of: the findings of one stack that it carries, and all that may be said with them.

    `folder` is where its files go: a temporary one, where nothing else may be touched. `number` is a Series Number of
    its own. `tag` tells the files of this export from those of others. `given` holds the voxels where somebody has
    them, `window` how the reader looked at them. `before` are the files that products named earlier in the registry
    have written in this export, by product.

    `rejected` are findings that a reader turned down, where it was asked for that they are told of; `undecided` is how
    many of the stack still wait. `signed_by` is who signs what leaves, None where nobody does. `earlier` are the
    objects of this product that left before about the same images, oldest first. Where the slices were resampled for
    it, `headers` are those of the derived series and `acquired` those of the images that it was made of. One that is
    `nameless` is of no patient any more, and tells no dates.
    """

    product: str
    headers: SourceHeaders
    findings: tuple[Finding, ...]
    reader: Reader
    number: int
    folder: Path
    tag: str
    given: Volume | None = None
    window: Window | None = None
    before: Mapping[str, tuple[Path, ...]] = field(default_factory=dict)
    rejected: tuple[Finding, ...] = ()
    undecided: int = 0
    signed_by: Reader | None = None
    earlier: tuple[Left, ...] = ()
    acquired: SourceHeaders | None = None
    nameless: bool = False

    @property
    def stack(self) -> Stack:
        """The images that the findings lie on."""
        return self.headers.stack

    @cached_property
    def volume(self) -> Volume:
        """The voxels; decoded when first asked for. UserError where they cannot be read."""
        try:
            return loaded(self.stack) if self.given is None else self.given
        except Undecodable as error:
            raise UserError(
                f"The series cannot be read: {error}.", "Copy the files again from where they came."
            ) from error

    def path(self, ending: str, detail: str = "") -> Path:
        """A name for a file: product, series, `detail` and tag, with an `ending` such as "dcm" or "nii.gz"."""
        who = self.stack.identity
        words = [self.product.upper(), f"{who.series_number or 0:03d}", who.series_description or "series", detail]
        name = "_".join(part for word in words if (part := re.sub(r"[^A-Za-z0-9]+", "-", word).strip("-")[:40]))
        return self.folder / f"{name}_{self.tag}.{ending}"

    def save(self, dataset: Dataset, detail: str = "") -> Path:
        """Write a DICOM object into the folder."""
        path = self.path("dcm", detail)
        dataset.save_as(path, enforce_file_format=True)
        return path


@dataclass(frozen=True)
class Product:
    """One kind of thing that can leave.

    `write` puts files into the parcel's folder and returns them; `check` reads them back from disk and raises Wrong
    where they say anything else than was meant; whatever else it raises means that they cannot be read. Every DICOM
    object is also put to the common checks. `refuse` says in a sentence why a finding has no place in it, "" where it
    has; a product without any finding is not written. One that `tells_rejected` is told of rejected findings too. The
    readers of one that is `straight` know upright grids alone: of sheared slices it is made on a grid that they were
    resampled onto, where the reader agreed to that. One that is `opaque` holds what de-identification cannot look into:
    it is made without the patient where they are to be taken out. One that `notes` has room for what others noted.
    """

    name: str
    title: str
    write: Callable[[Parcel], Sequence[Path]]
    check: Callable[[Parcel, Sequence[Path]], None]
    refuse: Callable[[Stack, Finding], str]
    tells_rejected: bool = False
    straight: bool = False
    opaque: bool = False
    notes: bool = False

    def room(self, stack: Stack, finding: Finding, *, resample: bool = False) -> str:
        """Why a finding has no place in it as it would leave now, "" where it has."""
        if finding.kind is Kind.ANNOTATION and not self.notes:
            return _NOTED
        if not (self.straight and finding.mask and sheared(stack)):
            return self.refuse(stack, finding)
        return no_upright(stack, finding) or (self.refuse(straight(stack), finding) if resample else TILTED)


@dataclass(frozen=True)
class Plan:
    """Which findings of a stack go into which product, and why those stay behind that none has room for.

    `rejected` are those that products which tell of them tell of; `undecided` is how many wait for a verdict.
    `unwritten` are products that were asked for and have room for no outline of this stack, and why.
    """

    carried: tuple[tuple[Product, tuple[Finding, ...]], ...]
    staying: tuple[tuple[Finding, str], ...]
    rejected: tuple[Finding, ...] = ()
    undecided: int = 0
    unwritten: tuple[tuple[Product, str], ...] = ()

    @property
    def remark(self) -> str:
        """What is said of those that stay and of what is not written, "" where there is neither."""
        reasons = dict.fromkeys(reason for _, reason in self.staying)
        said = [
            f"{', '.join(finding.title for finding, why in self.staying if why == reason)} did not leave. {reason}"
            for reason in reasons
        ]
        said += [f"Not written: {product.title}. {why}" for product, why in self.unwritten if why not in reasons]
        return " ".join(said)


def planned(
    stack: Stack,
    findings: Sequence[Finding],
    products: Sequence[Product],
    *,
    rejected: bool = False,
    resample: bool = False,
) -> Plan:
    """What would leave of the findings of a stack, by product; with `rejected`, reports tell of those too.

    With `resample` sheared slices are resampled for products that need an upright grid.
    """

    def why(product: Product, finding: Finding) -> str:
        return product.room(stack, finding, resample=resample)

    leaving = [finding for finding in findings if finding.status.leaves and not finding.erased]
    turned_down = tuple(f for f in findings if f.status is Status.REJECTED and f.given) if rejected else ()
    room = [(product, tuple(f for f in leaving if not why(product, f))) for product in products]
    carried = {finding.id for _, those in room for finding in those}
    outlined = [finding for finding in leaving if finding.mask]
    return Plan(
        tuple((product, those) for product, those in room if those or (turned_down and product.tells_rejected)),
        tuple((f, why(products[0], f)) for f in leaving if f.id not in carried),
        turned_down,
        sum(finding.status is Status.PROPOSED for finding in findings),
        tuple((product, why(product, outlined[0])) for product, those in room if outlined and not those),
    )
