"""Work off the main thread: frozen values in, frozen values out, one hop home."""

from __future__ import annotations

from collections.abc import Callable, Generator
from concurrent.futures import Executor, Future
from functools import partial
from typing import Any, TypeVar

from overread.domain.errors import Cancelled
from overread.domain.ports import Cancel

T = TypeVar("T")


class Inline(Executor):
    """Runs work at once, on the caller's thread: for tests and the command line."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Run now."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except BaseException as error:  # noqa: BLE001  a Future carries whatever was raised
            future.set_exception(error)
        return future


class Job:
    """One piece of work. `label` says what it does, `fraction` how far it is (None where that is unknown).

    A quiet one is not worth telling the reader about.
    """

    def __init__(self, label: str, quiet: bool = False) -> None:
        self.label, self.quiet = label, quiet
        self.fraction: float | None = None
        self.finished = False
        self.cancel = Cancel()

    def progress(self, fraction: float) -> None:
        """Say how far the work is, from the worker. Cancelled where it was called off."""
        self.fraction = fraction
        if self.cancel.cancelled:
            raise Cancelled

    @property
    def running(self) -> bool:
        """Whether it is still wanted and not yet done."""
        return not self.finished and not self.cancel.cancelled


class Jobs:
    """Starts work on an executor and brings its results to the main thread through `dispatch`.

    `failed` gets what a job raised and nobody else wanted, and what its arrival here raised.
    """

    def __init__(
        self,
        dispatch: Callable[[Callable[[], None]], None],
        executor: Executor,
        failed: Callable[[BaseException], None],
    ) -> None:
        self._dispatch, self._executor, self.failed = dispatch, executor, failed
        self._running: list[Job] = []
        self._closed = False

    @property
    def running(self) -> tuple[Job, ...]:
        """The jobs at work that a reader would want to know of, oldest first. Poll it; no thread emits anything."""
        return tuple(job for job in self._running if job.running and not job.quiet)

    def stream(
        self,
        label: str,
        work: Callable[[Job], Generator[Any, None, None]],
        on_each: Callable[[Any], None],
        on_done: Callable[[], None] | None = None,
        on_failed: Callable[[BaseException], None] | None = None,
        *,
        quiet: bool = False,
    ) -> Job:
        """Run a generator on a worker; each value it yields, its end or its error arrive on the main thread.

        Between two values a job that was called off is closed; nothing of it arrives any more.
        """
        job = Job(label, quiet)
        self._running.append(job)

        def home(action: Callable[[], None]) -> None:
            def arrive() -> None:
                if job.cancel.cancelled or self._closed:
                    return
                try:
                    action()
                except Exception as error:  # noqa: BLE001  a fault of one arrival does not keep the next from coming
                    self.failed(error)

            if not self._closed:
                self._dispatch(arrive)

        def finish(action: Callable[[], None]) -> None:
            job.finished = True
            self._running.remove(job)
            action()

        def run() -> None:
            end: Callable[[], None] = on_done or (lambda: None)
            try:
                if job.cancel.cancelled:
                    raise Cancelled
                values = work(job)
                for value in values:
                    if job.cancel.cancelled:
                        values.close()
                        raise Cancelled
                    home(partial(on_each, value))
            except Cancelled:
                job.cancel.cancel()
            except BaseException as raised:  # noqa: BLE001  every fault of a worker is shown on the main thread
                end = partial(on_failed or self.failed, raised)
            home(partial(finish, end))

        self._running = [other for other in self._running if not other.cancel.cancelled]
        self._executor.submit(run)
        return job

    def call(
        self,
        label: str,
        work: Callable[[Job], Any],
        on_done: Callable[[Any], None],
        on_failed: Callable[[BaseException], None] | None = None,
        *,
        quiet: bool = False,
    ) -> Job:
        """Run a function on a worker; its result or its error arrives on the main thread."""

        def once(job: Job) -> Generator[Any, None, None]:
            yield work(job)

        return self.stream(label, once, on_done, None, on_failed, quiet=quiet)

    def close(self) -> None:
        """Call everything off and wait for the workers."""
        self._closed = True
        for job in tuple(self._running):
            job.cancel.cancel()
        self._executor.shutdown(wait=True, cancel_futures=True)
