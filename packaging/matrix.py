"""Put every kind of DICOM object, on every sort of image, to other people's software; write the README's table.

    .venv/bin/python packaging/matrix.py DATA [--only KIND,…] [--write]

DATA is the folder of real images that the tests use. Needed beside the environment: dciodvfy (dicom3tools), DCMTK, and
Orthanc with its DICOMweb plug-in. Without --write the table is printed.
"""

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "app"), str(ROOT / "tests")]

import highdicom as hd  # noqa: E402
import numpy as np  # noqa: E402
import pydicom  # noqa: E402
import SimpleITK as sitk  # noqa: E402

from overread.dicom.export import Terms, Written, export  # noqa: E402
from overread.dicom.scan import scanned  # noqa: E402
from overread.dicom.source import source_headers  # noqa: E402
from overread.dicom.upright import laid, sheared  # noqa: E402
from overread.dicom.upright import planned as upright_of  # noqa: E402
from overread.domain.errors import UserError  # noqa: E402
from overread.domain.finding import Finding, Kind, Status  # noqa: E402
from overread.domain.geometry import acquired_plane  # noqa: E402
from overread.domain.heatmap import Heatmap, Reason  # noqa: E402
from overread.domain.measurement import Shape  # noqa: E402
from overread.domain.ports import Cancel  # noqa: E402
from overread.domain.study import Stack  # noqa: E402
from overread.imaging.measuring import measured  # noqa: E402
from overread.infer.segment import field as around  # noqa: E402
from overread.network.outbox import Outbox  # noqa: E402
from overread.network.packets import State  # noqa: E402
from overread.network.sender import Sender  # noqa: E402
from overread.session.products import PRODUCTS, products  # noqa: E402

# The tests' own helpers, which are no part of what is type-checked.
made_up: Any = import_module("support.findings")
leaving: Any = import_module("support.leaving")
pacs: Any = import_module("support.orthanc")

IMAGES = {
    "MR, oblique": "brain-mr-oblique",
    "CT": "chest-ct-cptac",
    "CT, tilted gantry": "ct-gantry-tilt",
    "CR": "chest-xray/RG1_J2KI.dcm",
    "enhanced MR, multi-frame": "multiframe/enhanced-mr-siemens-xa10/6_1.dcm",
    "US, colour": "codecs/wg04/US1_UNC.dcm",
}
BEGIN, END = "<!-- matrix: written by packaging/matrix.py -->", "<!-- end of matrix -->"
_NO_DICOM = {"png", "nifti", "nifti-image", "nrrd", "stl", "obj", "csv"}
# UIDs of the images are copied as they are; some of these samples have made-up roots.
NOT_OURS = "Illegal root for UID"


@dataclass
class Case:
    """An export: images, what was said of them, and the files of one kind."""

    stack: Stack
    findings: list[Finding]
    files: list[Written]
    folder: Path

    def masks(self) -> list[Finding]:
        """Those with an outline."""
        return [one for one in self.findings if one.mask and not one.boxed]


@dataclass
class Row:
    """What became of one kind of object, by sort of image: the oracles that failed, or why there is none."""

    title: str
    oracles: tuple[str, ...]
    said: dict[str, str] = field(default_factory=dict)


def tool(*command: object) -> str:
    """Run somebody's program; its whole output. AssertionError where it ends badly."""
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, errors="replace", check=False
    )
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}"
    return done.stdout + done.stderr


def _dciodvfy(case: Case) -> None:
    for item in case.files:
        command = ["dciodvfy", str(item.path)]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        errors = re.findall(r"^Error.*", done.stdout + done.stderr, re.MULTILINE)  # it ends with 0 on some errors
        errors = [error for error in errors if NOT_OURS not in error]
        assert not errors, errors[0]


