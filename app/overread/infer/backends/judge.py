"""Whether a link of the chain may serve a model, and how fast it is: decided by self-test on this very machine."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import median

import numpy as np
from numpy.typing import NDArray

from overread.domain.errors import UserError
from overread.domain.ports import Backend, Cancel
from overread.infer.backends.book import Book, Entry
from overread.infer.backends.candidate import Candidate, Engine
from overread.infer.manifest import ModelSpec
from overread.infer.selftest import Probe, SelfTest

# A self-test is timed so often at least and at most; between the two for as many seconds.
_RUNS = (3, 15)
_SECONDS = 1.0
# A link takes over from one that serves if it needs at most this part of its time: less is not worth a change.
_WORTH = 0.9
# What engines say before they come to the point.
_PREAMBLES = ("Exception from ", "Check '", "[ GENERAL_ERROR ]")
_MEMORY = ("out of memory", "out_of_memory", "failed to allocate", "bad alloc", "std::bad_alloc")


@dataclass(frozen=True)
class Verdict:
    """Whether one link may serve a model, and why not. `error` is the greatest deviation in the self-test.

    `milliseconds` are those of a slice, the median over several runs; `fix` is what can be done about a link that
    does not pass, "" where that is nothing.
    """

    candidate: Candidate
    passed: bool
    why: str
    error: float | None = None
    milliseconds: float | None = None
    fix: str = ""

    @property
    def proof(self) -> str:
        """How a link that passed did: "off by 1e-06, 10.2 ms a slice"."""
        took = "" if self.milliseconds is None else f", {self.milliseconds:.1f} ms a slice"
        return f"off by {self.error or 0.0:.2g}{took}"


@dataclass(frozen=True)
class Link:
    """A link that passed, started: what runs each of the model's networks."""

    verdict: Verdict
    backends: tuple[Backend, ...]


def out_of_memory(error: BaseException) -> bool:
    """Whether that is what an engine's error means."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in text for sign in _MEMORY)


def said(error: BaseException) -> str:
    """What an engine's error says, in one line."""
    if out_of_memory(error):
        return "out of memory"
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if line and not line.startswith(_PREAMBLES)), type(error).__name__)


class Judge:
    """Tries the links of the chain for one model.

    With a book a link that has been tried under the same circumstances is not tried again.
    """

    def __init__(self, spec: ModelSpec, engines: Mapping[str, Engine], book: Book | None) -> None:
        self._spec, self._engines, self._book = spec, engines, book

    @property
    def looks(self) -> tuple[str, ...]:
        """The names of the model's networks after the first."""
        return tuple(self._spec.looks)

    def known(self, candidate: Candidate) -> Verdict | None:
        """What can be said without starting the link; None where it has to be tried."""
        hindered = self._hindered(candidate)
        if hindered is not None or self._book is None:
            return hindered
        entry = self._book.find(self._place(candidate), self._key(candidate))
        if entry is None:
            return None
        fix = "" if entry.passed else _fix(candidate)
        return Verdict(candidate, entry.passed, entry.why, entry.error, entry.milliseconds, fix)

    def _hindered(self, candidate: Candidate) -> Verdict | None:
        """Why the link cannot even be tried."""
        if candidate.precision not in self._spec.tolerance:
            return Verdict(candidate, False, f"the model gives no tolerance for {candidate.precision}")
        lack = self._engines[candidate.engine].lack(candidate)
        return None if lack is None else Verdict(candidate, False, lack.why, fix=lack.fix)

    def opened(self, verdict: Verdict) -> Link:
        """Start a link that is known to pass. Raises whatever the engine raises."""
        return Link(verdict, self._started(verdict.candidate))

    def judged(self, candidate: Candidate, beside: Link | None = None) -> tuple[Verdict, tuple[Backend, ...]]:
        """Start one link and test it; what runs each of the model's networks, nothing where that did not pass.

        Where another link serves, both are timed in turn, so that whatever else the machine does slows both; the
        milliseconds are those of the other, times how much longer this one took. UserError where the self-test
        cannot be read.
        """
        hindered = self._hindered(candidate)
        if hindered is not None:
            return hindered, ()
        test = self._test
        try:
            backends = self._started(candidate)
            verdict = tested(self._spec, test, candidate, backends, beside)
        except Exception as error:  # noqa: BLE001  a provider may fail with anything; the next link then serves
            return Verdict(candidate, False, said(error), fix=self._engines[candidate.engine].remedy(candidate)), ()
        self._keep(verdict)
        return verdict, backends if verdict.passed else ()

    @cached_property
    def _test(self) -> SelfTest:
        return SelfTest(self._spec)

    def _started(self, candidate: Candidate) -> tuple[Backend, ...]:
        folder = self._book.compiled(self._key(candidate)) if self._book is not None else None
        engine = self._engines[candidate.engine]
        return tuple(engine.start(graph, candidate, folder) for graph in self._spec.graphs)

    def _keep(self, verdict: Verdict) -> None:
        """Keep what a self-test gave. What an engine raised is not kept: memory may be free the next time."""
        if self._book is not None and verdict.error is not None:
            error = verdict.error if np.isfinite(verdict.error) else None
            entry = Entry(verdict.passed, verdict.why, error, verdict.milliseconds)
            self._book.keep(self._place(verdict.candidate), self._key(verdict.candidate), entry)

    def _place(self, candidate: Candidate) -> str:
        words = [self._spec.id, candidate.engine, candidate.provider, candidate.precision]
        return " ".join([*words, *(f"{name}={value}" for name, value in candidate.options)])

    def _key(self, candidate: Candidate) -> str:
        """All that a verdict depends on, as a SHA-256."""
        facts = [
            [graph.sha256 for graph in self._spec.graphs],
            self._probes,
            self._spec.tolerance[candidate.precision],
            self._engines[candidate.engine].identity(candidate),
            [candidate.provider, candidate.precision, *candidate.options],
        ]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    @cached_property
    def _probes(self) -> str:
        try:
            return hashlib.sha256(self._spec.selftest.read_bytes()).hexdigest()
        except OSError as error:
            raise UserError(
                f"The self-test of {self._spec.id} cannot be read.", "Install the model again: nothing runs unverified."
            ) from error


