"""The test packet: the synthetic study with findings of every kind, to see what a receiver makes of them.

Nothing in it was seen by a model, and no patient has it. The findings are the lesion as the phantom has it, a figure
with three arms that looks different however it is turned or flipped, a box around the lesion, and a colour pattern.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overread.dicom.demo import FLAIR, demo_truth
from overread.dicom.export import Written, export
from overread.dicom.product import Product
from overread.dicom.scan import scanned
from overread.domain.errors import UserError
from overread.domain.finding import Act, Code, Finding, Kind, Mask, Reader, Status, VoxelBox
from overread.domain.geometry import Grid, Plane
from overread.domain.heatmap import Heatmap
from overread.domain.study import Stack
from overread.domain.uids import uid_of
from overread.imaging.measure import measure
from overread.session.review import now

READER = Reader("Test Packet")
_LESION = Code("52988006", "SCT", "Lesion")
_FIGURE = Code("OR0010", "99OVERREAD", "Test figure")
_ABNORMAL = Code("49755003", "SCT", "Morphologically Abnormal Structure")
_BRAIN = Code("12738006", "SCT", "Brain")
# The arms of the figure: towards left, back and head, mm in LPS; they are so thick, and meet in this point.
_ARMS = ((40.0, 0.0, 0.0), (0.0, 30.0, 0.0), (0.0, 0.0, 20.0))
_THICK_MM, _CORNER = 6.0, (10.0, 0.0, 20.0)


def make_packet(demo: Path, folder: Path, products: Sequence[Product]) -> tuple[Written, ...]:
    """Copy the demo study's FLAIR series into `folder`/images, and write findings on it beside, as each product.

    `WHAT-TO-SEE.txt` says what a receiver should show. UserError where the folder holds something already, or cannot
    be written; it is there whole or not at all.
    """
    try:
        if folder.exists() and any(folder.iterdir()):
            raise UserError(f"{folder} is not empty.", "Name a new folder for the test packet.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".overread-", dir=folder.parent) as scratch:
            packet = Path(scratch) / "packet"
            (stack,) = scanned((demo / FLAIR.folder,), Path(scratch)).stacks
            findings = packet_findings(stack, demo_truth()[0])
            written = export(stack, findings, packet / "objects", READER, products)
            (packet / "images").mkdir()
            for number, path in enumerate(stack.paths, start=1):
                shutil.copyfile(path, packet / "images" / f"{number:03d}.dcm")
            (packet / "WHAT-TO-SEE.txt").write_text(_sheet(stack, findings, written), "utf-8")
            packet.rename(folder)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error.strerror or error}.", "Choose another folder.") from error
    return tuple(replace(item, path=folder / "objects" / item.path.name) for item in written)


def parts(folder: Path, written: Sequence[Written]) -> list[Path]:
    """The files of a packet in `folder` that go to a receiver: its DICOM objects, and the images they lie on."""
    return [item.path for item in written if item.sop_instance_uid] + sorted((folder / "images").iterdir())


def packet_findings(stack: Stack, lesion: NDArray[np.bool_]) -> tuple[Finding, ...]:
    """The findings of the packet; `lesion` are voxels (k, j, i) of the stack."""
    mask = Mask.of(lesion)
    (k, j, i), (slices, rows, columns) = mask.start, mask.extent
    box: VoxelBox = (k, j, i, k + slices, j + rows, i + columns)
    whole = np.zeros(stack.grid.shape, np.bool_)
    whole[mask.box] = True
    drawn = [
        _finding(stack, 1, "Lesion", mask),
        _finding(stack, 2, "Three arms", Mask.of(three_arms(stack.grid)), concept=_FIGURE, colour="#4DA3FF"),
        _finding(stack, 3, "Box", Mask.of(whole), kind=Kind.DETECTION, box=box, score=0.5, measures=None),
    ]
    ramp = np.linspace(0, 1, 16)[:, None] * np.linspace(0, 1, 16)[None]
    pattern = Heatmap.of(
        ramp,
        (0.0, 0.0, float(stack.grid.shape[1]), float(stack.grid.shape[2])),
        Plane.AXIAL,
        k + slices // 2,
        "Test figure",
        "pattern",
        "none",
    )
    nowhere = Mask(stack.grid.shape, (0, 0, 0), (0, 0, 0), b"")
    shown = _finding(
        stack,
        4,
        "Colour pattern",
        nowhere,
        concept=_FIGURE,
        kind=Kind.CLASSIFICATION,
        score=0.5,
        threshold=0.5,
        heatmap=pattern,
    )
    return *drawn, shown


def three_arms(grid: Grid) -> NDArray[np.bool_]:
    """Voxels (k, j, i) within reach of three arms of 40, 30 and 20 mm towards left, back and head."""
    where = grid.to_lps(np.indices(grid.shape).reshape(3, -1).T) - np.array(_CORNER)
    inside = np.zeros(len(where), np.bool_)
    for arm in np.array(_ARMS):
        length = np.linalg.norm(arm)
        along = np.clip(where @ (arm / length), 0, length)
        inside |= np.linalg.norm(where - along[:, None] * (arm / length), axis=1) <= _THICK_MM
    return inside.reshape(grid.shape)


def _finding(stack: Stack, number: int, label: str, mask: Mask, **more: Any) -> Finding:
    made = Finding(
        id=uid_of("test packet", stack.uid, label),
        stack_uid=stack.uid,
        series_uid=stack.identity.series_uid,
        number=number,
        label=label,
        concept=_LESION,
        category=_ABNORMAL,
        anatomy=_BRAIN,
        colour="#37C8A5",
        mask=mask,
        measures=measure(mask, stack.grid),
        score=None,
        model=None,
        status=Status.EDITED,
        acts=(Act(READER, "draw", now()),),
    )
    return replace(made, **more)


def _sheet(stack: Stack, findings: Sequence[Finding], written: Sequence[Written]) -> str:
    """What a receiver should show, for the person who tries it."""
    lines = [
        "Overread test packet. Synthetic images of nobody. Not for clinical use.",
        "",
        f"Send images/ ({len(stack.frames)} images, {stack.identity.series_description}) first, then objects/.",
        "Every object belongs to the same patient and study as the images. It should show, on those images:",
        "",
    ]
    for finding in findings:
        said = f"{finding.title}: "
        if finding.measures is not None:
            slices = finding.mask.box[0]
            said += (
                f"an outline on images {slices.start + 1} to {slices.stop}, {finding.measures.volume_ml:.3f} ml, "
                f"{finding.measures.long_axis_mm:.2f} × {finding.measures.short_axis_mm:.2f} mm"
            )
        elif finding.box is not None:
            k0, j0, i0, k1, j1, i1 = finding.box
            said += f"a box on images {k0 + 1} to {k1}, rows {j0 + 1} to {j1}, columns {i0 + 1} to {i1}"
        elif finding.heatmap is not None:
            said += f"colours on image {finding.heatmap.index + 1} that grow towards its lower right corner"
        lines.append(f"  {said}")
    lines += [
        "",
        "The three arms are 40 mm long towards the patient's left, 30 mm towards the back and 20 mm towards the head.",
        "Any other picture of them has been flipped, turned or stretched.",
        "",
        "Objects:",
        *(f"  {item.kind}: {item.path.name}{f' ({item.remark})' if item.remark else ''}" for item in written),
    ]
    return "\n".join(lines) + "\n"
