"""The system's own parts: which shared libraries and tools are missing, which packages bring them, how to get them."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from shell import Host

# soname → the Debian and Ubuntu package, under every name it has gone by. First what Qt needs to open a window.
QT_NEEDS: dict[str, tuple[str, ...]] = {
    "libEGL.so.1": ("libegl1",),
    "libGL.so.1": ("libgl1",),
    "libX11-xcb.so.1": ("libx11-xcb1",),
    "libX11.so.6": ("libx11-6",),
    "libdbus-1.so.3": ("libdbus-1-3",),
    "libfontconfig.so.1": ("libfontconfig1",),
    "libfreetype.so.6": ("libfreetype6",),
    "libglib-2.0.so.0": ("libglib2.0-0", "libglib2.0-0t64"),
    "libgthread-2.0.so.0": ("libglib2.0-0", "libglib2.0-0t64"),
    "libxcb-cursor.so.0": ("libxcb-cursor0",),
    "libxcb-icccm.so.4": ("libxcb-icccm4",),
    "libxcb-image.so.0": ("libxcb-image0",),
    "libxcb-keysyms.so.1": ("libxcb-keysyms1",),
    "libxcb-randr.so.0": ("libxcb-randr0",),
    "libxcb-render-util.so.0": ("libxcb-render-util0",),
    "libxcb-render.so.0": ("libxcb-render0",),
    "libxcb-shape.so.0": ("libxcb-shape0",),
    "libxcb-shm.so.0": ("libxcb-shm0",),
    "libxcb-sync.so.1": ("libxcb-sync1",),
    "libxcb-util.so.1": ("libxcb-util1",),
    "libxcb-xfixes.so.0": ("libxcb-xfixes0",),
    "libxcb-xkb.so.1": ("libxcb-xkb1",),
    "libxcb.so.1": ("libxcb1",),
    "libxkbcommon-x11.so.0": ("libxkbcommon-x11-0",),
    "libxkbcommon.so.0": ("libxkbcommon0",),
}
PACKAGES = QT_NEEDS | {
    "libGLX.so.0": ("libglx0",),
    "libGLdispatch.so.0": ("libglvnd0",),
    "libOpenGL.so.0": ("libopengl0",),
    "libXau.so.6": ("libxau6",),
    "libXdmcp.so.6": ("libxdmcp6",),
    "libexpat.so.1": ("libexpat1",),
    "libgomp.so.1": ("libgomp1",),
    "libgssapi_krb5.so.2": ("libgssapi-krb5-2",),
    "libpng16.so.16": ("libpng16-16", "libpng16-16t64"),
    "libstdc++.so.6": ("libstdc++6",),
    "libwayland-client.so.0": ("libwayland-client0",),
    "libwayland-cursor.so.0": ("libwayland-cursor0",),
    "libwayland-egl.so.1": ("libwayland-egl1",),
    "libxcb-xinerama.so.0": ("libxcb-xinerama0",),
    "libxcb-xinput.so.0": ("libxcb-xinput0",),
    "libz.so.1": ("zlib1g",),
    "libzstd.so.1": ("libzstd1",),
}
# command → the package that brings it, for the tests alone
TEST_TOOLS = {"Xvfb": "xvfb", "xdotool": "xdotool", "dcmdump": "dcmtk", "dciodvfy": "dicom3tools", "openssl": "openssl"}
# file → the package that brings it, for the tests alone: a server in a folder that PATH may lack, and its plug-in
TEST_FILES = {
    "/usr/sbin/Orthanc": "orthanc",
    "/usr/share/orthanc/plugins/libOrthancDicomWeb.so": "orthanc-dicomweb",
}
FONT_PACKAGE = "fonts-dejavu-core"
FONT_FOLDERS = ("/usr/share/fonts", "/usr/local/share/fonts", "~/.local/share/fonts", "~/.fonts")

# What is asked, relative to site-packages. The plug-in for the display comes on top. Not ONNX Runtime's providers:
# those of the GPU build find CUDA only when the program has loaded it.
LOADED = (
    "PySide6/QtGui*.so",
    "PySide6/QtWidgets*.so",
    "cv2/*.so",
    "SimpleITK/*.so",
    "onnxruntime/capi/onnxruntime_py*.so",
)
PLUGINS = "PySide6/Qt/plugins/platforms"


@dataclass(frozen=True)
class Missing:
    """The packages to install, and the names of what no package is known for. False when nothing is missing."""

    packages: tuple[str, ...] = ()
    nameless: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.packages or self.nameless)

    def __add__(self, other: "Missing") -> "Missing":
        return Missing(_once(self.packages + other.packages), _once(self.nameless + other.nameless))

    def remedy(self, host: Host) -> str:
        """Say what to type to get what is missing."""
        words = []
        if self.packages and _has_apt(host):
            words.append(f"Type this once and start again:\n    sudo apt-get install -y {' '.join(self.packages)}")
        elif self.packages:
            words.append(f"Install what your system calls (Debian's names): {', '.join(self.packages)}.")
        if self.nameless:
            words.append(f"Your system lacks {', '.join(self.nameless)}; install the packages that bring them.")
        return "\n".join(words)


def not_found(ldd: str) -> tuple[str, ...]:
    """Read the sonames that the loader did not find out of what `ldd` printed."""
    return _once(line.split("=>")[0].strip() for line in ldd.splitlines() if line.rstrip().endswith("=> not found"))


def foreseen(host: Host) -> tuple[str, ...]:
    """Name the libraries that Qt will miss, as long as there is no Qt to ask."""
    listed = host.run("/sbin/ldconfig", "-p")
    there = {words[0] for line in listed.out.splitlines() if (words := line.split())}
    return () if listed.code else tuple(name for name in QT_NEEDS if name not in there)


def packages_for(host: Host, sonames: Iterable[str]) -> Missing:
    """Name the packages that bring ``sonames``, under the names that this release has for them."""
    wanted = tuple(sonames)
    choices = [PACKAGES[name] for name in wanted if name in PACKAGES]
    known = _known_to_apt(host, {name for choice in choices if len(choice) > 1 for name in choice})
    packages = _once(next((name for name in choice if name in known), choice[0]) for choice in choices)
    return Missing(packages, tuple(name for name in wanted if name not in PACKAGES))


def missing_libraries(host: Host, site_packages: Path) -> Missing:
    """Ask the loader what Qt and the other packages still need of the system, and look for a font."""
    if host.system != "Linux":
        return Missing()
    plugin = (
        "libqwayland.so" if host.environ.get("WAYLAND_DISPLAY") and not host.environ.get("DISPLAY") else "libqxcb.so"
    )
    files = [path for pattern in LOADED for path in site_packages.glob(pattern)]
    files += site_packages.glob(f"{PLUGINS}/{plugin}")
    gone = not_found(host.run("ldd", *map(str, files)).out) if files else foreseen(host)
    libraries = packages_for(host, gone)
    return libraries if has_font(host) else libraries + Missing((FONT_PACKAGE,))


def missing_test_tools(host: Host) -> Missing:
    """Name the packages of the tools that the tests call."""
    if host.system != "Linux":
        return Missing()
    gone = [package for tool, package in TEST_TOOLS.items() if not _has(host, tool)]
    gone += [package for file, package in TEST_FILES.items() if host.run("test", "-e", file).code]
    return Missing(tuple(gone))


def has_font(host: Host) -> bool:
    """Tell whether a single font is installed; without one Qt draws boxes in the place of letters."""
    listed = host.run("fc-list", timeout=60)
    if listed.code == 0:
        return bool(listed.out.strip())
    folders = [Path(name).expanduser() for name in FONT_FOLDERS]
    return any(next(folder.rglob(f"*.{end}"), None) for folder in folders for end in ("ttf", "otf", "ttc", "pfb"))


def supply(host: Host, missing: Callable[[], Missing]) -> Missing:
    """Install what is missing where that needs no password; give back what is missing still."""
    left = missing()
    rights = _rights(host) if left.packages else None
    if rights is None:
        return left
    host.say(f"Installing the system packages {' '.join(left.packages)}.")
    apt = (*rights, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=120")
    host.run(*apt, "update")
    packages = missing().packages  # the fresh lists may know better names
    install = (*apt, "install", "-y", "--no-install-recommends")
    if host.run(*install, *packages).code:
        for package in packages:  # one that this release lacks does not keep the others out
            answer = host.run(*install, package)
            if answer.code:
                words = (answer.err or answer.out).strip().splitlines() or ["no reason given"]
                host.say(f"apt-get could not install {package}: {words[-1]}")
    return missing()


def _rights(host: Host) -> tuple[str, ...] | None:
    """Give the words before `apt-get`, or nothing where it would ask for a password."""
    if not _has_apt(host):
        return None
    if host.run("id", "-u").out.strip() == "0":
        return ()
    return ("sudo", "-n") if host.run("sudo", "-n", "true").code == 0 else None


def _has_apt(host: Host) -> bool:
    return host.system == "Linux" and _has(host, "apt-get")


def _has(host: Host, command: str) -> bool:
    return host.run("sh", "-c", f"command -v {command}").code == 0


def _known_to_apt(host: Host, names: Iterable[str]) -> set[str]:
    """Tell which of ``names`` this release can install."""
    ordered = sorted(names)
    if not ordered:
        return set()
    known, name = set(), ""
    for line in host.run("apt-cache", "policy", *ordered, env={"LC_ALL": "C"}).out.splitlines():
        if not line.startswith(" "):
            name = line.rstrip(":")
        elif line.strip().startswith("Candidate:") and "(none)" not in line:
            known.add(name)
    return known


def _once(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(names))
