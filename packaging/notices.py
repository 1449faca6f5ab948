"""Write THIRD_PARTY_NOTICES.md from what the installed packages say of themselves.

    .venv/bin/python packaging/notices.py

What they say vaguely or not at all stands in the tables below, kept by hand.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
NOTICES = ROOT / "THIRD_PARTY_NOTICES.md"

# Where the metadata is vague, or silent on what the wheel carries.
LICENCES = {
    "colorama": "BSD-3-Clause",
    "flatbuffers": "Apache-2.0",
    "imagecodecs": "BSD-3-Clause; codecs under their own, see below",
    "nvidia-*": "NVIDIA's own terms (CUDA Toolkit and cuDNN); not free software",
    "onnxruntime": "MIT",
    "onnxruntime-gpu": "MIT",
    "openvino": "Apache-2.0",
    "openvino-telemetry": "Apache-2.0",
    "opencv-python-headless": "Apache-2.0; FFmpeg inside under LGPL-2.1-or-later, see below",
    "protobuf": "BSD-3-Clause",
    "psygnal": "BSD-3-Clause",
    "pydicom": "MIT",
    "pyjpegls": "MIT; CharLS inside under BSD-3-Clause",
    "pyqtgraph": "MIT",
    "pyside6-essentials": "LGPL-3.0-only (chosen of LGPL-3.0 or GPL), see below",
    "scipy": "BSD-3-Clause",
    "shiboken6": "LGPL-3.0-only (chosen of LGPL-3.0 or GPL), see below",
    "simpleitk": "Apache-2.0 (SimpleITK and ITK)",
    "tensorrt-cu13": "NVIDIA's own terms (TensorRT); not free software",
}
USES = {
    "dicom-anonymizer": "the basic confidentiality profile of PS3.15",
    "dicomweb-client": "STOW-RS to a PACS",
    "pillow": "lines of the report in scripts that run from right to left, or are drawn",
    "pynetdicom": "C-ECHO, C-STORE and storage commitment with a PACS",
    "reportlab": "the report as PDF",
    "scikit-image": "random walker, watershed and shapes for the editing tools",
    "vtk": "surfaces of findings",
    "highdicom": "DICOM segmentations and structured reports",
    "imagecodecs": "JPEG, JPEG-LS, JPEG 2000 and RLE frames",
    "matplotlib": "its fonts, DejaVu, for the report",
    "numpy": "all arrays",
    "opencv-python-headless": "scaling and drawing of pictures",
    "platformdirs": "where settings and the journal lie",
    "psygnal": "events between the session and the views",
    "pydicom": "reading and writing DICOM",
    "pyqtgraph": "charts",
    "pyside6-essentials": "the desktop: Qt and its Python bindings",
    "scipy": "convex hulls, filters of the synthetic head",
    "simpleitk": "connected parts, resampling",
    "tomlkit": "settings and model descriptions",
}
# What the extras bring, of which a machine has some: it cannot be asked of the installed packages.
EXTRAS = {
    "onnxruntime": "runs the models (extra cpu)",
    "onnxruntime-gpu": "runs the models on NVIDIA GPUs (extra gpu, in the place of onnxruntime)",
    "openvino": "runs the models on processors, Intel's GPUs and NPUs, optional (extra openvino)",
    "openvino-telemetry": "needed by openvino; Overread keeps it from being loaded",
    "tensorrt-cu13": "TensorRT engines, optional (extra gpu)",
    "nvidia-*": "CUDA and cuDNN libraries, optional (extra gpu)",
    "flatbuffers": "needed by onnxruntime",
    "protobuf": "needed by onnxruntime and tritonclient",
    "tritonclient": "speaks with inference servers, optional (extra remote)",
    "grpcio": "needed by tritonclient",
    "ml-dtypes": "needed by tritonclient",
    "python-rapidjson": "needed by tritonclient",
    "urllib3": "needed by tritonclient",
}

TEXT = """\
# Third-party notices

Overread itself is under the Apache License 2.0 (`LICENSE`). It is installed together with the packages below, each
under its own licence; none of them is changed. The full texts come with each package, in its `.dist-info` folder or
beside its files. This page is written by `packaging/notices.py`.

| Package | Licence | Use |
|---|---|---|
{rows}

What only builds, trains or tests the program (PyTorch, ONNX, pytorch-grad-cam, pytest, ruff, mypy, dcmqi
and so on) is not handed on with it. Models and the data behind them: `models/<id>/CARD.md` and `model.toml`.

## Qt and PySide6 (LGPL-3.0)

