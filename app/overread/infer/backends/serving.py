"""What serves a model: the fastest link that is known to pass, and the next one as soon as that fails."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from overread.domain.errors import Cancelled, UserError
from overread.domain.ports import Cancel
from overread.infer.backends.candidate import Candidate
from overread.infer.backends.judge import Judge, Link, Verdict, faster, fastest, out_of_memory, said

_LOG = logging.getLogger(__name__)
F32 = NDArray[np.float32]


class Served:
    """The link that serves a model, and what was found about all of them. Safe to use from several threads.

    The first link that passes serves; `judge_next` tries the others, and a faster one takes over for the next run.
    A link that fails while it runs is not asked again in this sitting, and the next one takes its place.
    """

    def __init__(self, title: str, candidates: Sequence[Candidate], judge: Judge) -> None:
        """UserError where no link passes."""
        self._title, self._judge = title, judge
        self._verdicts: dict[Candidate, Verdict | None] = {c: judge.known(c) for c in candidates}
        self._failed: dict[Candidate, str] = {}
        self._lock, self._judging = threading.RLock(), threading.Lock()
        self.notice = ""
        self._link: Link | None = self._next()

    @property
    def alive(self) -> bool:
        """Whether something serves."""
        return self._link is not None

    @property
    def link(self) -> Link:
        """The link that serves now. UserError where all have failed."""
        if self._link is None:
            raise self._nothing()
        return self._link

    @property
    def serving(self) -> Verdict:
        """How what serves now did in the self-test. UserError where all have failed."""
        return self.link.verdict

    @property
    def candidate(self) -> Candidate:
        """What serves now. UserError where all have failed."""
        return self.serving.candidate

    @property
    def standing(self) -> str:
        """How things stand with a server: there is none."""
        return ""

    @property
    def whither(self) -> str:
        """Where the reader's images go: nowhere."""
        return ""

    @property
    def backend(self) -> Relay:
        """The model's network, run by whichever link serves. Each call gives a new one; it tells what ran last."""
        return Relay(self, 0)

    @property
    def looks(self) -> dict[str, Relay]:
        """The model's other networks, by the name of their table in the manifest."""
        return {name: Relay(self, at) for at, name in enumerate(self._judge.looks, start=1)}

    @property
    def verdicts(self) -> tuple[Verdict, ...]:
        """What was found about each link that has been looked at."""
        return tuple(verdict for verdict in tuple(self._verdicts.values()) if verdict is not None)

    @property
    def pending(self) -> tuple[Candidate, ...]:
        """The links that nobody has tried."""
        return tuple(c for c, verdict in tuple(self._verdicts.items()) if verdict is None and c not in self._failed)

    @property
    def why(self) -> str:
        """Why no other link serves, each in a few words; "" where there is no other."""
        link = self._link
        return "; ".join(
            f"{candidate.label}: {self._reason(candidate, verdict)}"
            for candidate, verdict in tuple(self._verdicts.items())
            if link is None or candidate != link.verdict.candidate
        )

    def _reason(self, candidate: Candidate, verdict: Verdict | None) -> str:
        if candidate in self._failed:
            return f"failed while it ran ({self._failed[candidate]})"
        if verdict is None:
            return "not tried yet"
        return verdict.why if not verdict.passed else f"passes, at {verdict.milliseconds or 0.0:.1f} ms a slice"

    def renew(self) -> None:
        """Before another series is read: nothing changes behind this machine's back."""

    def settle(self) -> None:
        """Try every link, so that the fastest serves."""
        while self.pending:
            self.judge_next()

    def judge_next(self) -> None:
        """Try one more link; if it passes and is faster, it takes over."""
        with self._judging:
            pending, beside = self.pending, self._link
            if not pending:
                return
            verdict, backends = self._judge.judged(pending[0], beside)
            with self._lock:
                self._verdicts[pending[0]] = verdict
                if verdict.passed and (self._link is None or faster(verdict, self._link.verdict)):
                    self._link = Link(verdict, backends)

    def give_up(self, link: Link, error: Exception) -> None:
        """A link failed while it ran: the next one serves. UserError where there is none."""
        with self._lock:
            if self._link is not link:
                return  # another thread was here before
            candidate, reason = link.verdict.candidate, said(error)
            _LOG.warning("%s: %s failed and is given up", self._title, candidate.label, exc_info=error)
            self._failed[candidate] = reason
            try:
                self._link = self._next()
            except UserError:
                self._link = None
                raise
            self.notice = f"{candidate.label} failed ({reason}); {self._link.verdict.candidate.label} goes on."

    def _next(self) -> Link:
        """The fastest link that is known to pass and starts, else the first that passes when it is tried."""
        while (known := fastest(v for v in self.verdicts if v.candidate not in self._failed)) is not None:
            try:
                return self._judge.opened(known)
            except Exception as error:  # noqa: BLE001  an engine may fail with anything; the next link then serves
                self._failed[known.candidate] = said(error)
        while self.pending:
            candidate = self.pending[0]
            verdict, backends = self._judge.judged(candidate)
            self._verdicts[candidate] = verdict
            if backends:
                return Link(verdict, backends)
        raise self._nothing()

    def _nothing(self) -> UserError:
        reasons = "; ".join(f"{c.label}: {self._reason(c, verdict)}" for c, verdict in self._verdicts.items())
        return UserError(
            f"{self._title} cannot run on this machine ({reasons}).", "“overread doctor” says what is missing."
        )


class Relay:
    """One network of a model, run by whichever link serves; `name` and `precision` are those of what ran last."""

    def __init__(self, served: Served, at: int) -> None:
        self._served, self._at = served, at
        self._ran = served.link.verdict.candidate

    @property
    def name(self) -> str:
        """What served last."""
        return self._ran.name

    @property
    def precision(self) -> str:
        """The number format that it computes in."""
        return self._ran.precision

    def run(self, tensor: F32, cancel: Cancel) -> Mapping[str, F32]:
        """Run once; where the link fails, the next one runs the same. UserError where none is left.

        A batch for which there is not enough memory is halved before a link is given up.
        """
        while True:
            link = self._served.link
            try:
                outputs = link.backends[self._at].run(tensor, cancel)
            except (Cancelled, UserError):
                raise
            except Exception as error:  # noqa: BLE001  an engine may fail with anything; the next link then serves
                if out_of_memory(error) and len(tensor) > 1:
                    return self._halved(tensor, cancel)
                self._served.give_up(link, error)
            else:
                self._ran = link.verdict.candidate
                return outputs

    def _halved(self, tensor: F32, cancel: Cancel) -> Mapping[str, F32]:
        middle = len(tensor) // 2
        one, other = self.run(tensor[:middle], cancel), self.run(tensor[middle:], cancel)
        return {name: np.concatenate([one[name], other[name]]) for name in one}
