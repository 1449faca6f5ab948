"""DICOM over associations: C-ECHO and C-STORE as a user of the service (PS3.4 annexes A and B, PS3.7, PS3.8)."""

from __future__ import annotations

import logging
import ssl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydicom import Dataset
from pydicom.uid import UID, ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext, build_context
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined]  # made when the module is imported

from overread.domain.errors import UserError
from overread.domain.ports import Cancel
from overread.network.nodes import Node
from overread.network.packets import Answer, Fate, Item, Never, NotNow

# What goes wrong is said here, in plain words and without the names that a library might quote.
logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)

# An association has room for 128 presentation contexts (PS3.8 9.3.2.2: odd numbers of one byte), two for each kind.
_KINDS = 64
_PLAIN = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
# C-STORE's statuses (PS3.4 B.2.3, PS3.7 C): those after which the same object may be taken another time …
_LATER = {0x0110: "it could not process it", 0x0213: "it is short of resources"}
# … that it is there already, with the same UID, so the same object …
_DUPLICATE = 0x0111
# … and those after which it never will be, as far as they say more than their number.
_NEVER = {
    0x0115: "invalid argument",
    0x0117: "invalid SOP instance",
    0x0118: "no such SOP class",
    0x0122: "it does not support this SOP class",
    0x0124: "not authorised",
    0x0211: "unrecognised operation",
}
# Who rejects an association, and why (PS3.8 9.3.4).
_REJECTED = {
    (1, 2): "it does not know this application context",
    (1, 3): "it does not know the AE title that we call ourselves ({calling})",
    (1, 7): "it does not go by the AE title {called}",
    (2, 2): "it does not speak this version of the protocol",
    (3, 1): "it is busy",
    (3, 2): "it has reached its limit of associations",
}


def echo(node: Node) -> None:
    """Ask whether anybody is there (C-ECHO). NotNow or Never where not."""
    with associated(node, [build_context(Verification)], Cancel()) as association:
        if not association.accepted_contexts:
            raise Never("It takes associations, but no C-ECHO.")
        status = association.send_c_echo()
        if "Status" not in status:
            raise NotNow("It did not answer.")
        if status.Status != 0x0000:
            raise Never(f"It answers C-ECHO with 0x{status.Status:04X}.")


def store(
    node: Node, items: Sequence[Item], load: Callable[[Item], Dataset], cancel: Cancel
) -> Iterator[tuple[Item, Answer]]:
    """Send objects one after the other; each comes back with what the receiver said of it.

    `load` gives an object's data set when it is its turn. NotNow where the receiver is not to be had, or is lost on
    the way; Never where it wants nothing from us.
    """
    kinds = list(dict.fromkeys((item.sop_class_uid, item.transfer_syntax) for item in items))
    for first in range(0, len(kinds), _KINDS):
        some = kinds[first : first + _KINDS]
        here = [item for item in items if (item.sop_class_uid, item.transfer_syntax) in some]
        # Two for each kind, so that nothing is rewritten where the receiver takes it as it is.
        contexts = [build_context(sop_class, [syntax]) for sop_class, syntax in some]
        contexts += [
            build_context(sop_class, others) for sop_class, syntax in some if (others := _syntaxes(syntax)[1:])
        ]
        with associated(node, contexts, cancel) as association:
            taken = {(str(c.abstract_syntax), str(c.transfer_syntax[0])) for c in association.accepted_contexts}
            for item in here:
                refusal = _unspoken(item, taken)
                yield item, refusal or _store_one(association, load(item))


def _syntaxes(syntax: str) -> list[str]:
    """An uncompressed object may go in either form; a compressed one goes as it is."""
    plain = syntax in _PLAIN
    return [syntax, *(str(other) for other in _PLAIN if other != syntax)] if plain else [syntax]


def _unspoken(item: Item, taken: set[tuple[str, str]]) -> Answer | None:
    if any((item.sop_class_uid, syntax) in taken for syntax in _syntaxes(item.transfer_syntax)):
        return None
    how = ""
    if any(sop_class == item.sop_class_uid for sop_class, _ in taken) or item.transfer_syntax not in _PLAIN:
        how = f" as {UID(item.transfer_syntax).name}"
    return Answer(Fate.REFUSED, f"It takes no {item.kind}{how}.")


