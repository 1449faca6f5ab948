"""The frozen values that the session holds and the views look at."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from statistics import median

from overread.domain.study import Catalogue, Stack
from overread.domain.volume import Ready, Volume


@dataclass(frozen=True)
class Sources:
    """What the reader opened and how far the scan is."""

    paths: tuple[str, ...] = ()
    catalogue: Catalogue = field(default_factory=Catalogue)
    scanning: bool = False


@dataclass(frozen=True)
class Image:
    """The stack on screen: its voxels as far as they are there."""

    volume: Volume
    ready: Ready

    @property
    def stack(self) -> Stack:
        """What it is."""
        return self.volume.stack


class Phase(Enum):
    """Where a model stands with the stack on screen."""

    OFF = "off"
    CLOSED = "does not apply"
    WAITING = "waiting for the images"
    STARTING = "starting"
    RUNNING = "reading"
    PAUSED = "reading what you look at"
    DONE = "done"
    NOTHING = "found nothing"
    FAILED = "failed"


@dataclass(frozen=True)
class Reading:
    """A model at work on the stack on screen. `text` is the sentence to show where there is something to say.

    `notice` is one more, on what runs the model: what failed and what goes on in its place. `proof` says how well what
    serves did in the self-test, `why` what keeps each other backend from serving. `standing` is how things stand with
    a server, in a few words; `whither` where the images go, "" while they stay on this machine. `done` of `total`
    slices are read, or parts where it reads the `whole` stack in one pass.
    """

    model_id: str
    title: str
    version: str = ""
    phase: Phase = Phase.OFF
    text: str = ""
    done: int = 0
    total: int = 0
    backend: str = ""
    precision: str = ""
    proof: str = ""
    why: str = ""
    notice: str = ""
    standing: str = ""
    whither: str = ""
    use: str = ""
    times_ms: tuple[float, ...] = ()
    tested_ms: float | None = None
    whole: bool = False

    @property
    def median_ms(self) -> float | None:
        """Milliseconds a slice, over the last slices; those of the self-test where what serves has read none yet.

        None of a model that reads no slices.
        """
        if self.whole:
            return None
        return median(self.times_ms) if self.times_ms else self.tested_ms

    @property
    def busy(self) -> bool:
        """Whether it is at work now."""
        return self.phase in (Phase.STARTING, Phase.RUNNING)
