"""STOW-RS: objects go to a DICOMweb service, one request an object (PS3.18 10.5)."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests
from dicomweb_client import DICOMwebClient
from pydicom import Dataset

from overread import tokens
from overread.domain.errors import UserError
from overread.domain.ports import Cancel
from overread.network.dimse import judged
from overread.network.nodes import Node
from overread.network.packets import Answer, Fate, Item, Never, NotNow

for _library in ("dicomweb_client", "retrying"):
    logging.getLogger(_library).setLevel(logging.CRITICAL)

# Answers after which the same request may succeed another time (RFC 9110, 6585): too slow, too early, too many.
_LATER = (408, 425, 429)
_WORDS = {
    401: "it does not know who we are",
    403: "we may not store there",
    404: "there is no such service at this address",
    409: "it stores none of it",
    413: "the object is too large",
    415: "it does not take DICOM objects",
}


def echo(node: Node) -> None:
    """Ask whether the service is there and lets us in, by a search for no more than one study. NotNow or Never."""
    with _client(node) as (client, answers):
        try:
            client.search_for_studies(limit=1)
        except (OSError, ValueError, KeyError) as error:
            status = answers[-1].status_code if answers else 0
            if status not in (200, 204):
                raise _failure(node, error, answers) from error


def store(
    node: Node, items: Sequence[Item], load: Callable[[Item], Dataset], cancel: Cancel
) -> Iterator[tuple[Item, Answer]]:
    """Send objects one after the other; each comes back with what the service said of it. NotNow or Never as in dimse.

    A request that is on its way is waited for, `node.timeout_s` at the longest.
    """
    with _client(node) as (client, answers):
        for item in items:
            if cancel.cancelled:
                raise NotNow("It was called off.")
            answers.clear()
            dataset = load(item)
            try:
                said = client.store_instances([dataset])
            except (OSError, ValueError, KeyError) as error:
                yield item, _refused(node, error, answers, item)
            else:
                yield item, _told(said, item, answers)


@contextmanager
def _client(node: Node) -> Iterator[tuple[DICOMwebClient, list[requests.Response]]]:
    """A client with the node's token and certificates, and the answers that came, newest last. Never."""
    answers: list[requests.Response] = []
    with requests.Session() as session:
        try:
            session.headers.update(tokens.headers(node.machine, node.token_file, node.token_env, node.token_header))
        except UserError as error:
            raise Never(str(error)) from error
        session.headers["Accept"] = "application/dicom+json"
        if node.ca:
            session.verify = str(Path(node.ca).expanduser())
        if node.cert:
            session.cert = (str(Path(node.cert).expanduser()), str(Path(node.key).expanduser()))
        session.max_redirects = 0  # neither objects nor tokens go where the settings do not say
        session.hooks["response"].append(lambda answer, **_: answers.append(answer))
        client = DICOMwebClient(node.url, session, timeout=node.timeout_s)
        client.set_http_retry_params(retry=False)  # the outbox tries again, and tells when
        yield client, answers


def _told(said: Dataset, item: Item, answers: list[requests.Response]) -> Answer:
    """Read the Store Instances Response Module (PS3.18 I.2.2): what failed comes first."""
    for failed in said.get("FailedSOPSequence") or ():
        if failed.get("ReferencedSOPInstanceUID") == item.sop_instance_uid:
            return judged(int(failed.get("FailureReason") or 0xC000))
    for stored in said.get("ReferencedSOPSequence") or ():
        if stored.get("ReferencedSOPInstanceUID") == item.sop_instance_uid:
            warning = stored.get("WarningReason")
            return judged(int(warning)) if warning else Answer(Fate.STORED)
    if answers and answers[-1].status_code == 200 and not said.get("FailedSOPSequence"):
        return Answer(Fate.STORED, "Taken, but the answer does not name the object.")
    return Answer(Fate.WAITING, "The answer does not say what became of the object.")


def _refused(node: Node, error: Exception, answers: list[requests.Response], item: Item) -> Answer:
    """An answer that is about this object alone; what is about all of them is raised."""
    answer = answers[-1] if answers else None
    if answer is not None and answer.status_code in (400, 409, 413, 415):
        said = _parsed(answer)
        if said is not None and said.get("FailedSOPSequence"):
            return _told(said, item, answers)
        words = _WORDS.get(answer.status_code, "it cannot understand the object")
        return Answer(Fate.REFUSED, f"Refused: {words} (HTTP {answer.status_code}).")
    raise _failure(node, error, answers) from error


def _parsed(answer: requests.Response) -> Dataset | None:
    if not re.match(r"application/(dicom\+)?json", answer.headers.get("Content-Type", "")):
        return None
    try:
        told: Any = answer.json()
        return Dataset.from_json(told[0] if isinstance(told, list) else told)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError):
        return None


def _failure(node: Node, error: Exception, answers: list[requests.Response]) -> Exception:
    if answers:
        status = answers[-1].status_code
        words = _WORDS.get(status, "it answers")
        if status in _LATER or status >= 500:
            return NotNow(f"It takes nothing at present (HTTP {status}).")
        return Never(f"It refuses: {words} (HTTP {status}).")
    if isinstance(error, requests.exceptions.SSLError):
        return Never(f"{node.machine} does not prove who it is: its certificate is not trusted.")
    if isinstance(error, requests.Timeout):
        return NotNow(f"No answer came from {node.machine} within {node.timeout_s:g} s.")
    if isinstance(error, OSError) and not isinstance(error, requests.RequestException):
        return Never(f"The certificates for {node.name} cannot be used.")
    return NotNow(f"Nobody answers at {node.machine}.")