def _store_one(association: Association, dataset: Dataset) -> Answer:
    try:
        status = association.send_c_store(dataset)
    except ValueError:  # it does not let itself be encoded the way that was agreed on
        return Answer(Fate.REFUSED, "The object cannot be written in the transfer syntax that the receiver takes.")
    except RuntimeError as error:
        raise NotNow("The connection was lost.") from error
    if "Status" not in status:
        raise NotNow("The connection was lost, or no answer came in time.")
    return judged(int(status.Status), str(status.get("ErrorComment", "") or ""))


def judged(status: int, comment: str = "") -> Answer:
    """What a status of C-STORE means for the object (PS3.4 table B.2-1, PS3.7 annex C)."""
    said = f" (0x{status:04X}{f', “{comment[:64]}”' if comment else ''})"
    if status == 0x0000:
        return Answer(Fate.STORED)
    if status in (0x0001, 0x0107, 0x0116) or status >> 12 == 0xB:
        return Answer(Fate.STORED, f"Stored with a warning{said}.")
    if status == _DUPLICATE:
        return Answer(Fate.STORED, f"It was there already{said}.")
    if status in _LATER or status >> 8 == 0xA7:
        return Answer(Fate.WAITING, f"Not now: {_LATER.get(status, 'it is out of resources')}{said}.")
    if status >> 8 == 0xA9:
        return Answer(Fate.REFUSED, f"Refused: the data set does not match its SOP class{said}.")
    if status >> 12 == 0xC:
        return Answer(Fate.REFUSED, f"Refused: it cannot understand the object{said}.")
    return Answer(Fate.REFUSED, f"Refused: {_NEVER.get(status, 'it gives no reason that is known')}{said}.")


@contextmanager
def associated(
    node: Node, contexts: Sequence[PresentationContext], cancel: Cancel, **more: Any
) -> Iterator[Association]:
    """An association with a node, released at the end, aborted when it is called off. NotNow or Never where it fails.

    Where the node takes none of the contexts, what comes is not established and has no accepted contexts.
    """
    entity = AE(ae_title=node.calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = node.timeout_s
    entity.connection_timeout = node.timeout_s
    entity.requested_contexts = list(contexts)
    reached: list[object] = []
    handlers = [(evt.EVT_CONN_OPEN, lambda event: reached.append(event)), *more.pop("handlers", ())]
    tls = (_encryption(node), node.host) if node.tls else None
    association = entity.associate(
        node.host, node.port, ae_title=node.ae_title, evt_handlers=handlers, tls_args=tls, **more
    )
    if not association.is_established and not association.rejected_contexts:
        raise _failure(node, association, bool(reached))
    forget = cancel.on_cancel(association.abort)
    try:
        yield association
    finally:
        forget()
        if association.is_established:
            association.release()


def _failure(node: Node, association: Association, reached: bool) -> Exception:
    if association.is_rejected:
        said = association.acceptor.primitive
        why = (said.result_source or 0, said.diagnostic or 0) if said is not None else (0, 0)
        text = _REJECTED.get(why, "it gives no reason").format(calling=node.calling, called=node.ae_title)
        kind = Never if said is not None and said.result == 1 else NotNow
        return kind(f"It rejects the association: {text}.")
    if reached:
        return NotNow("It is there, but the association did not come about.")
    whom = "Nobody whose certificate is trusted" if node.tls else "Nobody"
    return NotNow(f"{whom} answers at {node.host}:{node.port}.")


def _encryption(node: Node) -> ssl.SSLContext:
    """TLS as PS3.15 B.9 wants it: 1.2 or later, the receiver's certificate checked. Never where files are amiss."""
    try:
        context = ssl.create_default_context(cafile=str(Path(node.ca).expanduser()) if node.ca else None)
        if node.cert:
            context.load_cert_chain(Path(node.cert).expanduser(), Path(node.key).expanduser())
    except (OSError, ssl.SSLError) as error:
        raise Never(f"The certificates for {node.name} cannot be used.") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def plain(error: Exception, node: Node) -> UserError:
    """What went wrong with a node, for the reader."""
    return UserError(f"{node.name}: {error}", "Ask whoever runs the receiver." if isinstance(error, Never) else "")
