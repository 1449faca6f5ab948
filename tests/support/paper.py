"""Reads the text of a PDF file by the file format alone (ISO 32000), with nothing of the library that wrote it."""

from __future__ import annotations

import base64
import re
import zlib


def _streams(pdf: bytes) -> dict[int, tuple[str, bytes]]:
    """Objects by number: their dictionary as text, and their stream, decoded."""
    found = {}
    for number, body in re.findall(rb"(\d+) 0 obj\s(.*?)endobj", pdf, re.DOTALL):
        head, _, data = body.partition(b"stream")
        data = data.strip(b"\r\n").removesuffix(b"endstream").rstrip(b"\r\n")
        if b"/ASCII85Decode" in head:
            data = base64.a85decode(data.strip().removesuffix(b"~>"))
        if b"/FlateDecode" in head:
            data = zlib.decompress(data)
        found[int(number)] = head.decode("latin-1"), data
    return found


def _letters(cmap: bytes) -> dict[int, str]:
    """A ToUnicode map: code → letters."""
    known: dict[int, str] = {}
    for block in re.findall(rb"beginbfrange(.*?)endbfrange", cmap, re.DOTALL):
        for first, last, values in re.findall(rb"<(\w+)>\s*<(\w+)>\s*(\[.*?\]|<\w+>)", block, re.DOTALL):
            texts = [bytes.fromhex(value.decode()).decode("utf-16-be") for value in re.findall(rb"<(\w+)>", values)]
            for at, code in enumerate(range(int(first, 16), int(last, 16) + 1)):
                known[code] = texts[at] if len(texts) > 1 else chr(ord(texts[0]) + at)
    for block in re.findall(rb"beginbfchar(.*?)endbfchar", cmap, re.DOTALL):
        for code, value in re.findall(rb"<(\w+)>\s*<(\w+)>", block):
            known[int(code, 16)] = bytes.fromhex(value.decode()).decode("utf-16-be")
    return known


def _literal(text: bytes) -> bytes:
    """A string in parentheses: octal codes and escaped characters."""

    def plain(match: re.Match[bytes]) -> bytes:
        code = match.group(1)
        named = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"f": b"\f"}
        return bytes([int(code, 8)]) if code[:1].isdigit() else named.get(code, code)

    return re.sub(rb"\\([0-7]{1,3}|.)", plain, text, flags=re.DOTALL)


def text_of(pdf: bytes) -> str:
    """All text of a file, a piece a line, in the order in which it is drawn."""
    assert pdf.startswith(b"%PDF-")
    assert pdf.rstrip().endswith(b"%%EOF")
    objects = _streams(pdf)
    fonts: dict[str, dict[int, str]] = {}
    for head, _ in objects.values():
        name, table = re.search(r"/Name /(\S+)", head), re.search(r"/ToUnicode (\d+) 0 R", head)
        if "/Type /Font" in head and name and table:
            fonts[name.group(1)] = _letters(objects[int(table.group(1))][1])
    said = []
    for head, _ in objects.values():
        if "/Type /Page\n" in head or re.search(r"/Type /Page\s*(/|>>)", head):
            contents = re.search(r"/Contents (\d+) 0 R", head)
            assert contents is not None
            font: dict[int, str] = {}
            drawn = objects[int(contents.group(1))][1]
            for name, text, end in re.findall(rb"/(\S+) [\d.]+ Tf|\(((?:\\.|[^\\)])*)\) Tj|(ET)", drawn, re.DOTALL):
                if name:
                    font = fonts.get(name.decode(), {})
                elif end:
                    said.append("\n")
                else:
                    said.append("".join(font.get(code, "�") for code in _literal(text)))
    return "".join(said)


def embedded(pdf: bytes) -> tuple[int, int]:
    """How many fonts are used, and how many of them are in the file."""
    heads = [head for head, _ in _streams(pdf).values()]
    return sum("/Type /FontDescriptor" in head for head in heads), sum("/FontFile2" in head for head in heads)
