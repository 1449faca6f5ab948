"""Findings → files, all of them or none."""

from __future__ import annotations

import errno
import json
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path

import pydicom
from pydicom.uid import generate_uid

from overread.dicom.check import gate, refusing
from overread.dicom.check_seg import SEG
from overread.dicom.check_sr import SR
from overread.dicom.check_upright import UPRIGHT, lying, on_upright
from overread.dicom.nameless import Nameless, Removal
from overread.dicom.product import Left, Parcel, Product, planned
from overread.dicom.quiet import quiet
from overread.dicom.source import source_headers
from overread.dicom.upright import said, sheared
from overread.domain.errors import UserError
from overread.domain.finding import Finding, Reader
from overread.domain.study import Identity, Stack, Window
from overread.domain.volume import Volume
from overread.imaging.upright import Upright

# Far above what scanners use, so that derived series sort behind the images; room for so many products of a series.
_SERIES_NUMBERS, _ROOM = 90_000, 25
# What tells how the patient was taken out.
ACCOUNT = "DEIDENTIFICATION"


@dataclass(frozen=True)
class Written:
    """A file that was put in place, and whose it is. `sop_instance_uid` is "" of a file that is no DICOM object.

    `left` is what later exports may have to refer to. `remark` says in a sentence what could not go with it; "" where
    all went.
    """

    path: Path
    kind: str
    sop_instance_uid: str
    identity: Identity
    left: Left | None = None
    remark: str = ""


@dataclass(frozen=True)
class Terms:
    """How things leave: whether reports tell of what was `rejected`, and who signs them, if anybody does.

    With `resample` the reader agrees that slices sheared by a tilted gantry are resampled onto an upright grid for the
    products whose readers know no other. `nameless` says how the patient is taken out of all that leaves, if they are.
    """

    rejected: bool = False
    signed_by: Reader | None = None
    resample: bool = False
    nameless: Nameless | None = None


TERMS = Terms()


class Shipment:
    """Files on their way into a folder. They wait in a folder of their own until all of them passed the gate."""

    def __init__(self, partial: Path, products: Sequence[Product], terms: Terms) -> None:
        self._partial, self._products, self._terms = partial, products, terms
        self.written: list[Written] = []
        self.removal = Removal(terms.nameless, partial) if terms.nameless else None

    def add(
        self,
        stack: Stack,
        findings: Sequence[Finding],
        reader: Reader,
        *,
        volume: Volume | None = None,
        window: Window | None = None,
        earlier: Sequence[Left] = (),
    ) -> None:
        """Write what a reader accepted on one stack, as each of the products, and check it.

        `findings` are all of the stack. `volume` are the voxels where they are loaded already, `window` how the reader
        looked at them, `earlier` what left before. UserError where there is nothing to export, a file fails the check,
        or a report is to be signed while findings wait for a verdict.
        """
        plan = planned(stack, findings, self._products, rejected=self._terms.rejected, resample=self._terms.resample)
        if not plan.carried:
            reasons = " ".join(dict.fromkeys(reason for _, reason in plan.staying))
            hint = "Choose another kind of export." if reasons else "Accept or edit a finding first."
            raise UserError(reasons or "There is nothing to export.", hint)
        if self._terms.signed_by is not None and plan.undecided:
            waiting = f"{plan.undecided} finding{'s wait' if plan.undecided > 1 else ' waits'} for a verdict"
            raise UserError(f"Nothing is signed while {waiting}.", "Accept or reject them first.")
        uids = [frame.sop_instance_uid for frame in stack.frames]
        if not all((stack.identity.study_uid, stack.identity.series_uid, *uids)):
            raise UserError("These images carry no UIDs, so nothing can refer to them.")
        # Names of one component and the like are copied as they are, whatever the libraries think of them.
        with quiet():
            parcel = Parcel("", source_headers(stack), (), reader, 0, self._partial, "", volume, window)
            before: dict[str, tuple[Path, ...]] = {}
            seen: set[str] = set()
            # What left before bears the patient's name: without the patient, nothing comes after it.
            earlier = () if self.removal else earlier
            first = _SERIES_NUMBERS + _ROOM * ((stack.identity.series_number or 0) % 400)
            onto: _Upright | None = None
            for product, those in plan.carried:
                base = parcel
                if product.straight and sheared(stack):
                    if onto is None:
                        images = replace(parcel, product=UPRIGHT.name, number=first, tag=generate_uid()[-8:])
                        onto = _resampled(images, seen)
                        before[UPRIGHT.name] = onto.paths
                        self.written += self._left(images, UPRIGHT, onto.paths)
                    base, those = onto.parcel, onto.lay(those)
                own = replace(
                    base,
                    product=product.name,
                    findings=those,
                    number=first + len(before),
                    tag=generate_uid()[-8:],
                    before=dict(before),
                    rejected=plan.rejected if product.tells_rejected else (),
                    undecided=plan.undecided,
                    signed_by=self._terms.signed_by,
                    earlier=tuple(i for i in earlier if (i.product, i.stack_uid) == (product.name, stack.uid)),
                )
                if self.removal and product.opaque:
                    before[product.name] = made = self.removal.make(own, product)
                    self.written += [Written(path, product.name.upper(), _uid(path), stack.identity) for path in made]
                    continue
                paths = tuple(product.write(own))
                gate(own, product, paths, seen)
                before[product.name] = paths
                self.written += self._left(own, product, paths)
        remark = f"{plan.remark} {onto.said}".strip() if onto else plan.remark
        self.written[-1] = replace(self.written[-1], remark=remark)

    def add_images(self, stacks: Sequence[Stack]) -> None:
        """Images of the study go with what lies on them, without the patient. UserError where they cannot."""
        if self.removal and self.removal.how.images:
            with quiet():
                identity = {path: stack.identity for stack in stacks for path in stack.paths}
                paths = self.removal.images(stacks)
                pairs = zip(paths, identity.values(), strict=True)
                self.written += [Written(path, "IMAGE", _uid(path), who) for path, who in pairs]

    def _left(self, parcel: Parcel, product: Product, paths: Sequence[Path]) -> list[Written]:
        """Files that passed the gate, as they leave."""
        who = (parcel.acquired or parcel.headers).stack
        if self.removal is None:
            return [_written(path, product, who) for path in paths]
        released = self.removal.release(parcel, paths, product.name)
        return [Written(path, product.name.upper(), _uid(path), who.identity) for path in released]


