"""Secrets that show a server who asks: they stand in a file or an environment variable, never in the settings."""

from __future__ import annotations

import os
from pathlib import Path

from overread.domain.errors import UserError


def headers(whom: str, token_file: str, token_env: str, header: str = "authorization") -> dict[str, str]:
    """The header that carries the token for `whom`, as "Bearer …" where it is "authorization"; {} where none is meant.

    UserError where the token cannot be had.
    """
    if not (token_file or token_env):
        return {}
    token, place = os.environ.get(token_env, "").strip(), f"the environment variable {token_env}"
    if token_file:
        place = token_file
        try:
            token = Path(token_file).expanduser().read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"The token for {whom} cannot be read in {place}.", "Mend the file.") from error
    if not token.isascii() or not token.isprintable() or not token:
        raise UserError(f"There is no token for {whom} in {place}.", "Ask whoever runs the server for one.")
    return {header: f"Bearer {token}" if header == "authorization" else token}
