"""What the floors ask of each other, where more than one answer exists."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from overread.domain.finding import Code, Kind, Mask, VoxelBox, require_whole
from overread.domain.heatmap import Heatmap
from overread.domain.probability import Probabilities
from overread.domain.study import Stack
from overread.domain.volume import Volume


class Cancel:
    """A way to call work off from another thread."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._actions: list[Callable[[], None]] = []

    @property
    def cancelled(self) -> bool:
        """Whether the work was called off."""
        return self._event.is_set()

    def cancel(self) -> None:
        """Call the work off; what `on_cancel` registered is called, on this thread."""
        with self._lock:
            self._event.set()
            actions, self._actions = self._actions, []
        for action in actions:
            action()

    def on_cancel(self, action: Callable[[], None]) -> Callable[[], None]:
        """Have `action` called once when the work is called off, at once if it has been; returns what forgets it."""
        with self._lock:
            if not self._event.is_set():
                self._actions.append(action)
                return lambda: self._forget(action)
        action()
        return lambda: None

    def _forget(self, action: Callable[[], None]) -> None:
        with self._lock:
            if action in self._actions:
                self._actions.remove(action)


class Backend(Protocol):
    """Something that runs one model. Called on a worker thread."""

    @property
    def name(self) -> str:
        """What serves, in the reader's words: "ONNX Runtime CPU"."""

    @property
    def precision(self) -> str:
        """The number format that it computes in: "fp32", "fp16"."""

    def run(self, tensor: NDArray[np.float32], cancel: Cancel) -> Mapping[str, NDArray[np.float32]]:
        """The network's outputs by name for an input (n, channels, [slices,] rows, columns), each with n first.

        Cancelled where the work was called off.
        """


@dataclass(frozen=True)
class Proposal:
    """What a detector saw: voxels of the volume's own grid, and what they are. `score` is 0 to 1.

    The fields from `kind` on are those of a `Finding`.
    """

    label: str
    concept: Code
    category: Code
    mask: Mask
    score: float | None = None
    anatomy: Code | None = None
    colour: str = "#F5B83D"
    kind: Kind = Kind.SEGMENTATION
    box: VoxelBox | None = None
    threshold: float | None = None
    classes: tuple[tuple[str, float], ...] = ()
    heatmap: Heatmap | None = None
    probabilities: Probabilities | None = None

    def __post_init__(self) -> None:
        require_whole(self.kind, self.mask, self.box, self.score, self.threshold)


@runtime_checkable
class Detector(Protocol):
    """Looks at a whole volume and proposes findings. Called on a worker thread."""

    @property
    def id(self) -> str:
        """A short name that stays the same: "lung-mask"."""

    @property
    def title(self) -> str:
        """The name that readers see."""

    @property
    def version(self) -> str:
        """The detector's version."""

    def refuse(self, stack: Stack) -> str:
        """Why this series is nothing for the detector, in one plain sentence; "" where it is."""

    def __call__(self, volume: Volume, progress: Callable[[float], None]) -> Sequence[Proposal]:
        """Propose findings. Call `progress` with 0 to 1 now and then: it raises Cancelled when the reader stops it."""
