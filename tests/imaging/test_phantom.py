"""The synthetic head: plausible, asymmetric, the same every time; and what a scanner would make of it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from overread.domain.geometry import Grid
from overread.imaging.phantom import ABNORMAL, Head, make_head
from overread.imaging.phantom_atlas import Tissue
from overread.imaging.phantom_mr import RELAXATION, Scan, Timing, acquire, contrast, slabs
from overread.imaging.phantom_shapes import Space, chain, doubled, ellipsoid, halves

T1, T1C = Timing(500, 12), Timing(500, 12, contrast=True)
T2, FLAIR = Timing(4500, 100), Timing(9000, 120, 2400)


@pytest.fixture(scope="module")
def head() -> Head:
    return make_head()


def millilitres(head: Head, *tissues: Tissue) -> float:
    return float(np.isin(head.labels, tissues).sum() * head.grid.voxel_mm3 / 1000)


def test_two_heads_are_identical(head: Head) -> None:
    again = make_head()
    assert np.array_equal(head.labels, again.labels)
    assert len(head.layers) == len(again.layers)
    for one, other in zip(head.layers, again.layers, strict=True):
        assert one.tissue == other.tissue
        assert one.at == other.at
        assert np.array_equal(one.cover, other.cover)


def test_grid_is_a_millimetre_along_the_body_axes(head: Head) -> None:
    assert head.grid.spacing == (1.0, 1.0, 1.0)
    assert np.allclose(head.grid.directions, np.eye(3)[::-1])
    assert head.labels.shape == head.grid.shape
    assert head.labels.dtype == np.uint8
    assert not head.labels.flags.writeable


def test_tissue_volumes_are_those_of_a_head(head: Head) -> None:
    assert 500 < millilitres(head, Tissue.GREY) < 850
    assert 450 < millilitres(head, Tissue.WHITE) < 750
    assert 150 < millilitres(head, Tissue.CSF) < 400
    assert 20 < millilitres(head, Tissue.DEEP_GREY, Tissue.PALLIDUM) < 60
    assert set(np.unique(head.labels)) == {int(tissue) for tissue in Tissue}


def test_tumour_is_one_of_a_plausible_size_in_the_left_front(head: Head) -> None:
    assert 25 < millilitres(head, *ABNORMAL) < 45
    assert millilitres(head, Tissue.OEDEMA) > millilitres(head, Tissue.TUMOUR, Tissue.RIM, Tissue.NECROSIS)
    parts, _ = ndimage.label(head.abnormal())
    sizes = np.sort(np.bincount(parts.ravel())[1:])
    assert sizes[-1] > 0.97 * sizes.sum()
    x, y, z = head.grid.to_lps(np.argwhere(head.abnormal())).mean(axis=0)
    assert x > 20
    assert y < -10
    assert 10 < z < 45


def test_rim_lies_between_dead_centre_and_oedema(head: Head) -> None:
    dead = head.labels == Tissue.NECROSIS
    around = ndimage.binary_dilation(dead, iterations=2) & ~dead
    assert np.isin(head.labels[around], (Tissue.RIM, Tissue.TUMOUR)).mean() > 0.95


def test_tumour_pushes_the_ventricle_of_its_side(head: Head) -> None:
    k = slice(*(int(head.grid.to_index((0, 0, z))[0]) for z in (8, 28)))
    j = slice(*(int(head.grid.to_index((0, y, 0))[1]) for y in (-35, 0)))
    fluid = np.zeros(head.grid.shape, bool)
    fluid[k, j] = head.labels[k, j] == Tissue.CSF
    x = head.grid.to_lps(np.argwhere(fluid))[:, 0]
    x = x[np.abs(x) < 22]
    assert (x > 0).sum() < (x < 0).sum()


def test_sides_are_alike_but_not_the_same(head: Head) -> None:
    brain = np.isin(head.labels, (Tissue.GREY, Tissue.WHITE))
    mirrored = brain[:, :, ::-1]
    dice = 2 * (brain & mirrored).sum() / (brain.sum() + mirrored.sum())
    assert 0.85 < dice < 0.99
    grey = head.labels == Tissue.GREY
    assert (grey == grey[:, :, ::-1])[brain | mirrored].mean() < 0.9


def test_cortex_is_folded(head: Head) -> None:
    """Within the brain's outline, far more of the grey matter's surface faces fluid than a smooth hull would have."""
    brain = np.isin(head.labels, (Tissue.GREY, Tissue.WHITE, Tissue.DEEP_GREY, *ABNORMAL))
    k = int(head.grid.to_index((0, 0, 45))[0])
    outline = ndimage.binary_fill_holes(ndimage.binary_closing(brain[k], iterations=10))
    assert outline is not None

    def edge(mask: np.ndarray) -> int:
        return int((mask & ~ndimage.binary_erosion(mask)).sum())

    assert edge(brain[k]) > 2.0 * edge(outline)


def test_every_tissue_has_relaxation_times() -> None:
    assert set(RELAXATION) == set(Tissue)


def test_signals_stand_in_the_right_order() -> None:
    lesion, grey, white, csf, fat = Tissue.OEDEMA, Tissue.GREY, Tissue.WHITE, Tissue.CSF, Tissue.FAT
    for timing, order in (
        (FLAIR, (fat, lesion, grey, white, csf)),
        (T1, (fat, white, grey, lesion, csf)),
        (T2, (csf, fat, lesion, grey, white)),
    ):
        signals = [timing.signal(tissue) for tissue in order]
        assert signals == sorted(signals, reverse=True)
        assert np.diff(signals).max() < 0


def test_only_the_rim_and_vessels_take_up_contrast() -> None:
    assert T1C.signal(Tissue.RIM) > 1.8 * T1.signal(Tissue.RIM)
    assert T1C.signal(Tissue.VEIN) > 2 * T1.signal(Tissue.VEIN)
    for tissue in (Tissue.WHITE, Tissue.GREY, Tissue.OEDEMA, Tissue.NECROSIS, Tissue.CSF, Tissue.FAT):
        assert T1C.signal(tissue) == pytest.approx(T1.signal(tissue), rel=0.06)


def test_contrast_paints_pure_tissues_with_their_signal(head: Head) -> None:
    volume = contrast(head, FLAIR)
    assert volume.dtype == np.float32
    inside = ndimage.binary_erosion(head.labels == Tissue.WHITE, iterations=4)
    assert np.median(volume[inside]) == pytest.approx(FLAIR.signal(Tissue.WHITE), rel=0.01)


def test_slabs_keep_a_flat_volume_and_the_place_of_a_point() -> None:
    at = Grid((20, 20, 20), np.array([[0, 0, 1, -10], [0, 1, 0, -10], [1, 0, 0, -10], [0, 0, 0, 1.0]]))
    onto = Grid((3, 8, 8), np.array([[0, 0, 1, -4], [0, 1, 0, -4], [5, 0, 0, -5], [0, 0, 0, 1.0]]))
    assert np.allclose(slabs(np.ones(at.shape, np.float32), at, onto, 4.0), 1, atol=1e-5)
    point = np.zeros(at.shape, np.float32)
    point[at.clamp(at.to_index((1, -2, 0)))] = 1
    seen = slabs(point, at, onto, 4.0)
    brightest = np.unravel_index(seen.argmax(), seen.shape)
    assert np.allclose(onto.to_lps(brightest), (1, -2, 0), atol=1e-6)


def test_noise_in_air_is_rayleigh_and_the_same_every_time(head: Head) -> None:
    nothing = Head(head.grid, (), head.labels)
    grid = Grid((2, 96, 96), np.array([[0, 0, 1, -48], [0, 1, 0, -48], [5, 0, 0, 0], [0, 0, 0, 1.0]]))
    scan = Scan(T1, grid, 4.0, gain=1000, noise=40, seed=5)
    air = acquire(nothing, scan)
    assert air.dtype == np.uint16
    # Mean over standard deviation of a Rayleigh distribution: sqrt(pi / (4 - pi)).
    assert air.mean() / air.std() == pytest.approx(1.913, rel=0.03)
    assert np.array_equal(air, acquire(nothing, scan))
    assert not np.array_equal(air, acquire(nothing, Scan(T1, grid, 4.0, gain=1000, noise=40, seed=6)))


def test_doubling_halves_keeps_a_smooth_field() -> None:
    fine = np.linspace(-1, 1, 40, dtype=np.float32)
    z, y, x = np.meshgrid(*[halves(fine)] * 3, indexing="ij")
    back = doubled(np.asarray(np.sin(2 * x) + y * z, np.float32))
    z, y, x = np.meshgrid(fine, fine, fine, indexing="ij")
    assert np.abs(back - (np.sin(2 * x) + y * z))[4:-4, 4:-4, 4:-4].max() < 0.03


def test_distances_of_solids() -> None:
    line = np.arange(-12, 13, dtype=np.float32)
    space = Space.straight((line, line, line))
    ball = ellipsoid(space, (0, 0, 0), (5, 5, 5))
    assert np.allclose(ball[12, 12, [12 + 5, 12 + 8]], (0, 3), atol=1e-4)
    rod = chain(space, ((-6, 0, 0, 2), (6, 0, 0, 2)))
    assert rod[12, 12, 12] == pytest.approx(-2)
    assert rod[12, 12 + 4, 12] == pytest.approx(2)
    flat = ellipsoid(space, (0, 0, 0), (8, 2, 2), turn=90)
    assert flat[12, 12 + 7, 12] < 0 < flat[12, 12, 12 + 7]
    with pytest.raises(ValueError, match="two knots"):
        chain(space, ((0, 0, 0, 1),))