def _dcmtk(case: Case) -> None:
    for item in case.files:
        program = {"SR": "dsrdump", "KO": "dsrdump", "GSPS": "dcmpschk"}.get(item.kind, "dcmdump")
        said = tool(program, item.path)
        assert not re.search(r"^E:", said, re.MULTILINE), program
        if program == "dcmpschk" and "Test passed" not in said:
            nameless = not pydicom.dcmread(case.stack.paths[0], stop_before_pixels=True).get("PatientName")
            wrong = [line for line in said.splitlines() if line.startswith("W:")][1:-1]  # without its own headings
            assert nameless, "not passed"
            assert wrong == ["W: patientName absent or empty in presentation state"], wrong


def _dcmqi(case: Case) -> None:
    if case.files[0].kind == "SR":
        tool(_beside("tid1500reader"), "--inputDICOM", case.files[0].path, "--outputMetadata", case.folder / "sr.json")
        return
    seen = [np.zeros(case.stack.grid.shape, bool) for _ in case.masks()]
    for at, item in enumerate(case.files):
        folder = case.folder / f"dcmqi-{item.kind}-{at}"
        folder.mkdir()
        tool(_beside("segimage2itkimage"), "--inputDICOM", item.path, "--outputDirectory", folder, "-t", "nrrd")
        described = [s for s in pydicom.dcmread(item.path).SegmentSequence if s.SegmentNumber > 0]
        for path in folder.glob("*.nrrd"):
            image = sitk.ReadImage(str(path))
            corner = case.stack.grid.to_index(image.TransformIndexToPhysicalPoint((0, 0, 0)))
            assert np.allclose(corner, 0, atol=1e-2), "another corner"
            labels = sitk.GetArrayFromImage(image)
            for segment in described:
                seen[_which(case, segment.TrackingUID)] |= labels == segment.SegmentNumber
    assert all(np.array_equal(a, one.mask.voxels) for a, one in zip(seen, case.masks(), strict=True)), "other voxels"


def _highdicom(case: Case) -> None:
    for item in case.files:
        if item.kind == "SR":
            content: Any = hd.sr.srread(item.path).content
            groups = [
                *content.get_volumetric_roi_measurement_groups(),
                *content.get_planar_roi_measurement_groups(),
                *content.get_image_measurement_groups(),
            ]
            assert {str(group.tracking_uid) for group in groups} == {one.id for one in case.findings}
        elif item.kind == "KO":
            hd.ko.KeyObjectSelectionDocument.from_dataset(pydicom.dcmread(item.path))
        elif item.kind == "PM":
            hd.imread(item.path).get_frames()
        else:
            _segments(case, hd.seg.segread(item.path))


def _segments(case: Case, seg: hd.seg.Segmentation) -> None:
    uids = [frame.sop_instance_uid for frame in case.stack.frames]
    for number in seg.segment_numbers:
        one = case.masks()[_which(case, seg.get_segment_description(number).tracking_uid)]
        if case.stack.frames[0].of > 1:
            frames = [frame.index + 1 for frame in case.stack.frames]
            found = seg.get_pixels_by_source_frame(uids[0], frames, [number], ignore_spatial_locations=True)
        else:
            found = seg.get_pixels_by_source_instance(uids, [number], ignore_spatial_locations=True)
        if case.files[0].kind == "FRACTIONAL" and one.probabilities is not None:
            assert np.allclose(found[..., 0] * 255, one.probabilities.voxels, atol=1e-3), "other probabilities"
        else:
            assert np.array_equal(found[..., 0] > 0, one.mask.voxels), "other voxels"


def _simpleitk(case: Case) -> None:
    if case.files[0].kind != "SC-SERIES" or not case.stack.grid.oriented or len(case.files) < 2:
        for item in case.files:
            image = sitk.ReadImage(str(item.path))
            assert image.GetSize()[0] > 0
        return
    corners = source_headers(case.stack).positions
    found = [sitk.ReadImage(str(item.path)).TransformIndexToPhysicalPoint((0, 0, 0)) for item in case.files]
    found.sort(key=lambda at: float(case.stack.grid.to_index(at)[0]))
    assert np.allclose(found, corners, atol=1e-2), "another corner"


def _which(case: Case, tracking_uid: object) -> int:
    return [one.id for one in case.masks()].index(str(tracking_uid))


