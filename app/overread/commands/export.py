"""`overread export`: what the reader accepted in a study, as DICOM and more; or a packet to try a receiver with."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from overread import paths
from overread.commands.answers import emit, files_answer, say
from overread.commands.deidentify import add_options, key_of, options_of
from overread.commands.demo import demo_folder
from overread.commands.engine import NOBODY, liked, reader
from overread.commands.journals import catalogue_of, journal_of, studies
from overread.commands.outbox import packet_answer, packet_line, queue
from overread.dicom.deidentify import Options
from overread.dicom.export import Terms, Written, shipment
from overread.dicom.nameless import Nameless
from overread.dicom.product import Product, planned
from overread.domain.errors import UserError
from overread.network.nodes import node_named
from overread.session.books import Books
from overread.session.leaving import left_before, note_export
from overread.session.packet import make_packet, parts
from overread.session.profiles import chosen, of_receiver
from overread.session.sending import outbox


def add(parser: argparse.ArgumentParser) -> None:
    """Its arguments."""
    parser.add_argument("study", nargs="?", type=Path, help="the study's folder")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the files go")
    parser.add_argument(
        "--profile",
        default="",
        metavar="NAME",
        help="what the receiver opens: a list of kinds by name; by default the one that --send's receiver names",
    )
    parser.add_argument("--only", default="", metavar="KIND,…", help="only these kinds of object")
    parser.add_argument(
        "--test-packet",
        type=Path,
        metavar="DIR",
        help="instead of a study: synthetic images with findings of every kind, to try a receiver with",
    )
    parser.add_argument("--rejected", action="store_true", help="the report also tells of what was rejected, and why")
    parser.add_argument(
        "--resample",
        action="store_true",
        help="slices sheared by a tilted gantry are resampled for kinds that need an upright grid",
    )
    parser.add_argument("--sign-off", action="store_true", help="the reader signs: the report is VERIFIED")
    parser.add_argument(
        "--deidentify", action="store_true", help="without the patient, as `overread deidentify` takes them out"
    )
    parser.add_argument(
        "--with-images", action="store_true", help="with --deidentify: the study's images leave as well"
    )
    add_options(parser)
    parser.add_argument("--send", default="", metavar="NODE", help="put the objects into the outbox for this receiver")
    parser.add_argument("--reader", default="", metavar="NAME", help="who exports")
    parser.add_argument("--json", action="store_true", help="one JSON object")


def run(arguments: argparse.Namespace) -> int:
    """Export a study, or make a test packet."""
    if (arguments.study is None) == (arguments.test_packet is None):
        raise argparse.ArgumentError(None, "Name a study and --out DIR, or --test-packet DIR.")
    if not arguments.deidentify and (arguments.with_images or options_of(arguments) != Options() or arguments.key):
        raise argparse.ArgumentError(None, "That says how to de-identify: add --deidentify.")
    if arguments.deidentify and arguments.test_packet is not None:
        raise argparse.ArgumentError(None, "A test packet is of nobody: there is nobody to take out.")
    only = [name.strip().lower() for name in arguments.only.split(",") if name.strip()]
    settings = liked()
    node = node_named(settings.nodes, arguments.send) if arguments.send else None  # before anything is written
    profile = arguments.profile
    if node is not None and not profile and not only:
        profile = of_receiver(settings.profiles, node)
    try:
        wanted = chosen(settings.profiles, profile, only)
    except UserError as error:
        raise argparse.ArgumentError(None, str(error)) from error
    if arguments.test_packet is not None:
        written: Sequence[Written] = make_packet(demo_folder(), arguments.test_packet, wanted)
    elif arguments.out is None:
        raise argparse.ArgumentError(None, "Where to? Name a folder with --out DIR.")
    else:
        written = _study(arguments, wanted)
    answer: dict[str, object] = {"files": files_answer(written)}
    lines = [f"{item.kind}: {item.path}" for item in written]
    if node is not None:
        box, files = outbox(), [item.path for item in written if item.sop_instance_uid]
        if arguments.test_packet is not None:  # what the objects lie on goes with them
            files = parts(arguments.test_packet, written)
        packet = queue(box, node, files)
        _note("send", f"{packet.kinds} to {node.name}", written, reader(arguments.reader).name)
        answer["packet"] = packet_answer(packet)
        lines.append(packet_line(packet, box.now()))
    if arguments.json:
        emit(answer)
    else:
        say(*lines)
    return 0


def _note(verb: str, label: str, written: Sequence[Written], who: str) -> None:
    """Put what was done with files into the journals of their studies, where there are any."""
    books = Books(paths.data() / "journals")
    try:
        for path, identity in {journal_of(item.identity): item.identity for item in written}.items():
            if path.exists():
                books.of(identity).journal.write(verb, label, who)
    finally:
        books.close()


def _study(arguments: argparse.Namespace, wanted: Sequence[Product]) -> list[Written]:
    """Export each series in which something was accepted: all of them, or none where one cannot be written."""
    exporting = reader(arguments.reader)
    if arguments.sign_off and exporting == NOBODY:
        raise argparse.ArgumentError(None, "Who signs? Name the reader with --reader NAME.")
    signer = exporting if arguments.sign_off else None
    how = None
    if arguments.deidentify:
        how = Nameless(key_of(arguments), options_of(arguments), arguments.with_images)
    terms = Terms(rejected=arguments.rejected, signed_by=signer, resample=arguments.resample, nameless=how)
    books = Books(paths.data() / "journals")
    written: list[Written] = []
    try:
        with catalogue_of(arguments.study) as catalogue, shipment(arguments.out, wanted, terms) as shipping:
            known = [who for who in studies(catalogue) if journal_of(who).exists()]
            findings = [finding for who in known for finding in books.of(who).findings]
            leaving = [finding for finding in findings if finding.status.leaves]
            for stack in catalogue.stacks:
                here = [finding for finding in findings if finding.stack_uid == stack.uid]
                plan = planned(stack, here, wanted, rejected=terms.rejected, resample=terms.resample)
                if not plan.carried and plan.remark:
                    sys.stderr.write(f"{stack.identity.series_description or stack.uid}: {plan.remark}\n")
                elif plan.carried:
                    judges = {f.reader for f in here if f.reader and f.status.leaves}
                    observer = judges.pop() if len(judges) == 1 else exporting  # who accepted, not who sends it
                    shipping.add(stack, here, observer, earlier=left_before(books.of(stack.identity).journal))
            left = {item.identity.study_uid for item in shipping.written}
            shipping.add_images([stack for stack in catalogue.stacks if stack.identity.study_uid in left])
            images = {stack.uid for stack in catalogue.stacks}
        written = shipping.written
        for who in known:
            own = [item for item in written if journal_of(item.identity) == journal_of(who)]
            if own:
                note_export(books.of(who).journal, own, exporting.name)
    except BaseException:
        for item in written:
            item.path.unlink(missing_ok=True)
        raise
    finally:
        books.close()
    absent = sum(finding.stack_uid not in images for finding in leaving)
    if absent:
        lost = UserError(
            f"{absent} of {len(leaving)} accepted findings lie on images that are not all here.",
            "Name the folder of the whole study.",
        )
        if not written:
            raise lost
        sys.stderr.write(f"{lost}\n")
    if not written:
        if leaving:
            raise UserError("None of the accepted findings has a place in these kinds.", "Choose other kinds.")
        raise UserError("Nothing was accepted in this study yet.", "Accept findings first.")
    return written
