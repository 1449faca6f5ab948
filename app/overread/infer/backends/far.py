"""A model on a server, and the policy that decides between the server and this machine."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from overread.domain.errors import UserError
from overread.domain.ports import Backend, Cancel
from overread.infer.backends.breaker import Breaker, State
from overread.infer.backends.candidate import Candidate
from overread.infer.backends.chain import Chain
from overread.infer.backends.judge import Verdict, said, tested
from overread.infer.backends.kserve import KServeBackend, Server, Unanswered, connected
from overread.infer.backends.remote import Remote
from overread.infer.backends.serving import Served
from overread.infer.manifest import ModelSpec
from overread.infer.selftest import SelfTest

_LOG = logging.getLogger(__name__)
F32 = NDArray[np.float32]
ENGINE = "kserve"


class Far:
    """A model on a server. It serves after it has reproduced the self-test, and until it fails again and again.

    Then it has to reproduce the self-test anew before it serves again.
    """

    def __init__(self, spec: ModelSpec, remote: Remote, connect: Callable[[], Server], breaker: Breaker) -> None:
        self._spec, self.remote, self._connect, self.breaker = spec, remote, connect, breaker
        self._backends: tuple[KServeBackend, ...] = ()
        self.candidate = Candidate(ENGINE, f"Server {remote.host}", "", engine=ENGINE)

    @property
    def serves(self) -> bool:
        """Whether requests go to the server now."""
        return self.breaker.state is State.CLOSED and bool(self._backends)

    @property
    def looks(self) -> tuple[str, ...]:
        """The names of the model's networks after the first."""
        return tuple(self._spec.looks)

    def look(self) -> Verdict:
        """Ask the server for the model and run the self-test over there; it serves from now on, or not."""
        try:
            test = SelfTest(self._spec)
            backends = connected(self._connect(), self._spec, test.probes)
            self.candidate = Candidate(ENGINE, backends[0].name, backends[0].precision, engine=ENGINE)
            if self.candidate.precision in self._spec.tolerance:
                verdict = tested(self._spec, test, self.candidate, backends, None)
            else:
                verdict = Verdict(self.candidate, False, f"the model gives no tolerance for {self.candidate.precision}")
        except Unanswered as error:
            verdict = Verdict(self.candidate, False, str(error), fix="ask whoever runs the server")
        except UserError as error:
            verdict = Verdict(self.candidate, False, error.title.rstrip("."), fix=error.hint)
        except Exception as error:  # noqa: BLE001  a server may answer with anything; this machine then serves
            _LOG.warning("%s: what the server says makes no sense", self._spec.name, exc_info=error)
            verdict = Verdict(self.candidate, False, said(error))
        if verdict.passed:
            self._backends = backends
            self.breaker.mended()
        else:
            self.breaker.trip(verdict.why)
        return verdict

    def renew(self) -> None:
        """Ask whether the server still has the very same networks; if not, it serves no more."""
        if self.serves:
            try:
                connected(self._connect(), self._spec, SelfTest(self._spec).probes)
            except Unanswered as error:
                self.breaker.trip(str(error))

    def run(self, at: int, tensor: F32, cancel: Cancel) -> Mapping[str, F32]:
        """Run one network of the model over there. Cancelled where it was called off, Unanswered."""
        try:
            outputs = self._backends[at].run(tensor, cancel)
        except Unanswered as error:
            self.breaker.failed(str(error))
            raise
        self.breaker.succeeded()
        return outputs


Serving: TypeAlias = "Served | Hybrid"


def _behind(work: Callable[[], object]) -> None:
    """Have a thread do it that nobody waits for."""
    threading.Thread(target=work, name="overread-server", daemon=True).start()


