"""What an object must have by the standard's tables (PS3.3), as highdicom carries them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from highdicom import _standard_utils as tables  # no public way to them yet
from pydicom import Dataset
from pydicom.dataelem import RawDataElement

# Here the tables list what one of many kinds of group or content item needs, as if each one needed it.
_CHOICES = ("-functional-groups", "sr-document-content")


@lru_cache(maxsize=64)
def _tree(module: str) -> dict[str, Any]:
    return tables.construct_module_tree(module)


def missing(written: Dataset) -> list[str]:
    """Attributes of the mandatory modules that are not there, or empty where they must not be: keywords, with dots.

    Empty for a kind of object that the tables do not know.
    """
    kind = tables.get_sop_class_iod_map().get(str(written.SOPClassUID))
    modules = tables.get_iod_module_map()[kind] if kind else []
    needed = [item["key"] for item in modules if item["usage"] == "M" and not item["key"].endswith(_CHOICES)]
    return list(dict.fromkeys(absent for key in needed for absent in _absent(written, _tree(key), "", set())))


def _absent(written: Dataset, tree: dict[str, Any], path: str, seen: set[tuple[str, bytes]]) -> Iterator[str]:
    """What is not there of a module; `seen` are the places and bytes of sequences that were looked at."""
    for keyword, about in tree.get("attributes", {}).items():
        kind = about["type"].value
        if keyword not in written:
            if kind in ("1", "2"):
                yield path + keyword
            continue
        raw = written.get_item(keyword)
        held = raw.value if isinstance(raw, RawDataElement) and isinstance(raw.value, bytes) else b""
        if kind == "1" and not held.strip(b" \0") and written[keyword].is_empty:
            yield path + keyword
        if "attributes" not in about or (held and (path + keyword, held) in seen):
            continue
        seen.add((path + keyword, held))
        if written[keyword].VR == "SQ":
            for item in written[keyword].value:
                yield from _absent(item, about, f"{path}{keyword}.", seen)
