"""Where a server is that reads models for many readers, and when it is asked: what the settings say of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from overread import tokens

# "local" asks no server; "remote" nothing but the server; "hybrid" the server first, this machine where it is slow.
POLICIES = ("local", "remote", "hybrid")
_URL = re.compile(r"(?P<scheme>grpcs?)://(?P<host>[^\s:/@\[\]]+|\[[0-9A-Fa-f:.]+\]):(?P<port>\d{1,5})")
_THIS_MACHINE = ("localhost", "127.0.0.1", "[::1]")


@dataclass(frozen=True)
class Remote:
    """A server that speaks KServe v2 over gRPC. ValueError where the fields make no sense together.

    `url` is grpcs://HOST:PORT, or grpc://HOST:PORT without encryption; every request has `deadline_ms`. The token
    itself is never a setting: it stands in the file `token_file` or in the environment variable `token_env`, and goes
    into the header `token_header`, as "Bearer …" where that is "authorization". `ca`, `cert` and `key` are PEM files:
    whom to trust (by default whom the system trusts), and who we are where the server asks for it.
    """

    url: str = ""
    policy: str = "local"
    deadline_ms: float = 500.0
    token_file: str = ""
    token_env: str = ""
    token_header: str = "authorization"
    ca: str = ""
    cert: str = ""
    key: str = ""

    def __post_init__(self) -> None:
        if self.policy not in POLICIES:
            raise ValueError(f"“policy” is one of {', '.join(POLICIES)}")
        if self.url and _URL.fullmatch(self.url) is None:
            raise ValueError("“url” is grpcs://HOST:PORT")
        if self.policy != "local" and not self.url:
            raise ValueError("“url” is missing")
        if not 1 <= self.deadline_ms <= 600_000:
            raise ValueError("“deadline_ms” is not between 1 and 600000")
        if self.token_file and self.token_env:
            raise ValueError("“token_file” and “token_env” are both given")
        if bool(self.cert) != bool(self.key):
            raise ValueError("“cert” and “key” go together")
        if (self.ca or self.cert) and not self.encrypted:
            raise ValueError("certificates mean nothing without grpcs://")
        if (self.token_file or self.token_env) and not (self.encrypted or self.here):
            raise ValueError("a token goes to another machine with grpcs:// alone")

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Remote:
        """What a table of the settings means; keys that it does not know it leaves. TypeError, ValueError."""
        known: dict[str, Any] = {}
        for field in fields(cls):
            value = table.get(field.name, field.default)
            meant = (int, float) if field.name == "deadline_ms" else str
            if isinstance(value, bool) or not isinstance(value, meant):
                raise TypeError(f"“{field.name}” is of the wrong kind")
            known[field.name] = float(value) if field.name == "deadline_ms" else value
        return cls(**known)

    @property
    def target(self) -> str:
        """HOST:PORT."""
        return self.url.partition("://")[2]

    @property
    def host(self) -> str:
        """The server's name, as readers see it."""
        return self.target.rpartition(":")[0]

    @property
    def encrypted(self) -> bool:
        """Whether what goes there is encrypted on its way."""
        return self.url.startswith("grpcs://")

    @property
    def here(self) -> bool:
        """Whether the server runs on this very machine."""
        return self.host in _THIS_MACHINE

    @property
    def whither(self) -> str:
        """What leaves the machine and where it goes, in one sentence for the reader."""
        way = "" if self.encrypted or self.here else ", unencrypted"
        return f"The slice's grey values, without any header, go to {self.host}{way}."

    def headers(self) -> dict[str, str]:
        """What shows the server who asks. UserError where the token cannot be had."""
        return tokens.headers(self.host, self.token_file, self.token_env, self.token_header)