def _beside(name: str) -> Path:
    return Path(sys.executable).with_name(name)


def stored(server: Any) -> Callable[[Case], None]:
    """Whether a real PACS takes it by C-STORE and gives the same data set back."""

    def check(case: Case) -> None:
        box = Outbox(Path(tempfile.mkdtemp(dir=case.folder)))
        node = server.node()
        packet = box.add(node.name, [item.path for item in case.files])
        Sender(box, lambda: (node,)).step(Cancel())
        assert box.packet(packet.id).state is State.SENT, "not stored"
        for item in case.files:
            sent, back = pydicom.dcmread(item.path), server.fetch(item.sop_instance_uid)
            back.pop("DataSetTrailingPadding", None)
            assert back == sent, "came back changed"

    return check


ORACLES: dict[str, tuple[str, ...]] = {
    "seg": ("dciodvfy", "DCMTK", "highdicom", "dcmqi", "SimpleITK", "Orthanc"),
    "labelmap": ("DCMTK", "highdicom", "dcmqi", "Orthanc"),  # dciodvfy of 2022 does not know them
    "fractional": ("dciodvfy", "DCMTK", "highdicom", "Orthanc"),
    "sr": ("dciodvfy", "DCMTK", "highdicom", "dcmqi", "Orthanc"),
    "ko": ("dciodvfy", "DCMTK", "highdicom", "Orthanc"),
    "pm": ("dciodvfy", "DCMTK", "highdicom", "Orthanc"),
    "sc": ("dciodvfy", "DCMTK", "SimpleITK", "Orthanc"),
    "sc-series": ("dciodvfy", "DCMTK", "SimpleITK", "Orthanc"),
}


