"""The environment in `.venv`: made once from the lock, mended when it is broken, left alone when it is right."""

import hashlib
import json
import shutil
import sys
import tomllib
from collections.abc import Iterator, Set
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import system_libs
from shell import Answer, Host, SetupError
from system_libs import Missing

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK = "packaging/constraints.txt"
# The two builds of one library. Side by side they spoil each other, so there is never more than one.
RUNTIMES = {"cpu": "onnxruntime", "gpu": "onnxruntime-gpu"}
OVERRIDE = "OVERREAD_RUNTIME"

# What pip prints, and what that means to somebody who only wanted to start the program.
CAUSES = (
    (("No space left on device",), "the disk is full", "Make room (about 1.5 GB; with a GPU 6 GB) and start again"),
    (
        ("cannot download the real wheel file",),
        "the vendor's own index, which has TensorRT, cannot be reached",
        "Allow this machine to reach it and start again",
    ),
    (
        ("NameResolutionError", "NewConnectionError", "ConnectTimeoutError", "ProxyError", "Network is unreachable"),
        "the package index cannot be reached",
        "Connect to the network (or set HTTPS_PROXY if there is a proxy) and start again",
    ),
    (
        ("CERTIFICATE_VERIFY_FAILED",),
        "the certificate of the package index is not trusted here",
        "Set PIP_CERT to the certificate file of your network and start again",
    ),
    (("Permission denied",), "a file may not be written", "Give yourself the right to write there and start again"),
    (
        ("No matching distribution found",),
        "a package has no build for this system and this Python",
        "Take 64-bit Python 3.11 to 3.13 on Linux (glibc 2.34 or later), Windows 10 or macOS 14 on Apple silicon",
    ),
)


def driver_answers(host: Host) -> bool:
    """Tell whether an NVIDIA driver is at work here, on a kind of machine that the GPU packages are built for."""
    if host.system not in ("Linux", "Windows") or host.machine.lower() not in ("x86_64", "amd64"):
        return False
    answer = host.run("nvidia-smi", "-L", timeout=30)
    return answer.code == 0 and "GPU " in answer.out


def choose_runtime(host: Host) -> str:
    """Name the extra that runs the models here: `gpu` where a driver answers, else `cpu`."""
    asked = host.environ.get(OVERRIDE, "")
    if asked and asked not in RUNTIMES:
        raise SetupError(f"{OVERRIDE} is “{asked}”, and it can only be cpu or gpu.")
    return asked or ("gpu" if driver_answers(host) else "cpu")


def explain(step: str, output: str) -> str:
    """Say in plain words why pip failed, and keep its own last words below."""
    cause, remedy = "pip reports the error below", "Mend that and start again"
    for signs, known_cause, known_remedy in CAUSES:
        if any(sign in output for sign in signs):
            cause, remedy = known_cause, known_remedy
            break
    tail = [line for line in output.splitlines() if line.strip() and not line.startswith("WARNING: Location")][-15:]
    return "\n".join([f"{step} failed: {cause}. {remedy}.", *(f"    {line}" for line in tail)])


@dataclass(frozen=True)
class Stamp:
    """What was installed where. Written when all is in place, so that its absence means: not finished."""

    place: str
    pins: str
    extras: tuple[str, ...]
    gpu_refused: bool = False