class Hybrid:
    """The server first; this machine at once where the server is slow or gone; the server again when it answers.

    Without `near` there is nothing but the server. `spawn` does in the background what asks a server anew.
    """

    def __init__(
        self, title: str, far: Far, near: Served | None, spawn: Callable[[Callable[[], object]], None] = _behind
    ) -> None:
        """UserError where there is nothing but the server, and it does not serve."""
        self._title, self._far, self._near, self._spawn = title, far, near, spawn
        self._notice = ""
        self.verdict = far.look()
        if not self.verdict.passed:
            if near is None:
                raise self._nothing()
            self._goes_on(self.verdict.why)

    @property
    def alive(self) -> bool:
        """Whether something serves."""
        return self._far.serves or (self._near is not None and self._near.alive)

    @property
    def backend(self) -> Backend:
        """The model's network. Each call gives a new one; it tells what ran last."""
        return _Either(self, self._far, self._near.backend if self._near is not None else None, 0)

    @property
    def looks(self) -> dict[str, Backend]:
        """The model's other networks, by the name of their table in the manifest."""
        near = self._near.looks if self._near is not None else {}
        return {name: _Either(self, self._far, near.get(name), at) for at, name in enumerate(self._far.looks, start=1)}

    @property
    def serving(self) -> Verdict:
        """How what serves now did in the self-test. UserError where nothing does."""
        return self.verdict if self._far.serves or self._near is None else self._near.serving

    @property
    def candidate(self) -> Candidate:
        """What serves now. UserError where nothing does."""
        return self._far.candidate if self._far.serves or self._near is None else self._near.candidate

    @property
    def why(self) -> str:
        """Why the server does not serve, and what this machine has to say of itself."""
        far = self._far.breaker.why
        near = self._near.why if self._near is not None else ""
        return "; ".join(reason for reason in (far and f"{self._far.candidate.name}: {far}", near) if reason)

    @property
    def whither(self) -> str:
        """Where the reader's images go, in one sentence; "" while they stay here."""
        return self._far.remote.whither if self._far.serves else ""

    @property
    def standing(self) -> str:
        """How things stand with the server, in a few words."""
        if self._far.serves:
            return "slices go there, without any header"
        return f"server {self._far.breaker.state.value}"

    @property
    def notice(self) -> str:
        """What changed last, in one line."""
        return self._notice or (self._near.notice if self._near is not None else "")

    @property
    def pending(self) -> tuple[Candidate, ...]:
        """The links of this machine that nobody has tried."""
        return self._near.pending if self._near is not None else ()

    def judge_next(self) -> None:
        """Try one more link of this machine."""
        if self._near is not None:
            self._near.judge_next()

    def renew(self) -> None:
        """See to it, before another series is read, that the server is still the one that passed the self-test."""
        if self._far.serves:
            self._far.renew()
            if not self._far.serves:
                self._goes_on(self._far.breaker.reason)

    def settle(self) -> None:
        """Try every link of this machine, where the server does not serve."""
        if self._near is not None and not self._far.serves:
            self._near.settle()

    def fell(self, error: Unanswered) -> None:
        """The server gave no answer. UserError where there is nothing but the server."""
        _LOG.warning("%s: the server gave no answer: %s", self._title, error)
        if self._near is None:
            self._far.breaker.trip(str(error))  # the next reading begins with the self-test
            raise self._nothing(str(error)) from error
        if not self._far.serves:
            self._goes_on(str(error))

    def _goes_on(self, why: str) -> None:
        self._notice = f"{self._far.candidate.name}: {why}; this machine goes on."

    def ask_again(self) -> None:
        """Have the server looked at in the background, where it has been left alone for long enough."""
        if self._far.breaker.probes():
            self._spawn(self._look)

    def _look(self) -> None:
        self.verdict = self._far.look()
        if self.verdict.passed:
            self._notice = f"{self._far.candidate.name} answers again."

    def _nothing(self, why: str = "") -> UserError:
        return UserError(
            f"{self._title} cannot run on {self._far.candidate.name} ({why or self.verdict.why}).",
            "Nothing else may run it: “overread doctor” says more.",
        )


class _Either:
    """One network of a model, run by the server or by this machine; `name` and `precision` are those that ran last."""

    def __init__(self, hybrid: Hybrid, far: Far, near: Backend | None, at: int) -> None:
        self._hybrid, self._far, self._near, self._at = hybrid, far, near, at
        self._was_far = far.serves or near is None

    @property
    def _ran(self) -> Candidate | Backend:
        return self._far.candidate if self._was_far or self._near is None else self._near

    @property
    def name(self) -> str:
        """What ran last."""
        return self._ran.name

    @property
    def precision(self) -> str:
        """The number format that it computes in."""
        return self._ran.precision

    def run(self, tensor: F32, cancel: Cancel) -> Mapping[str, F32]:
        """Run once. Cancelled where it was called off, UserError where nothing is left to run it."""
        if self._far.serves or self._near is None:
            try:
                outputs = self._far.run(self._at, tensor, cancel)
            except Unanswered as error:
                self._hybrid.fell(error)
            else:
                self._was_far = True
                return outputs
        else:
            self._hybrid.ask_again()
        assert self._near is not None  # `fell` has raised otherwise
        outputs = self._near.run(tensor, cancel)
        self._was_far = False
        return outputs


class FarChain:
    """Serves models by a policy that is not “local”: from a server, with this machine's chain to fall back on."""

    def __init__(self, remote: Remote, near: Chain) -> None:
        self.remote, self.near = remote, near

    @cached_property
    def server(self) -> Server:
        """The connection, for all models. UserError where there can be none."""
        return Server(self.remote)

    def knows(self, spec: ModelSpec) -> bool:
        """Nothing is known of a server before it is asked."""
        return False

    def far(self, spec: ModelSpec) -> Far:
        """A model on the server; nobody has looked yet whether it is there."""
        return Far(spec, self.remote, lambda: self.server, Breaker())

    def serve(self, spec: ModelSpec) -> Hybrid:
        """What serves a model. UserError where nothing does."""
        return Hybrid(spec.name, self.far(spec), self._near(spec))

    def _near(self, spec: ModelSpec) -> Served | None:
        """What serves on this machine, where that is wanted and there is something."""
        if self.remote.policy == "remote":
            return None
        try:
            return self.near.serve(spec)
        except UserError:
            return None


def chain_of(remote: Remote, folder: Path | None) -> Chain | FarChain:
    """The chain that the settings ask for; what is found out about this machine is kept in `folder`."""
    near = Chain(folder=folder)
    return near if remote.policy == "local" else FarChain(remote, near)
