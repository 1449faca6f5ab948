"""What a worker does for a model on a stack; what it yields arrives on the main thread."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from dataclasses import dataclass

from overread.domain.finding import Finding
from overread.domain.study import Stack
from overread.domain.volume import Volume
from overread.infer.channels import Channel
from overread.infer.detector import ModelRun, OnnxDetector
from overread.infer.results import SliceResult
from overread.infer.scheduler import SliceQueue
from overread.infer.volumes import VolumeRun
from overread.session.companions import Companions
from overread.session.jobs import Job
from overread.session.review import proposed, source_of

Findings = tuple[Finding, ...]


@dataclass(frozen=True)
class Share:
    """How much of a volume a 3-D model has read: patches, and of how many."""

    done: int
    total: int


Arriving = str | ModelRun | VolumeRun | Share | SliceResult | Findings


@dataclass(frozen=True, eq=False)
class Pass:
    """One model on one stack; `beside` are the other series that it reads, by role.

    Each pass first says which series it registers, if any, then what engine it has, then what it has read, and in the
    end, once all is read, what there is to propose.
    """

    detector: OnnxDetector
    volume: Volume
    beside: Mapping[str, Stack]
    companions: Companions

    def slices(
        self, engine: ModelRun | VolumeRun | None, queue: SliceQueue, known: dict[int, SliceResult], job: Job
    ) -> Generator[Arriving, None, None]:
        """Read slices until nobody waits for more; `known` were read before, by `engine` perhaps."""
        if isinstance(engine, ModelRun) and engine.served.alive:
            current = engine
        else:
            current = self.detector.start(self.volume, (yield from self._laid(job)))
        yield current
        for result in current.slices(queue):
            known[result.index] = result
            job.fraction = len(known) / current.count
            yield result
        if len(known) == current.count:
            proposals = current.proposals(known)
            source = source_of(self.detector, self.detector.spec.sha256, current.provenance(known))
            yield proposed(proposals, self.volume.stack, source)

    def whole(self, kept: dict[tuple[str, ...], Findings], job: Job) -> Generator[Arriving, None, None]:
        """Read the whole stack, unless it is `kept` what was found there; one that is called off leaves nothing."""
        others = (other.uid for other in self.beside.values())
        key = (self.volume.uid, self.detector.spec.sha256, *others)
        if key not in kept:
            current = self.detector.start_whole(self.volume, (yield from self._laid(job)))
            yield current
            answer = current.blank()
            for done, total in current.read(answer, job.cancel):
                job.fraction = done / total
                yield Share(done, total)
            source = source_of(self.detector, self.detector.spec.sha256, answer.backend)
            kept[key] = proposed(current.proposals(answer), self.volume.stack, source)
        yield kept[key]

    def _laid(self, job: Job) -> Generator[str, None, dict[str, Channel]]:
        others = {}
        for role, stack in self.beside.items():
            yield f"Lays {role} on {self.volume.stack.role} …"
            others[role] = self.companions.channel(self.volume, stack, job.cancel)
        return others
