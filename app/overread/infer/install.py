"""Models that a reader adds: looked at, tested on this machine, and put in place whole or not at all."""

from __future__ import annotations

import re
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path

from overread.domain.errors import UserError
from overread.infer.backends.chain import Chain
from overread.infer.manifest import ModelSpec, read

_FILE = "model.toml"
# Far above any model for a slice, far below what fills a disk by mistake.
_MOST_BYTES = 8 << 30


def install(source: Path, models: Path, chain: Chain, *, replacing: bool = False) -> ModelSpec:
    """Add the model in a folder or zip archive to the folder ``models``; returns it as it stands there.

    It has to pass its self-test on a link of ``chain``. UserError where there is no model, it cannot be used, nothing
    here reproduces its self-test, or one of that id is there and not to be replaced; nothing is changed then.
    """
    models.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".overread-", dir=models) as scratch:
        part = Path(scratch) / "model"
        _take(source, part)
        spec = read(part)
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", spec.id):
            raise UserError(f"“{spec.id}” is no name for a folder.", "An id is made of letters, digits, . _ and -.")
        tried = [chain.judged(spec, candidate)[0] for candidate in chain.candidates]
        if not any(verdict.passed for verdict in tried):
            why = next((verdict.why for verdict in tried if verdict.why), "no backend is here")
            raise UserError(f"{spec.name} does not pass its self-test here: {why}.", "“overread doctor” says more.")
        home = models / spec.id
        if home.exists() and not replacing:
            there = read(home) if (home / _FILE).exists() else None
            version = f" {there.version}" if there else ""
            raise UserError(f"{spec.id}{version} is installed already.", "Add --replace to put this one in its place.")
        old = Path(scratch) / "old"
        if home.exists():
            home.replace(old)
        try:
            part.replace(home)
        except OSError:
            if old.exists():
                old.replace(home)
            raise
    return read(home)


def _take(source: Path, part: Path) -> None:
    """Copy the model's folder, or take it out of its archive."""
    try:
        if source.is_dir():
            if not (source / _FILE).is_file():
                raise UserError(f"There is no model in {source}.", f"Name the folder that holds {_FILE}.")
            shutil.copytree(source, part)
        elif zipfile.is_zipfile(source):
            _unpack(source, part)
        else:
            raise UserError(f"{source} is neither a folder nor a zip archive with a model.", "Name one of the two.")
    except (OSError, zipfile.BadZipFile, RuntimeError) as error:
        raise UserError(f"{source} cannot be read: {error}.", "Copy it again from where it came.") from error


def _unpack(archive: Path, part: Path) -> None:
    """The files beside the archive's one model.toml; what lies elsewhere, or is a link, is left out."""
    with zipfile.ZipFile(archive) as members:
        manifests = [name for name in members.namelist() if Path(name).name == _FILE]
        if len(manifests) != 1:
            raise UserError(f"{archive.name} holds {len(manifests)} files {_FILE}.", "An archive holds one model.")
        home = manifests[0].removesuffix(_FILE)
        chosen = [m for m in members.infolist() if m.filename.startswith(home) and not m.is_dir()]
        if sum(member.file_size for member in chosen) > _MOST_BYTES:
            raise UserError(f"{archive.name} unpacks to more than {_MOST_BYTES >> 30} GB.", "Unpack it yourself first.")
        for member in chosen:
            inside = Path(member.filename.removeprefix(home))
            if inside.is_absolute() or ".." in inside.parts or stat.S_ISLNK(member.external_attr >> 16):
                raise UserError(f"{archive.name} holds {member.filename}, which leads out of it.", "Do not use it.")
            target = part / inside
            target.parent.mkdir(parents=True, exist_ok=True)
            with members.open(member) as packed, target.open("wb") as file:
                shutil.copyfileobj(packed, file)
