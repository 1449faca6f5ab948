"""A Triton Inference Server on this machine, for tests and measurements: no container, no GPU, one pinned wheel.

    .venv/bin/overread models export-triton REPOSITORY --echo
    .venv/bin/python packaging/triton_local.py REPOSITORY [PORT]

The server is the real one, out of NVIDIA's wheel nvidia-pytriton. That wheel has only the Python backend, so
`triton_backends` stands in for the ONNX Runtime and identity backends; a hospital takes packaging/server instead.
"""

import hashlib
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import shell
from shell import Host, SetupError

# In a folder of their own: the Python backend works with NumPy 1 alone (with 2 it answers with empty tensors).
PINS = ("nvidia-pytriton==0.7.0", "numpy==1.26.4", "onnxruntime==1.23.2")
SERVER = "lib/python3*/site-packages/pytriton/tritonserver"
STAND_INS = Path(__file__).resolve().parent / "triton_backends"


def place(host: Host) -> Path:
    """Name the folder in the reader's cache; another set of pins or another Python has another one."""
    home = Path(host.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    pins = hashlib.sha256(" ".join(PINS).encode()).hexdigest()[:12]
    return home / "overread" / f"triton-{pins}-py{sys.version_info.major}.{sys.version_info.minor}"


def ready(host: Host, python: str = sys.executable) -> Path:
    """Give the folder with the server, made by ``python`` on first use. SetupError where it cannot be had here."""
    folder = place(host)
    if folder.exists():
        return folder
    if (host.system, host.machine) != ("Linux", "x86_64"):
        raise SetupError("There is a wheel with Triton for Linux on x86_64 alone.")
    stubs = f"tritonserver/python_backend_stubs/{sys.version_info.major}.{sys.version_info.minor}"
    host.say(f"Setting up Triton for the tests in {folder} (once; about 300 MB).")
    partial = folder.with_name(f"{folder.name}.partial-{os.getpid()}")
    quiet = ("--no-deps", "--only-binary", ":all:", "--quiet", "--no-input", "--disable-pip-version-check")
    try:
        for words in (
            ("venv", "--without-pip", str(partial)),
            ("pip", "--python", str(partial / "bin/python"), "install", *quiet, *PINS),
        ):
            answer = host.run(python, "-m", *words, timeout=600)
            if answer.code:
                last = (answer.err or answer.out).strip().splitlines() or ["no reason given"]
                raise SetupError(f"Triton cannot be installed for the tests: {last[-1]}")
        (server,) = partial.glob(SERVER)
        shutil.copy2(server.parent / stubs / "triton_python_backend_stub", server / "backends/python")
        partial.rename(folder)
    except OSError as error:
        if not folder.exists():  # another start was faster
            raise SetupError(f"Triton cannot be installed for the tests: {error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return folder


def command(folder: Path, repository: Path, *words: str) -> tuple[list[str], dict[str, str]]:
    """Give the command line and the environment of a server on `repository`, which answers gRPC on this machine."""
    (server,) = folder.glob(SERVER)
    for stand_in in STAND_INS.iterdir():
        shutil.copytree(stand_in, server / "backends" / stand_in.name, dirs_exist_ok=True)
    line = [str(server / "bin/tritonserver"), f"--model-repository={repository}"]
    line += [f"--backend-directory={server / 'backends'}", "--grpc-address=127.0.0.1", *words]
    line += ["--allow-http=false", "--allow-metrics=false", "--exit-timeout-secs=2"]
    # The Python backend takes the interpreter that comes first, and asks the loader for its library.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    libraries = [sysconfig.get_config_var("LIBDIR"), os.environ.get("LD_LIBRARY_PATH")]
    kept["LD_LIBRARY_PATH"] = os.pathsep.join(filter(None, libraries))
    return line, kept | {"PATH": os.pathsep.join([str(folder / "bin"), os.environ.get("PATH", os.defpath)])}


def main(words: list[str]) -> int:
    """Serve a repository until Ctrl-C."""
    if len(words) not in (1, 2):
        raise SetupError("Which repository? “triton_local.py REPOSITORY [PORT]”.")
    port = words[1] if len(words) == 2 else "8001"
    line, variables = command(ready(shell.this_host()), Path(words[0]).resolve(), f"--grpc-port={port}")
    return shell.ending(subprocess.call(line, env=variables))


if __name__ == "__main__":
    sys.exit(shell.guarded(lambda: main(sys.argv[1:])))
