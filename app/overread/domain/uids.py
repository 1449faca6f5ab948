"""UIDs that follow from what they name."""

from __future__ import annotations

import hashlib


def uid_of(*parts: str) -> str:
    """A DICOM UID (2.25, PS3.5 B.2) that follows from its parts: the same parts always make the same one."""
    digest = hashlib.sha256("\n".join(parts).encode("utf-8", "surrogatepass")).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"
