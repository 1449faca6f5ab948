"""A box that a reader drew or moved, outlined by the network that outlines a detector's own boxes."""

from __future__ import annotations

from threading import Lock

from overread.domain.errors import UserError
from overread.domain.finding import Mask, VoxelBox
from overread.domain.geometry import plane_axes
from overread.domain.ports import Cancel
from overread.domain.volume import Volume
from overread.imaging.boxes import cut, edges_of
from overread.infer.backends.chain import Chain
from overread.infer.backends.far import FarChain, Serving
from overread.infer.detect import Outliner, stacked
from overread.infer.manifest import ModelSpec
from overread.infer.slices import Slicer


class BoxOutline:
    """A detector asked for the outline of what lies in a box. What runs is chosen, and tested, with the first one."""

    def __init__(self, spec: ModelSpec, chain: Chain | FarChain) -> None:
        self.spec, self._chain, self._lock = spec, chain, Lock()
        self._served: Serving | None = None

    def __call__(self, volume: Volume, box: VoxelBox, cancel: Cancel) -> tuple[Mask, str]:
        """The voxels of the outline, slice by slice within the box, and what ran the network. Runs on a worker.

        UserError where the network sees nothing in the box.
        """
        spec, contour = self.spec, self.spec.contour
        if contour is None:
            raise ValueError(f"{spec.id} does not outline")
        with self._lock:
            if self._served is None or not self._served.alive:
                self._served = self._chain.serve(spec)
            backend = self._served.looks["contour"]
        grid, axes = volume.grid, plane_axes(volume.grid, spec.prepare.plane)
        slicer = Slicer.of(volume, spec.prepare)
        outliner = Outliner(contour, backend, (grid.spacing[axes.down], grid.spacing[axes.across]))
        edges = edges_of(box, axes, grid.shape)
        drawn = []
        for index in range(box[axes.through], box[3 + axes.through]):
            (patch,) = outliner(slicer.picture(index), [edges], cancel)
            if patch is not None:
                drawn.append((index, patch))
        mask = cut(stacked(drawn, axes, grid.shape), box) if drawn else None
        if not mask:
            raise UserError(f"{spec.name} sees nothing to outline in this box.", "Move the box, or draw by hand.")
        return mask, f"{backend.name} {backend.precision}"
