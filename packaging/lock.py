"""Write constraints.txt anew: the exact version of everything that an extra may bring.

    .venv/bin/python -m pip install uv
    .venv/bin/python packaging/lock.py

The answer holds for Linux, Windows and macOS and for every Python that the project allows.
"""

import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LOCK = ROOT / "packaging" / "constraints.txt"
EXTRAS = ("cpu", "gpu", "openvino", "remote", "train", "explain", "test")

# Held at one version by hand, with the reason in the header below.
HELD = ("torch==2.13.0",)
# On the public index these are empty shells that fetch the real files from the vendor while they are built,
# so they are left out here; `tensorrt-cu13` itself names their exact version.
VENDOR_ONLY = ("tensorrt-cu13-libs", "tensorrt-cu13-bindings")

HEADER = """\
# The lock: the exact version of everything that the extras cpu, gpu, openvino, remote, train, explain and test bring,
# for Linux, Windows and macOS and Python 3.11 and later. Used as
# `pip install -c packaging/constraints.txt -e ".[cpu]"`.
#
# Made by `python packaging/lock.py`, which runs, with the requirements of pyproject.toml,
#     uv pip compile --universal --python-version 3.11 --extra cpu --extra gpu --extra openvino …
#
# torch is held at 2.13.0, so that a CPU-only build of that version in a local wheel folder is taken where pip has one.
# tensorrt-cu13 is pinned, its two parts are not: their files lie on the vendor's own index, and tensorrt-cu13 asks
# for their exact version itself. They could not be fetched where this file was made.
# Every version here has wheels for Python 3.11, 3.12 and 3.13 on Linux x86_64 (glibc 2.34 or later), Linux ARM
# (glibc 2.39), Windows x86_64 and macOS 14 on Apple silicon; not on Intel Macs, for which onnxruntime has none.
# grad-cam alone comes as source; it is Python only."""


def main() -> int:
    """Ask uv for the versions and write them below the header."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["build-system"]["requires"]
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder, "build.in")
        held = Path(folder, "held.txt")
        never = Path(folder, "never.txt")
        # hatchling asks for editables when it builds `-e .`
        asked.write_text("\n".join([*build, "editables"]), encoding="utf-8")
        held.write_text("\n".join(HELD), encoding="utf-8")
        never.write_text("".join(f"{name} ; sys_platform == 'never'\n" for name in VENDOR_ONLY), encoding="utf-8")
        command = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", str(asked)]
        command += [
            "--universal",
            "--python-version",
            "3.11",
            "--no-config",
            "--no-annotate",
            "--no-header",
            "--upgrade",
        ]
        command += [word for extra in EXTRAS for word in ("--extra", extra)]
        command += ["--constraint", str(held), "--override", str(never), "--quiet"]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        return done.returncode
    versions = [line for line in done.stdout.splitlines() if not line.startswith(VENDOR_ONLY)]
    LOCK.write_text("\n".join([HEADER, *versions, ""]), encoding="utf-8")
    print(f"{len(versions)} versions in {LOCK.relative_to(ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
