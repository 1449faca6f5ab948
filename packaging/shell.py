"""The machine the set-up runs on: its name, its commands and what is said to the person in front of it."""

import io
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

ROOT = Path(__file__).resolve().parent.parent
NOT_FOUND = 127


class SetupError(Exception):
    """What went wrong and what to do about it, in plain words. Its text is all that is shown."""


@dataclass(frozen=True)
class Answer:
    """How a command ended and what it printed."""

    code: int
    out: str = ""
    err: str = ""


class Run(Protocol):
    """Runs a command in silence and gives its answer."""

    def __call__(self, *command: str, env: Mapping[str, str] | None = None, timeout: float | None = None) -> Answer:
        """Run ``command`` with ``env`` added to the environment."""


@dataclass(frozen=True)
class Host:
    """All that the set-up knows of the machine, so that a test can give it another one."""

    root: Path
    system: str
    machine: str
    environ: Mapping[str, str]
    run: Run
    say: Callable[[str], None]


def run(*command: str, env: Mapping[str, str] | None = None, timeout: float | None = None) -> Answer:
    """Run ``command`` in the repository root; a command that is not there answers 127."""
    try:
        done = subprocess.run(
            command,
            cwd=ROOT,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except OSError as error:
        return Answer(NOT_FOUND, err=str(error))
    except subprocess.TimeoutExpired:
        return Answer(124, err=f"no answer in {timeout:.0f} s")
    return Answer(done.returncode, done.stdout, done.stderr)


def say(text: str) -> None:
    """Print one line at once."""
    print(text, flush=True)


def this_host() -> Host:
    """Describe the machine this runs on."""
    return Host(ROOT, platform.system(), platform.machine(), os.environ, run, say)


def ending(code: int) -> int:
    """Turn what a child process left into an exit status: 128 + the signal that ended it, as shells do."""
    return code if code >= 0 else 128 - code


def guarded(work: Callable[[], int]) -> int:
    """Run ``work``; an expected failure becomes its sentence on stderr and a status, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a console that lacks a sign prints another for it
    try:
        return work()
    except SetupError as error:
        print(error, file=sys.stderr, flush=True)
        return 1
    except KeyboardInterrupt:
        print("Stopped. The next start goes on from here.", file=sys.stderr, flush=True)
        return 130