def findings(stack: Stack) -> list[Finding]:
    """One of each kind: accepted, with probabilities and why; edited; a box; a class with its heatmap; a length."""
    shape, nothing = stack.grid.shape, np.zeros(stack.grid.shape, bool)
    plane = acquired_plane(stack.grid)
    k, j, i = (size // 2 for size in shape)
    box = (k, j // 2, i // 2, k + 1, j, i)
    solid = nothing.copy()
    solid[box[0] : box[3], box[1] : box[4], box[2] : box[5]] = True
    seen = Heatmap.of(
        np.random.default_rng(1).random((8, 8)),
        (0.0, 0.0, float(shape[1]), float(shape[2])),
        plane,
        k,
        "Glioma",
        "CAM",
        "last",
    )
    length = measured(Shape.LENGTH, ((float(k), j / 2, i / 2), (float(k), float(j), float(i))), plane, stack)
    sure = made_up.finding(stack, leaving.ball(stack, (0.5, 0.3, 0.3), 0.12))
    chance = np.random.default_rng(2)
    values = np.where(sure.mask.voxels, chance.integers(128, 256, shape), chance.integers(0, 128, shape))
    why = Reason(replace(seen, method="Seg-Grad-CAM", backend="OpenVINO CPU bf16"), sure.mask.digest, made_up.WHEN)
    likely = around(sure.mask, values.astype(np.uint8), (1, 3, 3))
    return [
        replace(sure, probabilities=likely, reasons=(why,)),
        made_up.finding(stack, leaving.ball(stack, (0.5, 0.36, 0.36), 0.1), 2, status=Status.EDITED),
        made_up.finding(stack, solid, 3, kind=Kind.DETECTION, box=box, measures=None),
        made_up.finding(stack, nothing, 4, kind=Kind.CLASSIFICATION, threshold=0.5, heatmap=seen, measures=None),
        made_up.finding(
            stack, nothing, 5, kind=Kind.MEASUREMENT, measurement=length, measures=None, model=None, score=None
        ),
    ]


@contextmanager
def exported(stack: Stack, kind: str, terms: Terms) -> Iterator[Case]:
    """One kind, with the segmentation that it may refer to; on the series that it lies on, where that was resampled."""
    said = findings(stack)
    with tempfile.TemporaryDirectory() as folder:
        wanted = products([kind, "seg"] if kind == "sr" else [kind])
        made = export(stack, said, Path(folder) / "out", made_up.READER, wanted, terms)
        images = tuple(item.path for item in made if item.kind == "UPRIGHT")
        if images and kind != "sr":
            (onto,) = scanned(images, Path(folder)).stacks
            how = upright_of(source_headers(stack))
            said, stack = [laid(one, how, onto) for one in said if one.mask and not one.boxed], onto
        yield Case(stack, said, [item for item in made if item.kind == kind.upper()], Path(folder))


def judged(stack: Stack, kind: str, oracles: dict[str, Callable[[Case], None]]) -> str:
    """What is wrong with one kind of object on one image; "" where all agree, a sentence where none can leave."""
    tilted = sheared(stack) and any(product.straight for product in products([kind]))
    try:
        with exported(stack, kind, Terms(resample=tilted)) as case:
            wrong = []
            for name in oracles:
                try:
                    oracles[name](case)
                except Exception as error:  # noqa: BLE001  any failure of theirs is one of ours
                    sys.stderr.write(f"{kind} {name}: {type(error).__name__} {error}\n")
                    wrong.append(name)
            agreed = "resampled" if tilted else ""
            return f"{agreed}, all but {', '.join(wrong)}".removeprefix(", ") if wrong else f"✓ {agreed}" * tilted
    except UserError as refused:
        return f"– {refused.title.split('. ')[0].rstrip('.')}."


def table(data: Path, kinds: Sequence[str]) -> Iterator[Row]:
    """A row for each kind of DICOM object, or for `kinds` of them."""
    with tempfile.TemporaryDirectory() as folder, pacs.orthanc(Path(folder) / "pacs") as server:
        known = {
            "dciodvfy": _dciodvfy,
            "DCMTK": _dcmtk,
            "highdicom": _highdicom,
            "dcmqi": _dcmqi,
            "SimpleITK": _simpleitk,
            "Orthanc": stored(server),
        }
        stacks = {name: made_up.opened(data / "dicom" / path, Path(folder)) for name, path in IMAGES.items()}
        for product in PRODUCTS:
            if product.name in _NO_DICOM or (kinds and product.name not in kinds):
                continue
            names = ORACLES.get(product.name, ("dciodvfy", "DCMTK", "Orthanc"))
            row = Row(product.title, names)
            for image, stack in stacks.items():
                row.said[image] = judged(stack, product.name, {name: known[name] for name in names})
                sys.stderr.write(f"{product.name} · {image}: {row.said[image] or 'passed'}\n")
            yield row


def written(rows: Sequence[Row], before: str) -> str:
    """The table: fresh rows, and those that were there `before` of kinds that were not looked at now."""
    kept = {line.split("|")[1].strip(): line for line in before.splitlines() if line.startswith("| ")}
    for row in rows:
        cells = " | ".join(said or "✓" for said in row.said.values())
        kept[row.title] = f"| {row.title} | {', '.join(row.oracles)} | {cells} |"
    lines = [kept[product.title] for product in PRODUCTS if product.title in kept]
    head = [f"| object | read back by | {' | '.join(IMAGES)} |", f"|---|---|{'---|' * len(IMAGES)}"]
    return "\n".join([*head, *lines])


def main() -> None:
    """Make the table, and put it into the README where that is asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", default="", metavar="KIND,…", help="these kinds; the rows of others stay as they are")
    parser.add_argument("--write", action="store_true", help="into the README")
    given = parser.parse_args()
    kinds = [name for name in given.only.split(",") if name]
    rows = list(table(given.data, kinds))
    readme = ROOT / "README.md"
    before, _, rest = readme.read_text("utf-8").partition(BEGIN)
    there, _, after = rest.partition(END)
    made = written(rows, there)
    if given.write:
        readme.write_text(f"{before}{BEGIN}\n{made}\n{END}{after}", "utf-8")
    else:
        print(made)


if __name__ == "__main__":
    main()
