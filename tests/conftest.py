"""What all tests share: a home of their own, the real data, and nothing left behind."""

from __future__ import annotations

import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# How long an example takes says more about the machine than about the program.
settings.register_profile("overread", deadline=None)
settings.load_profile("overread")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def _own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings, journals and logs of a test are its own."""
    monkeypatch.setenv("OVERREAD_HOME", str(tmp_path / "home"))


@pytest.fixture(autouse=True)
def _no_thread_left() -> Iterator[None]:
    """A test that leaves a thread behind has not cleaned up."""
    before = set(threading.enumerate())
    yield
    left = [t for t in threading.enumerate() if t not in before and t.is_alive() and not t.daemon]
    for thread in left:
        thread.join(timeout=5)
    assert not [thread.name for thread in left if thread.is_alive()], "threads left behind"


@pytest.fixture
def open_place() -> Iterator[Path]:
    """A folder that everybody can reach, unlike those of pytest; after `shut` the test goes on as nobody."""
    root = os.geteuid() == 0
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o755)
    yield folder
    if root:
        os.seteuid(0)
    for path in (folder, *folder.rglob("*")):
        if path.is_dir():
            path.chmod(0o755)
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def data() -> Path:
    """The folder of real DICOM; where it is absent the test is skipped, in CI it fails."""
    folder = Path(os.environ.get("OVERREAD_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "dicom").is_dir():
        reason = f"real DICOM is not there: {folder} (set OVERREAD_DATA)"
        if os.environ.get("OVERREAD_CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return folder


@pytest.fixture(scope="session")
def tool() -> Callable[[str], str]:
    """The path of an external program; where it is absent the test is skipped, in CI it fails."""
    import shutil

    def find(name: str) -> str:
        found = shutil.which(name)
        if found is None:
            reason = f"{name} is not installed (packaging/test.py installs or names it)"
            if os.environ.get("OVERREAD_CI"):
                pytest.fail(reason)
            pytest.skip(reason)
        return found

    return find


@pytest.fixture(scope="session")
def triton_folder() -> Path:
    """The real Triton, set up on first use; where it cannot be had the test is skipped, in CI it fails."""
    from support.servers import this_host, triton_local

    try:
        return triton_local.ready(this_host())
    except triton_local.SetupError as error:
        if os.environ.get("OVERREAD_CI"):
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The synthetic demo study, made once a run."""
    from overread.dicom.demo import ensure_demo

    return ensure_demo(tmp_path_factory.mktemp("demo"))
