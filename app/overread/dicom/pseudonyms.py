"""Other UIDs, numbers and dates in place of a patient's: the same in every run with the same key, and for nobody else.

All of them come from HMAC-SHA256 under the project's key, so that no table of old and new has to be kept, and whoever
lacks the key cannot find the old value by trying.
"""

from __future__ import annotations

import hmac
import os
import secrets
import uuid
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path

from overread.domain.errors import UserError

# Dates go back by 2 to 10 years; whole weeks, so that a weekend stays a weekend.
_WEEKS = range(104, 522)
_BYTES = 32


@dataclass(frozen=True)
class Key:
    """A project's secret."""

    secret: bytes = field(repr=False)

    def _digest(self, *words: str) -> bytes:
        return hmac.digest(self.secret, "\0".join(words).encode("utf-8", "surrogateescape"), "sha256")

    def uid(self, uid: str) -> str:
        """Another UID under 2.25, for ever the same for this one (PS3.5 B.2, with a UUID of version 8, RFC 9562)."""
        number = int.from_bytes(self._digest("uid", uid)[:16], "big")
        number = number & ~(0xF << 76) | 8 << 76
        number = number & ~(0x3 << 62) | 2 << 62
        return f"2.25.{uuid.UUID(int=number).int}"

    def patient(self, patient_id: str, issuer: str = "") -> str:
        """A number in place of the patient's."""
        return f"P{self._digest('patient', issuer, patient_id).hex()[:12].upper()}"

    def days(self, patient_id: str, issuer: str = "") -> int:
        """By how many days this patient's dates are shifted: into the past, the same for all of them."""
        number = int.from_bytes(self._digest("days", issuer, patient_id)[:8], "big")
        return -7 * _WEEKS[number % len(_WEEKS)]


def key_in(path: Path) -> Key:
    """The key in a file; made on first use, readable for its owner alone. UserError where that fails."""
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
            handle = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(f"{secrets.token_hex(_BYTES)}\n")
            partial.replace(path)
        secret = bytes.fromhex(path.read_text("ascii").strip())
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UserError(f"The key in {path} cannot be used.", "Name another file with --key.") from error
    if len(secret) < _BYTES:
        raise UserError(f"The key in {path} is too short.", f"It has {2 * _BYTES} hexadecimal digits at least.")
    return Key(secret)


def shifted(text: str, days: int) -> str:
    """A DA or DT value, so many days later; its time and offset stay. ValueError where it holds no whole date."""
    day = date(int(text[:4]), int(text[4:6]), int(text[6:8])) + timedelta(days)
    return f"{day:%Y%m%d}".rjust(8, "0") + text[8:]
