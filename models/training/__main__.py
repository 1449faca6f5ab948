"""`python -m models.training make RECIPE`: train, export, evaluate and write the card, or one of these alone."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import tomlkit

from models.training import card, lgg, recipe
from models.training.evaluate import evaluate
from models.training.export import export, write_manifest
from models.training.train import Places, train

MODELS = Path(__file__).resolve().parents[1]
STEPS = ("make", "train", "export", "evaluate")


def main() -> int:
    """Read the command line and do the steps asked for, in their order."""
    parser = argparse.ArgumentParser(prog="python -m models.training", description=__doc__)
    parser.add_argument("step", choices=STEPS, help="one step, or all of them")
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="the folder with train/ and nifti/")
    parser.add_argument("--run", type=Path, help="checkpoint, weights and log (default: runs/NAME)")
    parser.add_argument("--out", type=Path, help="the model folder (default: models/ID)")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    chosen = recipe.read(arguments.recipe)
    places = Places(arguments.run or Path("runs") / chosen.name)
    folder = arguments.out or MODELS / chosen.name
    steps = STEPS[1:] if arguments.step == "make" else (arguments.step,)
    if "train" in steps:
        best = train(
            chosen, arguments.data / "train", places.folder, resume=arguments.resume, threads=arguments.threads
        )
        say(f"validation Dice {best:.4f}")
    if "export" in steps:
        export(chosen, places.best, arguments.data / "train", folder)
        say(f"{folder} written")
    if "evaluate" in steps:
        report(chosen, arguments.data, folder)
    return 0


def report(chosen: recipe.Recipe, data: Path, folder: Path) -> None:
    """Measure a model folder and write what was measured into its manifest and card."""
    measured = evaluate(chosen, data, folder)
    parts = lgg.split(lgg.names(data / "train" / chosen.bundle), chosen.seed)
    counts = {name: len(getattr(parts, name)) for name in ("train", "validation", "test")}
    parameters = sum(p.numel() for p in chosen.network().parameters())
    table = tomlkit.parse((folder / "model.toml").read_text("utf-8")).unwrap()
    agreement = {case["name"]: round(case["dice"], 3) for case in measured["elsewhere"]}
    table["results"] = {"parameters": parameters, "held_out": measured["held_out"], "consensus_dice": agreement}
    write_manifest(folder, table)
    card.write(folder, card.card(chosen, table, counts, measured))
    say(json.dumps({name: measured[name] for name in ("held_out", "elsewhere")}, indent=1))


def say(text: str) -> None:
    """Tell the person at the terminal."""
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