class Environment:
    """`.venv` in the repository root."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.folder = host.root / ".venv"
        self.scripts = self.folder / ("Scripts" if host.system == "Windows" else "bin")
        self.python = self.scripts / ("python.exe" if host.system == "Windows" else "python")
        self._stamp = self.folder / "overread-setup.json"
        self._unfinished = self.folder / "overread-setup.unfinished"

    def ready(self, wanted: Set[str]) -> Path:
        """Give the interpreter that has the extras ``wanted``; installs only what is missing."""
        if not self.serves(wanted):
            with _one_at_a_time(self.host):
                if not self.serves(wanted):
                    self._prepare(wanted)
        return self.python

    def serves(self, wanted: Set[str]) -> bool:
        """Tell whether nothing has to be done."""
        stamp = self._read_stamp()
        if stamp is None or self._unfinished.exists() or (stamp.place, stamp.pins) != (self._place(), self._pins()):
            return False
        if stamp.gpu_refused and not self.host.environ.get(OVERRIDE):
            wanted = {"cpu" if extra == "gpu" else extra for extra in wanted}
        return wanted <= set(stamp.extras) and self._starts()

    def site_packages(self) -> Path:
        """Give the folder of the installed packages."""
        pattern = "Lib/site-packages" if self.host.system == "Windows" else "lib/python*/site-packages"
        return next(self.folder.glob(pattern), self.folder)

    def missing_parts(self) -> Missing:
        """Name the parts of the system that the environment and the window need and that are not there."""
        libraries = system_libs.missing_libraries(self.host, self.site_packages())
        if self.python.exists() or self.host.system != "Linux" or _has_ensurepip(self.host):
            return libraries
        return Missing((f"python3.{sys.version_info.minor}-venv",)) + libraries

    def _prepare(self, wanted: Set[str]) -> None:
        stamp = self._read_stamp()
        reason = self._beyond_repair(stamp)
        if reason:
            self.host.say(f"{reason}: making the environment anew.")
            _remove(self.folder)
            stamp = None
        if not self.python.exists():
            self._create()
        extras = set(wanted)
        if stamp and stamp.pins == self._pins():
            extras |= set(stamp.extras) - RUNTIMES.keys()
        refused = False
        try:
            self._install(extras)
        except SetupError as error:
            if "gpu" not in extras or self.host.environ.get(OVERRIDE):
                raise
            self.host.say(f"{error}\nThe GPU packages cannot be had now, so the models will run on the CPU.")
            self.host.say(f"To try again later: {OVERRIDE}=gpu python3 packaging/run.py")
            refused, extras = True, extras - {"gpu"} | {"cpu"}
            if self._unfinished.exists() or not (stamp and stamp.pins == self._pins() and extras <= set(stamp.extras)):
                self._install(extras)
        done = Stamp(self._place(), self._pins(), tuple(sorted(extras)), refused)
        self._stamp.write_text(json.dumps(asdict(done), indent=1), encoding="utf-8")

    def _create(self) -> None:
        host = self.host
        if not _has_ensurepip(host):
            left = system_libs.supply(host, self.missing_parts)
            if not _has_ensurepip(host):
                raise SetupError(f"Python's own module for environments is incomplete here. {left.remedy(host)}")
        host.say("Making the environment in .venv.")
        try:
            self.folder.mkdir(exist_ok=True)
            self._unfinished.touch()
        except OSError as error:
            raise SetupError(f"The folder .venv cannot be written in {host.root}: {error.strerror}.") from None
        answer = host.run(_base_python(), "-m", "venv", str(self.folder))
        if answer.code:
            raise SetupError(explain("Making the environment", answer.out + answer.err))

    def _install(self, extras: Set[str]) -> None:
        runtime = next(name for name in sorted(RUNTIMES) if name in extras)
        wanted = ",".join(sorted(extras))
        self.host.say(f"Installing the pinned packages for {wanted}. This is done once and takes a few minutes.")
        self._unfinished.touch()
        before = self._contents()
        try:
            if self._pip("--version").code:
                self.host.run(str(self.python), "-m", "ensurepip", "--upgrade")
            rival = next(name for extra, name in RUNTIMES.items() if extra != runtime)
            if any(name.startswith(f"{rival.replace('-', '_')}-") for name in before):
                self._pip_install(wanted, "--dry-run")  # what works now is not given up for what cannot be had
                self.host.say(f"Taking {rival} out first: the two builds of ONNX Runtime cannot stand side by side.")
                self._pip("uninstall", "--yes", *RUNTIMES.values())
            self._pip_install(wanted)
        except BaseException:
            if self._contents() == before:
                self._unfinished.unlink(missing_ok=True)
            raise
        self._unfinished.unlink(missing_ok=True)

    def _pip_install(self, wanted: str, *words: str) -> None:
        answer = self._pip("install", "--no-compile", "-c", LOCK, "-e", f".[{wanted}]", *words)
        if answer.code:
            raise SetupError(explain(f"Installing the packages for {wanted}", answer.out + answer.err))

    def _pip(self, *words: str) -> Answer:
        # The lock holds for what builds the project too; pip before 25.3 reads the first name for that, later ones
        # the second. The path is relative, because pip splits the first one at blanks.
        env = {"PIP_CONSTRAINT": LOCK, "PIP_BUILD_CONSTRAINT": LOCK, "PIP_USER": "0"}
        quiet = ("--quiet", "--no-input", "--disable-pip-version-check")
        return self.host.run(str(self.python), "-m", "pip", *words, *quiet, env=env)

    def _contents(self) -> frozenset[str]:
        return frozenset(entry.name for entry in self.site_packages().iterdir())

    def _beyond_repair(self, stamp: Stamp | None) -> str:
        if not self.folder.exists():
            return ""
        if self._unfinished.exists():
            return "An installation was interrupted"
        if not self._starts():
            return "The environment in .venv does not start with this Python"
        if stamp and stamp.place != self._place():
            return "The environment in .venv was made at another place"
        return ""

    def _starts(self) -> bool:
        if not self.python.exists():
            return False
        answer = self.host.run(str(self.python), "-c", "import sys; print('%d.%d' % sys.version_info[:2])", timeout=60)
        return answer.code == 0 and answer.out.strip() == _version()

    def _place(self) -> str:
        return f"Python {_version()}, {self.host.system} {self.host.machine}, {self.host.root}"

    def _pins(self) -> str:
        """Fingerprint what pip reads: the lock and its own tables of pyproject.toml, not the linters' ones."""
        project = tomllib.loads((self.host.root / "pyproject.toml").read_text(encoding="utf-8"))
        read = [project.get("build-system"), project.get("project"), project.get("tool", {}).get("hatch")]
        text = json.dumps(read, sort_keys=True) + (self.host.root / LOCK).read_text(encoding="utf-8")
        return hashlib.sha256(text.encode()).hexdigest()

    def _read_stamp(self) -> Stamp | None:
        try:
            fields = json.loads(self._stamp.read_text(encoding="utf-8"))
            return Stamp(fields["place"], fields["pins"], tuple(fields["extras"]), bool(fields["gpu_refused"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None


def _version() -> str:
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def _base_python() -> str:
    """Give the interpreter outside any environment, so that `.venv` is never made from itself."""
    return str(getattr(sys, "_base_executable", None) or sys.executable)


def _has_ensurepip(host: Host) -> bool:
    return host.run(_base_python(), "-c", "import ensurepip").code == 0


def _remove(folder: Path) -> None:
    try:
        if folder.is_symlink() or folder.is_file():
            folder.unlink()
        else:
            shutil.rmtree(folder)
    except OSError as error:
        raise SetupError(f"{folder} cannot be removed: {error.strerror}. Remove it yourself and start again.") from None


@contextmanager
def _one_at_a_time(host: Host) -> Iterator[None]:
    """Hold the set-up for this start alone; a second one waits until the first is through."""
    try:
        handle = (host.root / ".venv-setup.lock").open("w")
    except OSError as error:
        raise SetupError(f"Nothing can be written in {host.root}: {error.strerror}.") from None
    with handle:
        if sys.platform == "win32":
            while True:
                try:
                    msvcrt.locking(handle.fileno(), msvcrt.LK_LOCK, 1)
                    break
                except OSError:  # it gives up after ten seconds
                    host.say("Another start is setting up the environment; waiting for it.")
        else:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                host.say("Another start is setting up the environment; waiting for it.")
                fcntl.flock(handle, fcntl.LOCK_EX)
        yield
