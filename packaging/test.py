"""Everything that CI runs: `python3 packaging/test.py [--only lint,types,imports,tests] [-- words for pytest]`.

Sets up what is missing the first time, runs every check even if one fails, and ends with a table.
"""

import argparse
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import NamedTuple

import old_python  # noqa: F401 (stops an old Python, before the lines below are read)
import setup_env
import shell
import system_libs
import triton_local
from setup_env import Environment
from shell import Host, SetupError

GROUPS = ("lint", "types", "imports", "tests")
# Variables that would let one machine find other results than the next.
FOREIGN = ("PYTHON", "PYTEST_", "QT_", "QML", "MYPY", "RUFF_", "LC_", "LANG", "WAYLAND_", "HYPOTHESIS_")


class Step(NamedTuple):
    """One check: its name in the table, the group that `--only` knows, and its command."""

    name: str
    group: str
    command: tuple[str, ...]


class Result(NamedTuple):
    """How one check ended."""

    name: str
    seconds: float
    passed: bool


def main(words: Sequence[str]) -> int:
    """Set up, run the chosen steps, print the table."""
    chosen, for_pytest = understand(words)
    host = shell.this_host()
    environment = Environment(host)
    strict = in_ci(host.environ)
    supplied = "tests" not in chosen or supply_tools(host, environment)
    environment.ready({setup_env.choose_runtime(host), "openvino", "remote", "train", "explain", "test"})
    served = "tests" not in chosen or supply_triton(host, environment)
    got = {"system packages": supplied, "Triton": served}
    results = [Result(name, 0.0, False) for name, there in got.items() if strict and not there]
    variables = clean(environment, strict)
    for step in steps(environment, for_pytest):
        if step.group in chosen:
            host.say(f"\n── {step.name}")
            results.append(perform(host, step, variables))
    host.say("\n" + "\n".join(table(results)))
    return 0 if all(result.passed for result in results) else 1


def understand(words: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Part the command line into the groups to run and the words for pytest."""
    end = words.index("--") if "--" in words else len(words)
    parser = argparse.ArgumentParser(prog="test.py", description="Run every check that CI runs.")
    parser.add_argument("--only", default=",".join(GROUPS), help=f"groups with commas between them: {','.join(GROUPS)}")
    chosen = tuple(parser.parse_args(words[:end]).only.split(","))
    strange = [name for name in chosen if name not in GROUPS]
    if strange:
        parser.error(f"there is no group {', '.join(strange)}; there are {', '.join(GROUPS)}")
    return chosen, tuple(words[end + 1 :])


def steps(environment: Environment, for_pytest: Sequence[str]) -> tuple[Step, ...]:
    """List the checks in their order."""

    def tool(name: str) -> str:
        return str(environment.scripts / (f"{name}.exe" if environment.host.system == "Windows" else name))

    return (
        Step("ruff check", "lint", (tool("ruff"), "check", ".")),
        Step("ruff format", "lint", (tool("ruff"), "format", "--check", ".")),
        Step("mypy", "types", (tool("mypy"),)),
        Step("lint-imports", "imports", (tool("lint-imports"),)),
        Step("pytest", "tests", (tool("pytest"), *for_pytest)),
    )


def in_ci(environ: Mapping[str, str]) -> bool:
    """Tell whether this is the unattended run, in which a missing tool is a failure."""
    return environ.get("CI", "").lower() not in ("", "0", "false")


def supply_tools(host: Host, environment: Environment) -> bool:
    """Get the system's parts that the tests need; False, with the reason said, when some are missing still."""
    left = system_libs.supply(host, lambda: environment.missing_parts() + system_libs.missing_test_tools(host))
    if left:
        host.say(f"Some tests need parts of the system that are missing here. {left.remedy(host)}")
    return not left


def supply_triton(host: Host, environment: Environment) -> bool:
    """Get the inference server that the tests speak with; False, with the reason said, where it cannot be had."""
    try:
        triton_local.ready(host, str(environment.python))
    except SetupError as error:
        host.say(f"{error} The tests against a real inference server are skipped.")
        return False
    return True


def clean(environment: Environment, strict: bool) -> dict[str, str]:
    """Give the checks an environment that is the same everywhere."""
    host = environment.host
    kept = {name: value for name, value in host.environ.items() if not name.startswith(FOREIGN)}
    kept["PATH"] = os.pathsep.join([str(environment.scripts), host.environ.get("PATH", os.defpath)])
    kept |= {"PYTHONUTF8": "1", "VIRTUAL_ENV": str(environment.folder)}
    kept["LC_ALL"] = "en_US.UTF-8" if host.system == "Darwin" else "C.UTF-8"
    # The plug-ins are projects of their own and not installed; the import rules hold for them all the same.
    plugins = [str(path.parent) for path in sorted(host.root.glob("plugins/*/pyproject.toml"))]
    if plugins:
        kept["PYTHONPATH"] = os.pathsep.join(plugins)
    return kept | ({"OVERREAD_CI": "1"} if strict else {})


def perform(host: Host, step: Step, variables: Mapping[str, str]) -> Result:
    """Run one check and time it; what it prints is shown as it comes."""
    start = time.monotonic()
    try:
        if step.group == "tests":
            with tempfile.TemporaryDirectory(prefix="overread-run-") as folder, screen(host) as shown:
                code = subprocess.call(
                    step.command, cwd=host.root, env={"XDG_RUNTIME_DIR": folder, **variables, **shown}
                )
        else:
            code = subprocess.call(step.command, cwd=host.root, env=variables)
    except (OSError, SetupError) as error:
        host.say(f"{step.name} could not run: {error}")
        code = 1
    return Result(step.name, time.monotonic() - start, code == 0)


@contextmanager
def screen(host: Host) -> Iterator[dict[str, str]]:
    """Hold a screen of its own for the tests, at a number that is free; elsewhere than on Linux the real one serves."""
    if host.system != "Linux":
        yield {}
        return
    ours, theirs = os.pipe()
    size = ("-screen", "0", "1920x1080x24")
    try:
        # In a session of its own: Ctrl-C reaches the tests first, and their screen only when they are through.
        server = subprocess.Popen(
            ("Xvfb", "-displayfd", str(theirs), *size, "-nolisten", "tcp", "-noreset"),
            pass_fds=(theirs,),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError:
        os.close(ours)
        raise SetupError("Xvfb is not installed, and the tests need a screen of their own.") from None
    finally:
        os.close(theirs)
    try:
        yield {"DISPLAY": f":{_number(ours)}", "QT_QPA_PLATFORM": "xcb"}
    finally:
        os.close(ours)
        server.terminate()
        try:
            server.wait(10)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


def _number(pipe: int) -> int:
    """Read the display number that the server writes when it is ready."""
    text = b""
    while not text.endswith(b"\n"):
        ready, _, _ = select.select([pipe], [], [], 30)
        piece = os.read(pipe, 16) if ready else b""
        if not piece:
            raise SetupError("Xvfb did not start.")
        text += piece
    return int(text)


def table(results: Sequence[Result]) -> list[str]:
    """Set the results out in columns."""
    width = max([len(result.name) for result in results] + [4])
    lines = [f"{'step':<{width}}  seconds  result"]
    lines += [f"{one.name:<{width}}  {one.seconds:7.1f}  {'pass' if one.passed else 'FAIL'}" for one in results]
    return lines


def _stop(signum: int, _frame: FrameType | None) -> None:
    """Leave by the same door as Ctrl-C, so that nothing stays behind."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _stop)
    sys.exit(shell.guarded(lambda: main(sys.argv[1:])))
