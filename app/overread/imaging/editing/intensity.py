"""What the image's own values say: a range, an edge under the brush, and seeds that grow up to the edges."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from overread.domain.errors import UserError
from overread.domain.finding import Bools, Mask
from overread.domain.geometry import Box, Floats, Index
from overread.domain.volume import Volume
from overread.imaging.editing.boxes import Progress, around, crop, placed, silent

# Two groups of values lie apart when their means are this many (pooled) standard deviations from each other. Noise
# without an edge, split at Otsu's threshold, comes to 2.7, an even ramp to 3.5 (Ashman, Bird and Zepf 1994 ask for 2
# of groups that were not split by the threshold itself).
_APART = 3.8
_FEW = 12
# Weight of an intensity step in the random walk, and when its equations count as solved (as skimage.segmentation has).
_BETA, _TOLERANCE = 130.0, 1e-3
# How many voxels seeds may span: a second or two of work, and about 300 MB for the random walker.
_WALKED, _FLOODED = 1_000_000, 4_000_000
# Room around the scribbles, in voxels within the slices.
_ROOM = 12


def within(volume: Volume, region: Mask, low: float, high: float, progress: Progress = silent) -> Mask:
    """The voxels of `region` whose real values lie from `low` to `high`, both included."""
    inside = region.inner
    k0, j, i = region.start[0], region.box[1], region.box[2]
    for n in range(len(inside)):
        if n % 8 == 0:
            progress(n / len(inside))
        real = volume.real((slice(k0 + n, k0 + n + 1), j, i))[0]
        inside[n] &= (real >= low) & (real <= high)
    return placed(inside, region.box, region.shape)


def along_edges(values: Floats, brush: Bools, centre: Index) -> Bools:
    """Smart brush: the voxels under a brush that lie on the same side of an edge as its centre, and hang together.

    `values` and `brush`, shape (k, j, i), are the image and the brush in one box, `centre` the voxel under the pen.
    Local region growing: the values under the brush, after a median of 3 × 3, are split in two (Otsu 1979); where the
    halves lie apart, the half of the centre is kept as far as it is connected to it, else the whole brush.
    """
    from scipy import ndimage  # slow imports, wanted with the first stroke of this brush
    from skimage.filters import threshold_otsu

    if any(not 0 <= n < size for n, size in zip(centre, brush.shape, strict=True)) or not brush[centre]:
        return brush
    calm = np.stack([cv2.medianBlur(np.ascontiguousarray(plane, np.float32), 3) for plane in values])
    under = calm[brush]
    if under.size < _FEW or under.min() == under.max():
        return brush
    split = float(threshold_otsu(under))
    lower, upper = under[under <= split], under[under > split]
    if not lower.size or not upper.size:
        return brush
    spread = np.sqrt((lower.var() + upper.var()) / 2)
    if float(upper.mean() - lower.mean()) < _APART * spread:
        return brush
    side = brush & ((calm > split) == (calm[centre] > split))
    labels, _ = ndimage.label(side)
    return np.asarray(labels == labels[centre])


def seeded_box(inside: Mask, outside: Mask, through: int) -> Box:
    """Where seeds may grow: from the first to the last scribbled slice across `through`, and a little around."""
    k, j, i = (0 if axis == through else _ROOM for axis in range(3))
    return around((inside, outside), inside.shape, (k, j, i))


def flooded(volume: Volume, inside: Mask, outside: Mask, through: int, progress: Progress = silent) -> Mask:
    """Grow from seeds: both scribbles flood the gradient of the image until they meet (watershed from markers).

    skimage.segmentation.watershed on the gradient magnitude (Gaussian, one voxel) in mm. Neither can be interrupted
    within: called off, the reader has the hand free at once, the worker when the call into the library ends. UserError
    where a scribble is missing or they span too much.
    """
    from scipy import ndimage  # slow imports, wanted with the first seeds
    from skimage.segmentation import watershed

    box, seeds = _seeds(inside, outside, through, _FLOODED)
    progress(0.1)
    real, spacing = volume.real(box).astype(np.float32), volume.grid.spacing
    steep = np.zeros_like(real)
    for axis, size in enumerate(real.shape):
        if size > 1:
            order = [int(axis == other) for other in range(3)]
            sigma = [float(n > 1) for n in real.shape]
            steep += np.square(ndimage.gaussian_filter(real, sigma, order=order) / spacing[axis])
        progress(0.1 + 0.1 * (axis + 1))
    labels = watershed(np.sqrt(steep), seeds.astype(np.int32))
    progress(1.0)
    return placed(labels == 1, box, inside.shape)


def walked(volume: Volume, inside: Mask, outside: Mask, through: int, progress: Progress = silent) -> Mask:
    """Random walker (Grady 2006): the voxels from which a walk that shuns edges more likely ends inside than outside.

    The equations of skimage.segmentation.random_walker, whose answers it is tested against; solved here by conjugate
    gradients, because that function cannot be called off. UserError where a scribble is missing or they span too much.
    """
    from scipy.sparse import coo_array, diags_array  # slow imports, wanted with the first walk
    from scipy.sparse.linalg import cg

    box, seeds = _seeds(inside, outside, through, _WALKED)
    edges, weights = _graph(volume.real(box), np.array(volume.grid.spacing))
    progress(0.05)
    count = seeds.size
    both = np.concatenate([edges, edges[::-1]], axis=1)
    twice = np.concatenate([weights, weights])
    pull = coo_array((twice, (both[0], both[1])), shape=(count, count)).tocsr()
    progress(0.1)
    flat = seeds.ravel()
    free, known = np.flatnonzero(flat == 0), np.flatnonzero(flat == 1)
    held = np.asarray(pull.sum(axis=1))
    unknown = pull[free]
    right = np.asarray(unknown[:, known].sum(axis=1))
    matrix = diags_array(held[free]).tocsr() - unknown[:, free]
    progress(0.2)
    rounds = 0

    def beat(_: object) -> None:
        nonlocal rounds
        rounds += 1
        progress(1.0 - 0.8 * 0.99**rounds)

    ease = diags_array(1.0 / held[free])
    likely, failed = cg(matrix, right, rtol=_TOLERANCE, maxiter=2000, M=ease, callback=beat)
    if failed:
        raise UserError("The random walker found no answer.", "Scribble a little more on both sides.")
    answer = flat == 1
    answer[free] = likely > 0.5
    return placed(answer.reshape(seeds.shape), box, inside.shape)


def _seeds(inside: Mask, outside: Mask, through: int, most: int) -> tuple[Box, NDArray[np.uint8]]:
    """The box of two scribbles and what they say of it: 1 inside, 2 outside, 0 nothing; where they cross, outside."""
    if not inside or not outside:
        missing = "outside of it (hold Shift)" if inside else "inside of it"
        raise UserError("Both sides need a scribble.", f"Draw one {missing} as well.")
    box = seeded_box(inside, outside, through)
    size = int(np.prod([part.stop - part.start for part in box]))
    if size > most:
        raise UserError(
            f"The scribbles span {size / 1e6:.1f} million voxels; {most / 1e6:.0f} million can be done at once.",
            "Scribble closer to the edge, or on fewer slices.",
        )
    seeds = crop(inside, box).astype(np.uint8)
    seeds[crop(outside, box)] = 2
    if not (seeds == 1).any():
        raise UserError("Both sides need a scribble.", "The one outside covers all of the one inside.")
    return box, seeds


def _graph(values: Floats, spacing: Floats) -> tuple[NDArray[np.intp], Floats]:
    """Neighbours face to face, shape (2, n), and how easily a walk goes from one to the other."""
    numbers = np.arange(values.size).reshape(values.shape)
    pairs, steps = [], []
    for axis in range(3):
        before = tuple(slice(None, -1) if axis == other else slice(None) for other in range(3))
        after = tuple(slice(1, None) if axis == other else slice(None) for other in range(3))
        pairs.append(np.stack([numbers[before].ravel(), numbers[after].ravel()]))
        # Distances relative to the last axis, as skimage has them when it is given the spacing.
        steps.append(((values[before] - values[after]) / (spacing[axis] / spacing[2])).ravel())
    gradients = np.square(np.concatenate(steps))
    scale = _BETA / (10.0 * max(float(values.std()), 1e-12) ** 2)
    return np.concatenate(pairs, axis=1), np.exp(-scale * gradients) + 1e-10
