"""Associations behind TLS: the receiver proves who it is, and so do we where it asks."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from pathlib import Path

import pytest
from pydicom.uid import MRImageStorage

from overread.domain.errors import UserError
from overread.domain.ports import Cancel
from overread.network.outbox import Outbox
from overread.network.packets import State
from overread.network.sender import Sender, echo
from support.certificates import certificates
from support.scp import receiver
from support.series import head_like, write_series


def test_objects_go_encrypted_to_whom_we_trust_and_to_nobody_else(tmp_path: Path, tool: Callable[[str], str]) -> None:
    certificates(tool("openssl"), tmp_path)
    names = ("ca", "other", "client", "server")
    place = {name: str(tmp_path / f"{name}.pem") for name in names}
    keys = {name: str(tmp_path / f"{name}.key") for name in names}
    asking = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=place["ca"])
    asking.verify_mode = ssl.CERT_REQUIRED
    asking.load_cert_chain(place["server"], keys["server"])
    files = write_series(tmp_path / "series", head_like((2, 16, 16)))
    with receiver([MRImageStorage], tls=asking) as own:
        ours = {"cert": place["client"], "key": keys["client"]}
        node = own.node(tls=True, ca=place["ca"], **ours)
        echo(node)
        box = Outbox(tmp_path / "outbox")
        packet, sender = box.add(node.name, files), Sender(box, lambda: (node,))
        assert sender.step(Cancel())
        assert box.packet(packet.id).state is State.SENT
        assert len(own.got) == 2
        with pytest.raises(UserError, match="Nobody whose certificate is trusted answers"):
            echo(own.node(tls=True, ca=place["other"], **ours))
        with pytest.raises(UserError, match="cannot be used"):
            echo(own.node(tls=True, ca=str(tmp_path / "missing.pem"), **ours))
