"""The badge says that slices leave the machine, and where they go."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from overread import paths
from overread.infer.manifest import read
from support.models import bright_model
from support.servers import model_of, recording
from support.window import Driver


def test_the_badge_says_plainly_that_slices_leave(driver_of: Callable[..., Driver], study: Path) -> None:
    spec = read(bright_model(paths.data() / "models", model_id="glioma-flair"))
    with recording({"glioma-flair": model_of(spec)}) as (target, _):
        paths.config().mkdir(parents=True)
        settings = f'[remote]\nurl = "grpc://{target}"\npolicy = "hybrid"\ndeadline_ms = 10000\n'
        (paths.config() / "settings.toml").write_text(settings, "utf-8")
        driver = driver_of(models=0)
        driver.open(study)
        driver.read()
        badge = driver.window.status_bar.badge
        assert "Server 127.0.0.1 fp32 · slices go there, without any header · " in badge.text()
        said = badge.toolTip().splitlines()
        assert said[0].startswith("Server 127.0.0.1 fp32 passed its self-test there: off by ")
        assert said[1] == "The slice's grey values, without any header, go to 127.0.0.1."
        assert badge.sizeHint().width() <= badge.width()
