"""A machine that exists only in memory: commands are written down and answered from a table."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "packaging"))

import setup_env
from shell import Answer, Host


@dataclass
class Machine:
    """Answers commands as a Debian machine would; pip and venv only leave traces in the folder."""

    root: Path
    driver: bool = False
    online: bool = True
    rights: str = "none"
    absent: set[str] = field(default_factory=set)
    commands: list[tuple[str, ...]] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    answers: dict[str, Answer] = field(default_factory=dict)
    environ: dict[str, str] = field(default_factory=dict)
    gpu_packages: bool = True

    def host(self, system: str = "Linux", machine: str = "x86_64") -> Host:
        return Host(self.root, system, machine, self.environ, self.run, self.said.append)

    @property
    def site(self) -> Path:
        return self.root / ".venv/lib/python3/site-packages"

    def ran(self, *words: str) -> list[tuple[str, ...]]:
        """Give the commands that hold ``words`` one after the other."""
        size = len(words)
        return [c for c in self.commands if any(c[i : i + size] == words for i in range(len(c) - size + 1))]

    def installed(self) -> set[str]:
        return {entry.name.split("-")[0].replace("_", "-") for entry in self.site.iterdir()}

    def run(self, *command: str, env: Mapping[str, str] | None = None, timeout: float | None = None) -> Answer:
        self.commands.append(command)
        for start, answer in self.answers.items():
            if " ".join(command).startswith(start):
                return answer
        words = command[1:] if command[0] == "env" else command
        if command[0] == "nvidia-smi":
            return Answer(0, "GPU 0: NVIDIA H100 (UUID: GPU-1)\n") if self.driver else Answer(127, err="not found")
        if command[:2] == ("sh", "-c"):
            return Answer(1 if command[2].split()[-1] in self.absent else 0)
        if command[0] == "id":
            return Answer(0, "0\n" if self.rights == "root" else "1000\n")
        if command[0] == "sudo" and command[-1] == "true":
            return Answer(0 if self.rights == "sudo" else 1)
        if "apt-get" in words:
            return Answer(0)
        if "venv" in words:
            return self._venv()
        if "pip" in words:
            return self._pip(words)
        return self._python(command)

    def _venv(self) -> Answer:
        python = self.root / ".venv/bin/python"
        python.parent.mkdir(parents=True, exist_ok=True)
        python.write_text("")
        self.site.mkdir(parents=True, exist_ok=True)
        return Answer(0)

    def _pip(self, words: tuple[str, ...]) -> Answer:
        if "uninstall" in words:
            for entry in self.site.glob("onnxruntime*"):
                entry.rmdir()
        elif "install" in words:
            extras = next(word for word in words if word.startswith(".["))[2:-1].split(",")
            if not self.online or ("gpu" in extras and not self.gpu_packages):
                return Answer(1, err="NewConnectionError: Failed to establish a new connection")
            if "--dry-run" in words:
                return Answer(0)
            for extra in extras:
                name = {"cpu": "onnxruntime", "gpu": "onnxruntime_gpu"}.get(extra, extra)
                (self.site / f"{name}-1.dist-info").mkdir(exist_ok=True)
        return Answer(0)

    def _python(self, command: tuple[str, ...]) -> Answer:
        if "sys.version_info" in command[-1]:
            return Answer(0, "{}.{}\n".format(*sys.version_info[:2]))
        return Answer(0)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    (tmp_path / "packaging").mkdir()
    (tmp_path / "packaging/constraints.txt").write_text("numpy==2.4.6\n")
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "overread"\n')
    return Machine(tmp_path)


@pytest.fixture
def environment(machine: Machine) -> setup_env.Environment:
    return setup_env.Environment(machine.host())


@pytest.fixture
def repository() -> Path:
    return Path(__file__).resolve().parents[2]
