"""The inference server for the tests: set up once, and a plain reason where it cannot be."""

import sys
from pathlib import Path

import pytest

import triton_local
from shell import Answer, SetupError

STUB = f"python_backend_stubs/{sys.version_info.major}.{sys.version_info.minor}/triton_python_backend_stub"


@pytest.fixture
def host(machine, monkeypatch):
    """A machine on which pip leaves behind what the wheel holds."""
    machine.environ["XDG_CACHE_HOME"] = str(machine.root / "cache")

    def run(*command, env=None, timeout=None):
        machine.commands.append(command)
        if command[2] == "pip" and machine.online:
            partial = Path(command[4]).parents[1]
            server = partial / "lib/python3.11/site-packages/pytriton/tritonserver"
            for file in (STUB, "bin/tritonserver", "backends/python/libtriton_python.so"):
                (server / file).parent.mkdir(parents=True, exist_ok=True)
                (server / file).write_text(file)
        return Answer(0 if machine.online or command[2] == "venv" else 1, err="ERROR: one\nERROR: no network")

    monkeypatch.setattr(machine, "run", run)
    return machine.host()


def test_it_is_set_up_once(host, machine):
    folder = triton_local.ready(host, "python-of-ours")
    assert folder.parent == machine.root / "cache/overread"
    assert [command[:3] for command in machine.commands] == [("python-of-ours", "-m", m) for m in ("venv", "pip")]
    assert machine.commands[1][-3:] == triton_local.PINS
    assert triton_local.ready(host, "python-of-ours") == folder
    assert len(machine.commands) == 2
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_without_a_network_the_reason_is_said_and_nothing_left_behind(host, machine):
    machine.online = False
    with pytest.raises(SetupError, match=r"^Triton cannot be installed for the tests: ERROR: no network$"):
        triton_local.ready(host)
    assert list(machine.root.rglob("triton-*")) == []


@pytest.mark.parametrize(("system", "kind"), [("Linux", "aarch64"), ("Windows", "AMD64"), ("Darwin", "arm64")])
def test_elsewhere_there_is_no_wheel(machine, system, kind):
    machine.environ["XDG_CACHE_HOME"] = str(machine.root / "cache")
    with pytest.raises(SetupError, match="for Linux on x86_64 alone"):
        triton_local.ready(machine.host(system, kind))


def test_the_server_answers_on_this_machine_alone(host, machine):
    folder = triton_local.ready(host)
    line, variables = triton_local.command(folder, machine.root, "--grpc-port=7")
    assert line[0] == str(next(folder.glob(triton_local.SERVER)) / "bin/tritonserver")
    assert {"--grpc-address=127.0.0.1", "--grpc-port=7", f"--model-repository={machine.root}"} <= set(line)
    assert variables["PATH"].startswith(str(folder / "bin"))
    backends = next(folder.glob(triton_local.SERVER)) / "backends"
    assert sorted(path.name for path in backends.iterdir()) == ["identity", "onnxruntime", "python"]
    assert (backends / "python/triton_python_backend_stub").exists()
