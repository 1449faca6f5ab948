"""What test.py chooses, cleans, runs and adds up."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from shell import SetupError
from system_libs import Missing


@pytest.fixture(scope="module")
def command():
    """Load packaging/test.py under a name that is not the standard library's."""
    path = Path(__file__).resolve().parents[2] / "packaging/test.py"
    spec = importlib.util.spec_from_file_location("overread_test_command", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_all_groups_run_unless_some_are_chosen(command):
    assert command.understand([]) == (("lint", "types", "imports", "tests"), ())
    assert command.understand(["--only", "lint,types"]) == (("lint", "types"), ())


def test_words_after_the_dashes_go_to_pytest(command):
    chosen, words = command.understand(["--only", "tests", "--", "-k", "seg", "--only", "x"])
    assert chosen == ("tests",)
    assert words == ("-k", "seg", "--only", "x")


def test_a_group_that_does_not_exist_is_wrong_usage(command, capsys):
    with pytest.raises(SystemExit) as end:
        command.understand(["--only", "lint,taste"])
    assert end.value.code == 2
    assert "there is no group taste" in capsys.readouterr().err


def test_the_checks_come_in_their_order(command, environment):
    names = [step.name for step in command.steps(environment, ["-x"])]
    assert names == ["ruff check", "ruff format", "mypy", "lint-imports", "pytest"]
    assert command.steps(environment, ["-x"])[-1].command == (str(environment.scripts / "pytest"), "-x")


@pytest.mark.parametrize(
    ("value", "expected"), [("1", True), ("true", True), ("", False), ("0", False), ("false", False)]
)
def test_ci_is_told_by_its_variable(command, value, expected):
    assert command.in_ci({"CI": value}) is expected
    assert command.in_ci({}) is False


def test_the_checks_get_an_environment_of_their_own(command, machine, environment):
    machine.environ.update(
        PATH="/bin",
        HOME="/home/x",
        LANG="de_DE",
        LC_ALL="de_DE",
        PYTHONPATH="/y",
        PYTEST_ADDOPTS="-x",
        QT_SCALE_FACTOR="2",
    )
    variables = command.clean(environment, strict=False)
    assert variables == {
        "PATH": os.pathsep.join([str(environment.scripts), "/bin"]),
        "HOME": "/home/x",
        "LC_ALL": "C.UTF-8",
        "PYTHONUTF8": "1",
        "VIRTUAL_ENV": str(environment.folder),
    }
    assert command.clean(environment, strict=True)["OVERREAD_CI"] == "1"
    plugin = environment.host.root / "plugins" / "one"
    plugin.mkdir(parents=True)
    (plugin / "pyproject.toml").touch()
    assert command.clean(environment, strict=False)["PYTHONPATH"] == str(plugin)


def test_missing_tools_are_named(command, machine, environment, monkeypatch):
    monkeypatch.setattr(type(environment), "missing_parts", lambda self: Missing())
    machine.absent = {"Xvfb"}
    assert not command.supply_tools(machine.host(), environment)
    assert machine.said[-1].endswith("sudo apt-get install -y xvfb")
    machine.absent = set()
    assert command.supply_tools(machine.host(), environment)


@pytest.mark.parametrize(("code", "passed"), [(0, True), (1, False)])
def test_a_check_passes_by_its_status(command, machine, code, passed):
    step = command.Step("one", "lint", (sys.executable, "-c", f"raise SystemExit({code})"))
    result = command.perform(machine.host(), step, dict(os.environ))
    assert result.passed is passed
    assert result.seconds > 0


def test_a_check_that_cannot_run_fails_and_says_so(command, machine):
    result = command.perform(machine.host(), command.Step("one", "lint", ("/no/such/tool",)), {})
    assert not result.passed
    assert machine.said[-1].startswith("one could not run: ")


def test_every_check_runs_even_if_one_fails_and_the_whole_fails(command, machine, environment, monkeypatch, capsys):
    monkeypatch.setattr(command.shell, "this_host", machine.host)
    monkeypatch.setattr(command, "perform", lambda host, step, _: command.Result(step.name, 1.25, step.name != "mypy"))
    assert command.main(["--only", "lint,types,imports"]) == 1
    rows = [" ".join(line.split()) for line in machine.said[-1].strip().splitlines()]
    assert rows[0] == "step seconds result"
    assert rows[1:] == ["ruff check 1.2 pass", "ruff format 1.2 pass", "mypy 1.2 FAIL", "lint-imports 1.2 pass"]
    monkeypatch.setattr(command, "perform", lambda host, step, _: command.Result(step.name, 1.25, True))
    assert command.main(["--only", "lint"]) == 0


def test_in_ci_a_missing_tool_is_a_failure(command, machine, monkeypatch):
    monkeypatch.setattr(command.shell, "this_host", machine.host)
    monkeypatch.setattr(command, "perform", lambda host, step, _: command.Result(step.name, 1.0, True))
    monkeypatch.setattr(command, "supply_tools", lambda host, environment: there["tools"])
    monkeypatch.setattr(command, "supply_triton", lambda host, environment: there["triton"])
    there = {}
    for missing in ("tools", "triton"):
        there.update(tools=True, triton=True)
        there[missing] = False
        machine.environ["CI"] = ""
        assert command.main(["--only", "tests"]) == 0
        machine.environ["CI"] = "1"
        assert command.main(["--only", "tests"]) == 1
    there["triton"] = True
    assert command.main(["--only", "tests"]) == 0


def test_without_triton_the_reason_is_said(command, machine, environment, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(machine.root / "cache"))
    machine.environ["XDG_CACHE_HOME"] = str(machine.root / "cache")
    assert not command.supply_triton(machine.host(machine="aarch64"), environment)
    assert machine.said[-1].startswith("There is a wheel with Triton for Linux on x86_64 alone. The tests against")


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the real screen serves")
def test_the_screen_is_gone_afterwards_even_when_interrupted(command, machine, monkeypatch):
    servers = []
    start = subprocess.Popen

    def noted(*words, **more):
        servers.append(start(*words, **more))
        return servers[-1]

    def interrupted():
        with command.screen(machine.host()) as variables:
            assert variables["QT_QPA_PLATFORM"] == "xcb"
            assert int(variables["DISPLAY"][1:]) >= 0
            assert servers[0].poll() is None
            raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "Popen", noted)
    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert servers[0].poll() is not None


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the real screen serves")
def test_no_screen_to_be_had_is_a_sentence(command, machine, monkeypatch):
    def absent(*words, **more):
        raise FileNotFoundError

    monkeypatch.setattr(subprocess, "Popen", absent)
    with pytest.raises(SetupError, match="Xvfb is not installed"), command.screen(machine.host()):
        pass
