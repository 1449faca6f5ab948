"""`python -m models.training make RECIPE`: train, export, evaluate and write the card, or one of these alone."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from models.training import recipe, task
from models.training.train import Places, train

MODELS = Path(__file__).resolve().parents[1]
STEPS = ("make", "train", "export", "evaluate")


def main() -> int:
    """Read the command line and do the steps asked for, in their order."""
    parser = argparse.ArgumentParser(prog="python -m models.training", description=__doc__)
    parser.add_argument("step", choices=STEPS, help="one step, or all of them")
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--data", type=Path, required=True, help="the folder with train/ and nifti/")
    parser.add_argument("--fold", type=int, default=0, help="which fold is held out; the shipped weights are fold 0's")
    parser.add_argument("--run", type=Path, help="checkpoint, weights and log (default: runs/NAME-FOLD)")
    parser.add_argument("--out", type=Path, help="the model folder (default: models/ID)")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoint")
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    chosen = recipe.read(arguments.recipe)
    work = task.create(chosen, arguments.data, arguments.fold)
    places = Places(arguments.run or Path("runs") / f"{chosen.name}-{arguments.fold}")
    folder = arguments.out or MODELS / chosen.name
    steps = STEPS[1:] if arguments.step == "make" else (arguments.step,)
    if "train" in steps:
        best = train(chosen, work, places.folder, resume=arguments.resume, threads=arguments.threads)
        say(f"best validation score {best:.4f}")
    if "export" in steps:
        work.export(places.best, folder)
        say(f"{folder} written")
    if "evaluate" in steps:
        work.report(folder)
    return 0


def say(text: str) -> None:
    """Tell the person at the terminal."""
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