def tested(
    spec: ModelSpec, test: SelfTest, candidate: Candidate, backends: Sequence[Backend], beside: Link | None
) -> Verdict:
    """Run the self-test on what runs each of the model's networks. KeyError where it gives no tolerance."""
    tolerance, error = spec.tolerance[candidate.precision], 0.0
    for at, (probe, backend) in enumerate(zip(test.probes, backends, strict=True)):
        for outputs in _answers(probe, backend, batches=at > 0):
            error = float(np.maximum(error, probe.error(outputs, tolerance)))  # not a number where one of them is
    if not error <= tolerance:
        missed = f"self-test missed: off by {error:.2g}, {tolerance:g} allowed"
        return Verdict(candidate, False, missed, error, fix=_fix(candidate))
    verdict = Verdict(candidate, True, "", error)
    if beside is None or beside.verdict.milliseconds is None:
        (times,) = _milliseconds(test, [backends])
        return replace(verdict, milliseconds=median(times))
    # Compared by the quickest run of each: whatever else the machine does can only make one slower.
    other, own = (min(times) for times in _milliseconds(test, [beside.backends, backends]))
    return replace(verdict, milliseconds=beside.verdict.milliseconds * own / other)


def _answers(probe: Probe, backend: Backend, *, batches: bool) -> Iterator[Mapping[str, NDArray[np.float32]]]:
    """The outputs for the images of a probe, one by one; and where it runs in `batches`, or has several, together.

    Together each comes twice, so that a single one is a batch too. An engine may have compiled the network twice, for
    one image and for many.
    """
    each = [backend.run(probe.input[at : at + 1], Cancel()) for at in range(len(probe.input))]
    yield {name: np.concatenate([outputs[name] for outputs in each]) for name in each[0]}
    if batches or len(each) > 1:
        many = np.concatenate([probe.input] * 2)
        yield {name: out[: len(each)] for name, out in backend.run(many, Cancel()).items()}


def faster(one: Verdict, other: Verdict) -> bool:
    """Whether a link is so much faster than another that it is worth a change."""
    if one.milliseconds is None or other.milliseconds is None:
        return False
    return one.milliseconds <= _WORTH * other.milliseconds


def fastest(verdicts: Iterable[Verdict]) -> Verdict | None:
    """The link to serve of those that pass: the first, or a later one that is so much faster; None where none does."""
    best: Verdict | None = None
    for verdict in verdicts:
        if verdict.passed and (best is None or faster(verdict, best)):
            best = verdict
    return best


def _fix(candidate: Candidate) -> str:
    """What to do about a missed self-test: full precision gives what the model's makers got, unless it is damaged."""
    return "install the model again" if candidate.precision == "fp32" else ""


def _milliseconds(test: SelfTest, links: Sequence[Sequence[Backend]]) -> list[list[float]]:
    """How long a slice takes on each of several links, run in turn, all networks of the model together; every run."""
    times: list[list[float]] = [[] for _ in links]
    began = time.perf_counter()
    for turn in range(_RUNS[1]):
        if turn >= _RUNS[0] and time.perf_counter() - began > _SECONDS * len(links):
            break
        for taken, backends in zip(times, links, strict=True):
            total = 0.0
            for probe, backend in zip(test.probes, backends, strict=True):
                started = time.perf_counter()
                backend.run(probe.input, Cancel())
                total += (time.perf_counter() - started) * 1000 / len(probe.input)
            taken.append(total)
    return times
