"""A real Orthanc for the tests of the network."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.orthanc import Orthanc, found, orthanc


@pytest.fixture(scope="session")
def pacs_there() -> None:
    """Where Orthanc or its DICOMweb plug-in is absent the test is skipped, in CI it fails."""
    if found() is None:
        reason = "Orthanc with its DICOMweb plug-in is not installed (packaging/test.py installs or names it)"
        if os.environ.get("OVERREAD_CI"):
            pytest.fail(reason)
        pytest.skip(reason)


@pytest.fixture(scope="session")
def shared_pacs(pacs_there: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Orthanc]:
    """One Orthanc for all tests that leave it running."""
    with orthanc(tmp_path_factory.mktemp("pacs")) as server:
        yield server


@pytest.fixture
def pacs(shared_pacs: Orthanc) -> Orthanc:
    """It, empty."""
    shared_pacs.clear()
    return shared_pacs


@pytest.fixture
def own_pacs(pacs_there: None, tmp_path: Path) -> Iterator[Orthanc]:
    """An Orthanc of the test's own, to stop and to kill."""
    with orthanc(tmp_path / "pacs") as server:
        yield server
