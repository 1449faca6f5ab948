"""A real Orthanc on loopback with its DICOMweb plug-in: started, stopped and killed as a test likes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import requests
from pydicom import Dataset, dcmread

from overread.network.nodes import Node
from support.servers import free_port

PLUGIN = "libOrthancDicomWeb.so"
_PROGRAMS = ("/usr/sbin", "/usr/local/sbin")  # which need not be in PATH
_PLUGINS = ("/usr/share/orthanc/plugins", "/usr/local/share/orthanc/plugins", "/usr/lib/orthanc/plugins")


def found() -> tuple[Path, Path] | None:
    """The program and its plug-in for DICOMweb, where both are installed."""
    program = shutil.which("Orthanc") or next((f"{p}/Orthanc" for p in _PROGRAMS if Path(p, "Orthanc").exists()), None)
    plugin = next((Path(folder, PLUGIN) for folder in _PLUGINS if Path(folder, PLUGIN).exists()), None)
    return (Path(program), plugin) if program and plugin else None


@dataclass
class Orthanc:
    """A server with its own folder. Its ports stay the same from start to start, so that what waits finds it again."""

    folder: Path
    http: int = field(default_factory=free_port)
    dicom: int = field(default_factory=free_port)
    reports: int = field(default_factory=free_port)
    more: dict[str, Any] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http}"

    def node(self, name: str = "PACS", *, commit: bool = False, **changes: Any) -> Node:
        """It as a receiver of C-STORE."""
        facts: dict[str, Any] = {"host": "127.0.0.1", "port": self.dicom, "ae_title": "ORTHANC", "timeout_s": 10.0}
        return Node(name, **{**facts, "commit_port": self.reports if commit else 0, **changes})

    def web(self, name: str = "WEB", **changes: Any) -> Node:
        """It as a receiver of STOW-RS."""
        return Node(name, **{"kind": "dicomweb", "url": f"{self.url}/dicom-web", "timeout_s": 10.0, **changes})

    def start(self, ready: int = 200) -> None:
        """Start it; it is there when it answers with the status `ready`."""
        there = found()
        assert there is not None
        program, plugin = there
        store = self.folder / "store"
        store.mkdir(parents=True, exist_ok=True)
        configuration = {
            "StorageDirectory": str(store),
            "IndexDirectory": str(store),
            "Plugins": [str(plugin)],
            "HttpPort": self.http,
            "DicomPort": self.dicom,
            "DicomAet": "ORTHANC",
            "DicomCheckCalledAet": True,
            "OverwriteInstances": False,
            "UnknownSopClassAccepted": True,  # label maps are younger than many a PACS
            "DicomModalities": {"overread": ["OVERREAD", "127.0.0.1", self.reports]},
            "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
            "HttpDescribeErrors": True,
            **self.more,
        }
        (self.folder / "orthanc.json").write_text(json.dumps(configuration))
        with (self.folder / "orthanc.log").open("ab") as log:
            self.process = subprocess.Popen(
                [program, str(self.folder / "orthanc.json")], stdout=log, stderr=log, start_new_session=True
            )
        end = time.monotonic() + 60
        while True:
            assert self.process.poll() is None, (self.folder / "orthanc.log").read_text()
            assert time.monotonic() < end, "it does not answer"
            try:
                if requests.get(f"{self.url}/system", timeout=5).status_code == ready:
                    return
            except requests.RequestException:
                time.sleep(0.05)  # between two looks, not in place of looking

    def stop(self, sign: int = signal.SIGTERM) -> None:
        """End it in good order, or with SIGKILL in the middle of whatever it does."""
        if self.process is not None:
            os.killpg(self.process.pid, sign)
            self.process.wait(60)
            self.process = None

    def instances(self) -> list[str]:
        """The UIDs of all it has, one for each copy."""
        listed = requests.get(f"{self.url}/instances?expand", timeout=30).json()
        return [item["MainDicomTags"]["SOPInstanceUID"] for item in listed]

    def fetch(self, sop_instance_uid: str) -> Dataset:
        """One object as it would give it to anybody."""
        (key,) = requests.post(f"{self.url}/tools/lookup", data=sop_instance_uid, timeout=30).json()
        return dcmread(BytesIO(requests.get(f"{self.url}/instances/{key['ID']}/file", timeout=30).content))

    def clear(self) -> None:
        for key in requests.get(f"{self.url}/instances", timeout=30).json():
            requests.delete(f"{self.url}/instances/{key}", timeout=30)


@contextmanager
def orthanc(folder: Path, *, ready: int = 200, **more: Any) -> Iterator[Orthanc]:
    """One that runs, and is gone afterwards; `more` goes into its configuration."""
    server = Orthanc(folder, more=more)
    server.start(ready)
    try:
        yield server
    finally:
        server.stop(signal.SIGKILL)
