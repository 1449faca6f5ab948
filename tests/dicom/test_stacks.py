"""Which slices form one image, where it lies, and what is said about stacks that are no regular grid."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom import Dataset

from overread.dicom.load import loaded
from overread.dicom.scan import scanned
from overread.domain.study import Stack
from support.series import changed, write_series

Place = tuple[float, float, float]
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
OBLIQUE = (0.96, 0.28, 0.0, -0.168, 0.576, -0.8)


def ramp(count: int, rows: int = 4, columns: int = 5) -> np.ndarray:
    """Each slice holds its own number."""
    return np.broadcast_to(np.arange(count, dtype=np.int16)[:, None, None], (count, rows, columns)).copy()


@pytest.fixture
def scan_of(tmp_path: Path) -> Callable[[], list[Stack]]:
    return lambda: list(scanned((tmp_path / "in",), tmp_path / "scratch").stacks)


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., list[Path]]:
    return lambda voxels, **more: write_series(tmp_path / "in", voxels, **more)


def codes(stack: Stack) -> list[str]:
    return [problem.code for problem in stack.problems]


def order(stack: Stack) -> list[int]:
    return [int(value) for value in loaded(stack).voxels[:, 0, 0]]


def along(*heights: float, x: float = 0.0, y: float = 0.0) -> list[Place]:
    return [(x, y, height) for height in heights]


# Order and place


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    angles=st.tuples(*[st.floats(-180, 180)] * 3),
    origin=st.tuples(*[st.floats(-500, 500)] * 3),
    spacing=st.tuples(st.floats(0.2, 3), st.floats(0.2, 3)),
    step=st.floats(0.3, 10),
    count=st.integers(1, 6),
    seed=st.integers(0, 1000),
)
def test_any_pose_is_read_as_it_was_written(
    tmp_path_factory: pytest.TempPathFactory,
    angles: tuple[float, ...],
    origin: Place,
    spacing: tuple[float, float],
    step: float,
    count: int,
    seed: int,
) -> None:
    folder = tmp_path_factory.mktemp("pose")
    rotation = np.array(sitk.Euler3DTransform((0, 0, 0), *np.radians(angles)).GetMatrix()).reshape(3, 3).round(9)
    heights = list(range(count))
    random.Random(seed).shuffle(heights)
    origin, step = np.round(origin, 3), round(step, 3)
    down, across = (round(value, 3) for value in spacing)
    write_series(
        folder,
        ramp(count)[heights],
        orientation=(*rotation[:, 0], *rotation[:, 1]),
        positions=[tuple((origin + k * step * rotation[:, 2]).round(9)) for k in heights],
        spacing=(down, across),
        SliceThickness=step,
    )
    (stack,) = scanned((folder,), folder).stacks
    assert codes(stack) == []
    assert order(stack) == sorted(heights)
    for index in (0, 0, 0), (count - 1, 3, 4), (0, 3, 0):
        k, j, i = index
        expected = origin + rotation @ (i * across, j * down, k * step)
        assert np.abs(stack.grid.to_lps(index) - expected).max() < 1e-4


def test_number_and_location_count_nothing_against_position(
    write: Callable[..., list[Path]], scan_of: Callable[[], list[Stack]]
) -> None:
    write(
        ramp(4), positions=along(0, 2, 4, 6), InstanceNumber=(4, 1, 3, 2), SliceLocation=(6, 4, 2, 0), SliceThickness=9
    )
    (stack,) = scan_of()
    assert order(stack) == [0, 1, 2, 3]
    assert stack.grid.spacing[0] == 2.0


def test_feet_first_and_mirrored_stacks_keep_rows_and_columns(
    write: Callable[..., list[Path]], scan_of: Callable[[], list[Stack]]
) -> None:
    voxels = np.random.default_rng(0).integers(0, 99, (3, 4, 5)).astype(np.int16)
    write(voxels, orientation=(1, 0, 0, 0, -1, 0), positions=along(0, 2, 4))
    (stack,) = scan_of()
    assert np.array_equal(loaded(stack).voxels, voxels[::-1])
    assert stack.grid.affine[:3, :3].tolist() == [[0, 0, 1], [0, -1, 0], [-2, 0, 0]]
    assert np.linalg.det(stack.grid.directions[:, ::-1]) > 0


# What is no regular grid


@pytest.mark.parametrize(
    ("positions", "code", "measurable", "words"),
    [
        (along(0, 3, 6, 9), "", True, ""),
        (along(0, 3, 6.01, 9), "", True, ""),
        (along(0, 3, 6.1, 9.1), "variable-spacing", True, "3.00 to 3.10 mm"),
        (along(0, 3, 6, 8), "variable-spacing", False, "2.00 to 3.00 mm"),
        (along(0, 3, 6, 12), "missing-slices", False, "1 slice is missing: gaps of 6.00 mm"),
        (along(0, 3, 6, 15, 18, 24), "missing-slices", False, "3 slices are missing"),
        ([(0, k * 1.5, k * 3.0) for k in range(4)], "gantry-tilt", True, "26.6°"),
        ([(0, k * -1.5, k * 3.0) for k in range(4)], "gantry-tilt", True, "26.6°"),
        ([(0, 0, 0), (1, 0, 3), (0, 0, 6)], "drift", False, "1.0 mm"),
        (along(0, 3), "", True, ""),
        (along(0, 0.02, 3), "variable-spacing", False, "0.02 to 2.98 mm"),
    ],
)
def test_irregular_stacks_say_so(
    write: Callable[..., list[Path]],
    scan_of: Callable[[], list[Stack]],
    positions: list[Place],
    code: str,
    measurable: bool,
    words: str,
) -> None:
    write(ramp(len(positions)), positions=positions)
    (stack,) = scan_of()
    assert codes(stack) == ([code] if code else [])
    assert stack.measurable == measurable
    assert words in "".join(problem.text for problem in stack.problems)
    assert np.allclose(stack.grid.to_lps([(0, 0, 0), (len(positions) - 1, 0, 0)]), [positions[0], positions[-1]])


def test_tilt_keeps_every_voxel_at_its_place_and_volume(
    write: Callable[..., list[Path]], scan_of: Callable[[], list[Stack]]
) -> None:
    positions = [(1.0, 2.0 - 1.5 * k, 3.0 * k) for k in range(4)]
    write(ramp(4), positions=positions, spacing=(0.5, 0.7))
    (stack,) = scan_of()
    for k, position in enumerate(positions):
        assert np.allclose(stack.grid.to_lps((k, 3, 4)), np.add(position, (4 * 0.7, 3 * 0.5, 0)))
    assert stack.grid.voxel_mm3 == pytest.approx(0.5 * 0.7 * 3.0)


def test_rows_and_columns_that_are_not_at_right_angles_are_not_measured(
    write: Callable[..., list[Path]], scan_of: Callable[[], list[Stack]]
) -> None:
    write(ramp(3), orientation=(1, 0, 0, 0.1, 0.995, 0), positions=along(0, 3, 6))
    (stack,) = scan_of()
    assert "not-orthogonal" in codes(stack)
    assert not stack.measurable


@pytest.mark.parametrize(
    ("more", "step", "code"),
    [
        ({"SliceThickness": 5}, 5.0, ""),
        ({"SliceThickness": 5, "SpacingBetweenSlices": 6}, 6.0, ""),
        ({"SliceThickness": 5, "SpacingBetweenSlices": -6}, 6.0, ""),
        ({}, 1.0, "no-thickness"),
        ({"SliceThickness": 0}, 1.0, "no-thickness"),
    ],
)
def test_a_single_slice_has_the_volume_that_its_thickness_gives(
    write: Callable[..., list[Path]], scan_of: Callable[[], list[Stack]], more: dict[str, float], step: float, code: str
) -> None:
    write(ramp(1), orientation=OBLIQUE, **more)
    (stack,) = scan_of()
    assert codes(stack) == ([code] if code else [])
    assert stack.measurable == (not code)
    assert np.allclose(stack.grid.affine[:3, 0], step * np.cross(OBLIQUE[:3], OBLIQUE[3:]))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_no_geometry_however_absurd_ends_the_scan(
    tmp_path_factory: pytest.TempPathFactory, draw: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("absurd")
    number = st.one_of(
        st.sampled_from([0.0, 1.0, -1.0, 1e-9, 1e300, 999999.0]), st.floats(-1, 1), st.floats(-1e6, 1e6)
    ).map(lambda value: f"{value:.9g}")

    def several(count: int) -> bytes:
        return "\\".join(draw.draw(st.lists(number, min_size=count, max_size=count))).encode()

    turned = draw.draw(st.sampled_from([b"1\\0\\0\\0\\1\\0", several(6)]))
    for path in write_series(folder, ramp(4)):
        keep = draw.draw(st.booleans())
        thickness = several(1)
        changed(
            path,
            ImageOrientationPatient=turned,
            ImagePositionPatient=b"1\\2\\3" if keep else several(3),
            PixelSpacing=draw.draw(st.sampled_from([b"1\\1", several(2)])),
            SliceThickness=thickness,
        )
    catalogue = scanned((folder,), folder)
    assert sum(len(stack.frames) for stack in catalogue.stacks) == 4
    for stack in catalogue.stacks:
        assert np.isfinite(stack.grid.corners).all()


def test_a_mosaic_says_so(write: Callable[..., list[Path]], scan_of: Callable[[], list[Stack]]) -> None:
    write(ramp(3), ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"])
    (stack,) = scan_of()
    assert codes(stack) == ["mosaic"]
    assert not stack.measurable


# Several images in one series


def test_two_orientations_in_one_series_are_two_images(
    write: Callable[..., list[Path]], scan_of: Callable[[], list[Stack]]
) -> None:
    series, frame = "1.2.3", "1.2.4"
    sagittal = (0, 1, 0, 0, 0, -1)
    write(ramp(3), series=series, study="1.2", FrameOfReferenceUID=frame)
    write(ramp(2) + 10, series=series, study="1.2", FrameOfReferenceUID=frame, orientation=sagittal, names="s{k}")
    axial, other = scan_of()
    assert (order(axial), order(other)) == ([0, 1, 2], [10, 11])
    assert codes(axial) == codes(other) == ["mixed-orientation"]


@pytest.mark.parametrize(
    "tags",
    [
        {"EchoTime": (10, 10, 80, 80)},
        {"DiffusionBValue": (0.0, 0.0, 1000.0, 1000.0)},
        {"InversionTime": (100, 100, 2500, 2500)},
        {"TemporalPositionIdentifier": (1, 1, 2, 2)},
        {"TriggerTime": (0, 0, 40, 40)},
        {"AcquisitionNumber": (1, 1, 2, 2)},
        {"AcquisitionNumber": (7, 7, 7, 7), "EchoTime": (10, 10, 80, 80), "TriggerTime": (1, 2, 3, 4)},
        {"InstanceNumber": (1, 2, 3, 4)},
    ],
    ids=lambda tags: "-".join(tags),
)
def test_images_in_one_place_are_taken_apart_by_what_they_differ_in(
    write: Callable[..., list[Path]], scan_of: Callable[[], list[Stack]], tags: dict[str, Any]
) -> None:
    write(ramp(4), positions=along(0, 3, 0, 3), **tags)
    stacks = scan_of()
    assert sorted(map(order, stacks)) == [[0, 1], [2, 3]]
    assert all(codes(stack) == ["several-images"] for stack in stacks)


def test_echoes_stay_apart_when_one_slice_came_twice(
    write: Callable[..., list[Path]], scan_of: Callable[[], list[Stack]]
) -> None:
    # Two echoes of three slices, numbered slice by slice; the first slice of the second echo was sent twice.
    write(
        ramp(7),
        positions=along(0, 0, 3, 3, 6, 6, 0),
        EchoTime=(10, 80, 10, 80, 10, 80, 80),
        InstanceNumber=(1, 2, 3, 4, 5, 6, 7),
    )
    assert sorted(map(order, scan_of())) == [[0, 2, 4], [1, 3, 5], [6]]


def test_echoes_and_phases_at_once_are_taken_apart(
    write: Callable[..., list[Path]], scan_of: Callable[[], list[Stack]]
) -> None:
    write(
        ramp(8),
        positions=along(0, 3, 0, 3, 0, 3, 0, 3),
        EchoTime=(10, 10, 10, 10, 80, 80, 80, 80),
        TemporalPositionIdentifier=(1, 1, 2, 2, 1, 1, 2, 2),
        InstanceNumber=(8, 3, 5, 6, 2, 7, 1, 4),
    )
    assert sorted(map(order, scan_of())) == [[0, 1], [2, 3], [4, 5], [6, 7]]


def test_nearly_the_same_place_is_the_same_place(
    write: Callable[..., list[Path]], scan_of: Callable[[], list[Stack]]
) -> None:
    write(ramp(4), positions=along(0.0149, 3, 0.0151, 3.0004), AcquisitionNumber=(1, 1, 2, 2))
    assert sorted(map(order, scan_of())) == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    "tags",
    [
        {"PixelSpacing": ([1, 1], [1, 1], [2, 2], [2, 2])},
        {"FrameOfReferenceUID": ("1.2", "1.2", "1.3", "1.3")},
        {"BitsStored": (12, 12, 16, 16)},
        {"PhotometricInterpretation": ("MONOCHROME1", "MONOCHROME1", "MONOCHROME2", "MONOCHROME2")},
    ],
    ids=lambda tags: "-".join(tags),
)
def test_slices_that_differ_in_kind_do_not_stack(
    write: Callable[..., list[Path]], scan_of: Callable[[], list[Stack]], tags: dict[str, Any]
) -> None:
    write(ramp(4), positions=along(0, 3, 6, 9), **tags)
    assert sorted(map(order, scan_of())) == [[0, 1], [2, 3]]


def test_stacks_of_other_content_have_other_names(
    write: Callable[..., list[Path]], scan_of: Callable[[], list[Stack]]
) -> None:
    paths = write(ramp(4))
    (whole,) = scan_of()
    (again,) = scan_of()
    paths[2].unlink()
    (part,) = scan_of()
    assert whole.uid == again.uid != part.uid


# Multi-frame


def multiframe(folder: Path, groups: list[dict[str, Any]], shared: dict[str, Any]) -> Path:
    """An enhanced image whose frames hold their number in the file."""
    (path,) = write_series(folder, ramp(1))
    image = pydicom.dcmread(path)
    del image.ImagePositionPatient, image.ImageOrientationPatient, image.PixelSpacing
    image.NumberOfFrames = len(groups)

    def nested(values: dict[str, Any]) -> Dataset:
        outer = Dataset()
        for sequence, attributes in values.items():
            inner = Dataset()
            for keyword, value in attributes.items():
                setattr(inner, keyword, value)
            setattr(outer, sequence, [inner])
        return outer

    image.SharedFunctionalGroupsSequence = [nested(shared)]
    image.PerFrameFunctionalGroupsSequence = [nested(group) for group in groups]
    image.PixelData = ramp(len(groups)).tobytes()
    image.save_as(path)
    return path


def test_frames_are_placed_valued_and_split_by_their_own_groups(
    tmp_path: Path, scan_of: Callable[[], list[Stack]]
) -> None:
    frames = [(6, 1, 2.0), (0, 1, 3.0), (3, 1, 4.0), (0, 2, 5.0), (3, 2, 6.0), (6, 2, 7.0)]
    multiframe(
        tmp_path / "in",
        [
            {
                "PlanePositionSequence": {"ImagePositionPatient": [0, 0, z]},
                "FrameContentSequence": {"TemporalPositionIndex": phase},
                "PixelValueTransformationSequence": {"RescaleSlope": slope, "RescaleIntercept": -1},
            }
            for z, phase, slope in frames
        ],
        {
            "PlaneOrientationSequence": {"ImageOrientationPatient": list(AXIAL)},
            "PixelMeasuresSequence": {"PixelSpacing": [0.5, 0.7], "SliceThickness": 2},
        },
    )
    stacks = scan_of()
    assert [order(stack) for stack in stacks] == [[1, 2, 0], [3, 4, 5]]
    volume = loaded(stacks[0])
    assert volume.slope.tolist() == [3.0, 4.0, 2.0]
    assert volume.value(0, 0, 0) == 1 * 3.0 - 1
    assert stacks[0].grid.spacing == (3.0, 0.5, 0.7)


def test_frames_that_share_one_plain_position_stay_together_without_a_place(
    write: Callable[..., list[Path]], scan_of: Callable[[], list[Stack]]
) -> None:
    (path,) = write(ramp(1))
    image = pydicom.dcmread(path)
    image.NumberOfFrames, image.PixelData = 5, ramp(5).tobytes()
    image.save_as(path)
    (stack,) = scan_of()
    assert order(stack) == [0, 1, 2, 3, 4]
    assert codes(stack) == ["no-position"]
    assert not stack.measurable
