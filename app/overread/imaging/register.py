"""How one image lies to another: rigid registration by mutual information, for series of one patient and study.

Mattes et al., PET-CT image registration in the chest using free-form deformations, IEEE Trans Med Imaging 22:120, 2003,
as SimpleITK has it; six numbers, coarse to fine. Positions are LPS mm, arrays run (k, j, i).
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from overread.domain.geometry import Floats, Grid
from overread.domain.ports import Cancel
from overread.imaging.registration import Registration
from overread.imaging.resample import require_wanted

F32 = NDArray[np.float32]

_BINS = 32
_SEED = 1
# Voxels of about so many mm, with the first step and the last one in mm; the first level is where starts compete.
_LEVELS = ((8.0, 1.0, 0.02), (4.0, 0.5, 0.005), (2.0, 0.2, 0.002))
_JUDGED_MM = 4.0
_STEPS = 200
_SAMPLES = 80_000
# Starts that end more than so far apart, and nearly as well, leave it open which of them is right.
_APART_MM, _NEARLY = 10.0, 0.97


def register(fixed: F32, grid: Grid, moving: F32, moving_grid: Grid, cancel: Cancel) -> Registration:
    """Find how the moving image (k, j, i) lies to the fixed one.

    It starts from the headers, from the middles of both images and from their centres of mass, and goes on from the
    best. The same images give the same motion. Cancelled where the work was called off, which is looked at once a
    step.
    """
    images = _image(fixed, grid), _image(moving, moving_grid)
    pyramid = [(_shrunk(images[0], mm), _shrunk(images[1], mm)) for mm, _, _ in _LEVELS]
    judged = _shrunk(images[0], _JUDGED_MM), _shrunk(images[1], _JUDGED_MM)
    ends = sorted(
        (_climbed(*pyramid[0], start, _LEVELS[0], cancel) for start in _starts(*images)),
        key=lambda end: -end[0],
    )
    likeness, best = ends[0]
    corners = grid.corners
    apart = [float(np.linalg.norm(_moved(other, corners) - _moved(best, corners), axis=1).max()) for _, other in ends]
    rivals = zip(ends, apart, strict=True)
    ambiguous = any(near >= _NEARLY * likeness and far > _APART_MM for (near, _), far in rivals)
    for level, (target, source) in islice(zip(_LEVELS, pyramid, strict=True), 1, None):
        _, best = _climbed(target, source, best, level, cancel)
    motion = _matrix(best)
    points = grid.to_lps(np.stack(np.meshgrid(*(np.linspace(0, n - 1, 12) for n in grid.shape), indexing="ij"), -1))
    places = moving_grid.to_index(points @ motion[:3, :3].T + motion[:3, 3])
    inside = ((places > -0.5) & (places < np.array(moving_grid.shape) - 0.5)).all(axis=-1)
    before, after = (_likeness(*judged, transform) for transform in (sitk.Euler3DTransform(), best))
    return Registration(motion, before, after, float(inside.mean()), ambiguous)


def _image(values: F32, grid: Grid) -> sitk.Image:
    image = sitk.GetImageFromArray(values)
    image.SetOrigin(grid.origin.tolist())
    image.SetSpacing(grid.spacing[::-1])
    image.SetDirection(grid.directions[:, ::-1].ravel().tolist())
    return image


def _shrunk(image: sitk.Image, mm: float) -> sitk.Image:
    """Means of blocks of about so many mm; an axis whose voxels are larger stays as it is."""
    sizes = zip(image.GetSpacing(), image.GetSize(), strict=True)
    shrunk: sitk.Image = sitk.BinShrink(image, [min(max(1, round(mm / spacing)), size) for spacing, size in sizes])
    return shrunk


def _starts(fixed: sitk.Image, moving: sitk.Image) -> Iterator[sitk.Euler3DTransform]:
    """Where to begin, all turning about the middle of the fixed image."""
    kinds = sitk.CenteredTransformInitializerFilter
    middle = fixed.TransformContinuousIndexToPhysicalPoint([(size - 1) / 2 for size in fixed.GetSize()])
    start = sitk.Euler3DTransform()
    start.SetCenter(middle)
    yield start
    for kind in (kinds.GEOMETRY, kinds.MOMENTS):
        guess = sitk.CenteredTransformInitializer(fixed, moving, sitk.Euler3DTransform(), kind)
        start = sitk.Euler3DTransform()
        start.SetCenter(middle)
        start.SetTranslation((np.array(guess.TransformPoint(middle)) - middle).tolist())
        yield start


def _metric(transform: sitk.Transform) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetNumberOfWorkUnits(1)  # sums of several threads differ in their last digits from run to run
    method.MetricUseFixedImageGradientFilterOff()  # central differences serve, on stacks of three slices too
    method.MetricUseMovingImageGradientFilterOff()
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetInitialTransform(transform, inPlace=True)
    return method


def _likeness(fixed: sitk.Image, moving: sitk.Image, transform: sitk.Transform) -> float:
    """Mutual information in nats, the greater the better."""
    return -float(_metric(transform).MetricEvaluate(fixed, moving))


def _climbed(
    fixed: sitk.Image,
    moving: sitk.Image,
    start: sitk.Euler3DTransform,
    level: tuple[float, float, float],
    cancel: Cancel,
) -> tuple[float, sitk.Euler3DTransform]:
    """The mutual information and the transform at the end of a climb from `start`."""
    require_wanted(cancel)
    transform = sitk.Euler3DTransform(start)
    method = _metric(transform)
    _, first, last = level
    share = _SAMPLES / fixed.GetNumberOfPixels()
    if share < 1:
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentage(share, _SEED)
    method.SetOptimizerAsRegularStepGradientDescent(first, last, _STEPS, 0.6, 1e-6)
    method.SetOptimizerScalesFromPhysicalShift()
    method.AddCommand(sitk.sitkIterationEvent, lambda: method.StopRegistration() if cancel.cancelled else None)
    method.Execute(fixed, moving)
    require_wanted(cancel)
    return -float(method.GetMetricValue()), transform


def _moved(transform: sitk.Euler3DTransform, points: Floats) -> Floats:
    matrix = _matrix(transform)
    return np.asarray(points @ matrix[:3, :3].T + matrix[:3, 3])


def _matrix(transform: sitk.Euler3DTransform) -> Floats:
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(transform.GetMatrix()).reshape(3, 3)
    matrix[:3, 3] = transform.TransformPoint((0.0, 0.0, 0.0))
    return matrix
