"""All that a plug-in sees. What is not here may change at any time.

A plug-in is an installed project with an entry point in the group `overread.plugins`:

    [project.entry-points."overread.plugins"]
    lung-mask = "overread_lung_mask:DETECTORS"

The object it names is a list of detectors.
"""

from overread.domain.errors import UserError
from overread.domain.finding import Code, Kind, Mask
from overread.domain.geometry import Grid, Plane
from overread.domain.heatmap import Heatmap
from overread.domain.ports import Detector, Proposal
from overread.domain.probability import Probabilities
from overread.domain.study import Stack
from overread.domain.volume import Volume

__all__ = [
    "Code",
    "Detector",
    "Grid",
    "Heatmap",
    "Kind",
    "Mask",
    "Plane",
    "Probabilities",
    "Proposal",
    "Stack",
    "UserError",
    "Volume",
]
