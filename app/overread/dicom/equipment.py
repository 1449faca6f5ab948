"""What every object that we make says of what made it."""

from __future__ import annotations

from typing import Any

from overread import __version__

MANUFACTURER = "Overread"
MODEL_NAME = "Overread (not for clinical use)"


def equipment() -> dict[str, Any]:
    """The Enhanced General Equipment module (PS3.3 C.7.5.2) by the names that highdicom has for its attributes."""
    return {
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": MODEL_NAME,
        "software_versions": __version__,
        "device_serial_number": __version__,
    }
