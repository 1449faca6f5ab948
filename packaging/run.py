"""Start Overread on any machine: `python3 packaging/run.py [PATH…]`.

Sets everything up the first time, then opens the desktop on PATH, or on the demo study when there is none.
Without a display the model reads the same study, and what it found and wrote is printed.
"""

import argparse
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import old_python  # noqa: F401 (stops an old Python, before the lines below are read)
import setup_env
import shell
import system_libs
from shell import Host, SetupError

MODEL = "glioma-flair"
OUTPUT = "overread-output"


def main(words: Sequence[str]) -> int:
    """Set up what is missing, then read ``words``."""
    parser = argparse.ArgumentParser(prog="run.py", description="Set Overread up and start it.")
    parser.add_argument(
        "path", nargs="*", help="a DICOM file, folder, zip or DICOMDIR; without one the demo study opens"
    )
    paths = parser.parse_args(words).path
    for path in paths:
        if not Path(path).exists():
            print(f"There is no file or folder “{path}”.", file=sys.stderr)
            return 3
    host = shell.this_host()
    python = prepare(host)
    if has_display(host):
        return open_desktop(python, paths)
    host.say("There is no display here, so the model reads without a window.")
    return read_without_window(host, python, paths)


def prepare(host: Host) -> Path:
    """Make the environment and the system fit to run; give the interpreter."""
    environment = setup_env.Environment(host)
    python = environment.ready({setup_env.choose_runtime(host)})
    left = system_libs.supply(host, environment.missing_parts)
    if left and has_display(host):
        raise SetupError(f"The window cannot open yet: parts of the system are missing. {left.remedy(host)}")
    if left:
        host.say(f"For the desktop, parts of the system are missing. {left.remedy(host)}")
    return python


def has_display(host: Host) -> bool:
    """Tell whether a window can be shown."""
    return host.system != "Linux" or any(host.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY"))


def overread(python: Path, *words: str) -> list[str]:
    """Give the command line of the program; -P keeps the folder we stand in off its import path."""
    return [str(python), "-P", "-m", "overread", *words]


def open_desktop(python: Path, paths: Sequence[str]) -> int:
    """Open the window; its exit status is ours."""
    command = overread(python, *(paths or ["demo"]))
    if os.name == "posix":
        os.execv(command[0], command)
    return shell.ending(subprocess.call(command))


def read_without_window(host: Host, python: Path, paths: Sequence[str]) -> int:
    """Let the model read each path in turn; the first status that is not 0 is ours."""
    if not paths:
        done = subprocess.run(overread(python, "demo", "--path"), stdout=subprocess.PIPE, text=True, check=False)
        if done.returncode:
            return shell.ending(done.returncode)
        paths = [done.stdout.strip()]
    statuses = []
    for path in paths:
        out = OUTPUT if len(paths) == 1 else str(Path(OUTPUT, Path(path).name))
        host.say(f"Reading {path}")
        command = overread(python, "infer", path, "--model", MODEL, "--out", out, "--accept", "--json")
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, encoding="utf-8", check=False)
        statuses.append(shell.ending(done.returncode) or tell(host, done.stdout))
    return next((status for status in statuses if status), 0)


def tell(host: Host, answer: str) -> int:
    """Say in plain words what the model found and what was written."""
    try:
        lines = report(json.loads(answer))
    except (ValueError, KeyError, TypeError) as error:
        print(f"The program ended well, but its answer cannot be understood ({error!r}).", file=sys.stderr)
        return 1
    host.say("\n".join(lines))
    return 0


def report(answer: Mapping[str, Any]) -> list[str]:
    """Put the answer of `overread infer --json` into lines for a person."""
    model, backend, total = answer["model"], answer["backend"], answer["ms"]["total"]
    ran = f"The model {model['id']} {model['version']} ran on {backend['name']} ({backend['precision']})"
    lines = [f"{ran} in {total / 1000:.1f} s."]
    findings, files = answer["findings"], answer["files"]
    lines.append(f"Findings: {len(findings)}" if findings else "Findings: none")
    lines += [f"  {describe(finding)}" for finding in findings]
    lines.append(f"Files written: {len(files)}" if files else "Files written: none")
    lines += [f"  {file['path']} ({file['kind']})" for file in files]
    lines.append("Accepted without a person looking: not for clinical use.")
    return lines


def describe(finding: Mapping[str, Any]) -> str:
    """Put one finding into a line."""
    words = [str(finding["label"])]
    if finding.get("volume_ml") is not None:
        words.append(f"{finding['volume_ml']:.1f} ml")
    if finding.get("axes_mm"):
        words.append(" × ".join(f"{length:.0f}" for length in finding["axes_mm"]) + " mm")
    if finding.get("score") is not None:
        words.append(f"score {finding['score']:.2f}")
    return ", ".join([*words, str(finding["status"]).lower()])


if __name__ == "__main__":
    sys.exit(shell.guarded(lambda: main(sys.argv[1:])))