@dataclass(frozen=True)
class _Upright:
    """A derived series that was written and checked: its files, the parcel of what stands on it, how it was made."""

    paths: tuple[Path, ...]
    parcel: Parcel
    made: Upright

    @property
    def said(self) -> str:
        """What was done, in words."""
        return said(self.made)

    def lay(self, findings: Sequence[Finding]) -> tuple[Finding, ...]:
        """The findings on the upright grid. UserError where one would lie elsewhere."""
        assert self.parcel.acquired is not None
        with refusing("The outlines on the upright grid"):
            return on_upright(findings, self.parcel.acquired, self.made, self.parcel.stack)


def _resampled(parcel: Parcel, seen: set[str]) -> _Upright:
    """Write the images of a sheared stack on an upright grid, check them, and read them as others will."""
    paths = tuple(UPRIGHT.write(parcel))
    gate(parcel, UPRIGHT, paths, seen)
    with refusing("The upright series"), tempfile.TemporaryDirectory() as unpacked:
        stack, made = lying(parcel, paths, Path(unpacked))
    base = replace(parcel, headers=source_headers(stack), given=None, acquired=parcel.headers)
    return _Upright(paths, base, made)


@contextmanager
def shipment(folder: Path, products: Sequence[Product] = (SEG, SR), terms: Terms = TERMS) -> Iterator[Shipment]:
    """Files that appear in `folder` together when the block ends, and not at all where it fails.

    They are then in `written`. UserError where the folder cannot be written; nothing there is replaced.
    """
    fresh = False
    try:
        fresh = not folder.exists()
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".overread-", dir=folder) as partial:
            shipping = Shipment(Path(partial), products, terms)
            yield shipping
            shipping.written += _accounted(shipping, Path(partial))
            shipping.written = _put_in_place(shipping.written, folder)
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written: {error.strerror or error}.", "Choose another folder or free some space."
        ) from error
    finally:
        if fresh:
            with suppress(OSError):  # not empty: it was of use
                folder.rmdir()


def export(
    stack: Stack,
    findings: Sequence[Finding],
    folder: Path,
    reader: Reader,
    products: Sequence[Product] = (SEG, SR),
    terms: Terms = TERMS,
    *,
    volume: Volume | None = None,
    window: Window | None = None,
    earlier: Sequence[Left] = (),
    images: Sequence[Stack] = (),
) -> tuple[Written, ...]:
    """Write what a reader accepted on one stack, check it, and put it into `folder` in one go.

    `images` are the stacks that go with it where the terms ask for images. Findings that a product has no room for are
    not in it; those that none carries stay behind, and a `remark` says so. UserError where there is nothing to export,
    the check fails or the disk does; nothing is left behind then.
    """
    with shipment(folder, products, terms) as shipping:
        shipping.add(stack, findings, reader, volume=volume, window=window, earlier=earlier)
        shipping.add_images(images)
    return tuple(shipping.written)


def _accounted(shipping: Shipment, folder: Path) -> list[Written]:
    """What was done to take the patient out, for machines and for people, as files that leave with the rest."""
    if shipping.removal is None or not shipping.written:
        return []
    report, tag = shipping.removal.report, generate_uid()[-8:]
    written = []
    for ending, text in (("json", json.dumps(report.answer(), indent=2)), ("txt", "\n".join(report.lines()))):
        path = folder / f"{ACCOUNT}_{tag}.{ending}"
        path.write_text(f"{text}\n", "utf-8")
        written.append(Written(path, ACCOUNT, "", shipping.written[0].identity))
    return written


def _uid(path: Path) -> str:
    """The SOP Instance UID of a DICOM file, "" of any other."""
    return str(pydicom.dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID) if path.suffix == ".dcm" else ""


def _written(path: Path, product: Product, stack: Stack) -> Written:
    if path.suffix != ".dcm":
        return Written(path, product.name.upper(), "", stack.identity)
    made = pydicom.dcmread(path, stop_before_pixels=True)
    left = Left(
        product.name,
        stack.uid,
        str(made.SOPClassUID),
        str(made.SOPInstanceUID),
        str(made.SeriesInstanceUID),
        str(made.StudyInstanceUID),
    )
    return Written(path, product.name.upper(), left.sop_instance_uid, stack.identity, left)


def _put_in_place(written: Sequence[Written], folder: Path) -> list[Written]:
    """Move the files; if one cannot be moved, those already there are taken back. What was there stays."""
    placed: list[Written] = []
    try:
        for item in written:
            target = folder / item.path.name
            if target.exists():
                raise FileExistsError(errno.EEXIST, f"{target.name} is there already")
            item.path.replace(target)
            placed.append(replace(item, path=target))
    except OSError:
        for item in placed:
            item.path.unlink(missing_ok=True)
        raise
    return placed
