"""Finding the journals that belong to a path."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from overread import paths
from overread.dicom.scan import scanned
from overread.domain.errors import UserError
from overread.domain.study import Catalogue, Identity
from overread.session.journal import journal_path
from overread.session.scratch import Scratch


@contextmanager
def catalogue_of(path: Path) -> Iterator[Catalogue]:
    """What a path holds; archives are unpacked as long as it is needed. UserError where there are no images."""
    with Scratch() as scratch:
        catalogue = scanned((path,), scratch)
        if not catalogue.patients:
            raise UserError("No DICOM images were found.", "Name the folder that holds the study.")
        yield catalogue


def studies(catalogue: Catalogue) -> list[Identity]:
    """One identity for each study of each patient."""
    found = {journal_of(stack.identity): stack.identity for stack in catalogue.stacks}
    return list(found.values())


def journal_of(who: Identity) -> Path:
    """Where the journal of a study is, or would be."""
    return journal_path(paths.data() / "journals", who)