Overread uses Qt, PySide6 and Shiboken under the GNU Lesser General Public License version 3, unmodified and as
separate shared libraries, loaded when the program starts. You may replace them with your own build: install another
PySide6 of the same series into the environment (`.venv/bin/python -m pip install …`), or put your libraries in the
place of those in `PySide6/Qt/lib` (in a packaged program: the folder of the same name beside it). Nothing in
Overread forbids or hinders that, nor finding out how it works in order to mend it. Sources:
<https://download.qt.io/official_releases/QtForPython/>. Licence texts: <https://www.gnu.org/licenses/lgpl-3.0.html>
and <https://www.gnu.org/licenses/gpl-3.0.html>.

## OpenCV

OpenCV is under the Apache License 2.0. Its wheel carries FFmpeg (libavcodec, libavformat, libavutil, libswscale,
libswresample) under LGPL-2.1-or-later as separate shared libraries, which Overread does not call and which may be
replaced in the same manner, and other libraries listed in its `LICENSE-3RD-PARTY.txt`.

## ITK

SimpleITK and the Insight Toolkit are under the Apache License 2.0 (Copyright NumFOCUS). ITK carries GDCM, the
Independent JPEG Group's software, libpng, libtiff, zlib, Expat, HDF5, VNL and others under permissive licences.

## imagecodecs

imagecodecs is under BSD-3-Clause (Copyright Christoph Gohlke). It carries some forty codec libraries, among them
libjpeg-turbo, CharLS, OpenJPEG, OpenJPH, libjxl, libaec, libtiff, libpng, libwebp, zlib and Zstandard, under
permissive licences, all of them in its folder `licenses`.

## SNOMED CT, DICOM, UCUM

`resources/codes.csv` holds concepts that DICOM PS3.16 names, taken from pydicom's tables (MIT) by `packaging/codes.py`.
SNOMED CT concepts are used there under the agreement between DICOM and SNOMED International, which lets DICOM objects
and the software that makes them use that subset without a fee; SNOMED CT is a trademark of SNOMED International.
"""


# The extras that are there when Overread runs.
_RUN = ("cpu", "gpu", "openvino", "remote")


def names(requirements: list[str]) -> list[str]:
    """Give the package names in ``requirements``."""
    return [canonicalize_name(Requirement(line).name) for line in requirements]


def project() -> dict[str, list[str]]:
    """Read what Overread asks for at run time: the dependencies, and the extras that bring engines."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {"": table["dependencies"], **{name: table["optional-dependencies"][name] for name in _RUN}}


def closure(roots: list[str]) -> dict[str, str]:
    """Find every installed package that ``roots`` bring with them, and who asked for it first."""
    found: dict[str, str] = dict.fromkeys(roots, "")
    waiting = list(roots)
    while waiting:
        name = waiting.pop(0)
        for needed in _needs(name):
            if needed not in found:
                found[needed] = name
                waiting.append(needed)
    return found


def _needs(name: str) -> Iterator[str]:
    try:
        lines = metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return
    for line in lines:
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield canonicalize_name(requirement.name)


def declared(name: str) -> str:
    """Give the licence that an installed package states: the expression, else the classifiers, else the first line."""
    info = metadata.metadata(name)
    expression, free = info.get_all("License-Expression") or [], info.get_all("License") or []
    stated = [line.split(" :: ")[-1] for line in info.get_all("Classifier") or [] if line.startswith("License ::")]
    return "; ".join(expression or stated or [text.split("\n")[0] for text in free])


def gpl_only(licence: str) -> bool:
    """Tell whether ``licence`` leaves no other choice than the GPL or AGPL (the LGPL is another licence)."""
    strict = re.compile(r"(?<!L)GPL(?!\S* WITH GCC-exception)|(?<!Lesser )General Public License")
    return all(strict.search(choice) for choice in re.split(r"\bOR\b", licence))


def rows() -> list[tuple[str, str, str]]:
    """List name, licence and use of everything that runs with Overread."""
    found = closure(names(project()[""]))
    uses = {name: USES.get(name) or f"needed by {by}" for name, by in found.items()} | EXTRAS
    return [(name, LICENCES.get(name) or declared(name), uses[name]) for name in sorted(uses)]


def page() -> str:
    """Write the whole page."""
    return TEXT.format(rows="\n".join(f"| {' | '.join(row)} |" for row in rows()))


if __name__ == "__main__":
    NOTICES.write_text(page(), encoding="utf-8")
    print(f"{len(rows())} packages in {NOTICES.relative_to(ROOT)}")
    sys.exit(0)
