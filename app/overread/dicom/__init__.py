"""DICOM in and out: folders to studies, stacks to volumes, findings to SEG and SR."""

import sys
from typing import Any, cast

# pydicom imports what it would fetch its test files with, an eighth of the time until the window is there: not here.
_modules = cast("dict[str, Any]", sys.modules)
_barred = [name for name in ("requests", "tqdm") if name not in _modules]
_modules.update(dict.fromkeys(_barred))  # None bars an import
try:
    import pydicom  # noqa: F401
finally:
    for _name in _barred:
        del _modules[_name]
