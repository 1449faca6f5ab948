"""`python -m models.training make RECIPE`: train, export, evaluate and write the card, or one of these alone.

`python -m models.training collections NAME --data PATH`: what a folder with a public collection holds.

`optimise` is a step of its own: it prunes and quantises what `train` and `export` made, and says what that is worth.
So is `explain`: it writes the explaining graph of a folder anew, which `export` does too, with the weights in its
model.onnx.

`train RECIPE --network NAME` trains another net in the place of the recipe's; `compare` measures such runs side by
side.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from models.training import card, compare, networks, recipe, recovered, report, task
from models.training.collections.command import READERS, summary
from models.training.optimise import optimise
from models.training.train import Places, train
from overread.domain.errors import UserError

MODELS = Path(__file__).resolve().parents[1]
MAKE = ("train", "export", "evaluate")
STEPS = {
    "make": "train, export and evaluate, the parts that the recipe names too",
    **dict.fromkeys(MAKE, "this step alone"),
    "optimise": "prune and quantise; ships what is faster and as good",
    "explain": "write explain.onnx anew, with the weights of model.onnx",
}


def main() -> int:
    """Read the command line and do the steps asked for, in their order."""
    parser = argparse.ArgumentParser(prog="python -m models.training", description=__doc__)
    commands = parser.add_subparsers(dest="step", required=True)
    for step, meaning in STEPS.items():
        command = commands.add_parser(step, help=meaning)
        command.add_argument("recipe", type=Path)
        command.add_argument("--data", type=Path, required=True, help="the folder with train/ and nifti/")
        command.add_argument(
            "--fold", type=int, default=0, help="which fold is held out; the shipped weights are fold 0's"
        )
        command.add_argument("--run", type=Path, help="checkpoint, weights and log (default: runs/ID-FOLD)")
        command.add_argument("--out", type=Path, help="the model folder (default: models/ID)")
        command.add_argument("--resume", action="store_true", help="go on from the checkpoint")
        command.add_argument("--threads", type=int, default=2)
        if step == "train":
            command.add_argument(
                "--network", choices=networks.names(), help="train this net; into runs/ID-NETWORK-FOLD"
            )
        if step == "optimise":
            command.add_argument("--steps", type=int, default=1000, help="of fine-tuning after each pruning")
    comparing = commands.add_parser("compare", help="the nets trained by one recipe, side by side")
    comparing.add_argument("recipe", type=Path)
    comparing.add_argument(
        "--networks", required=True, help="names with commas between; the recipe's own net comes first"
    )
    comparing.add_argument("--data", type=Path, required=True, help="the folder with train/")
    comparing.add_argument("--fold", type=int, default=0, help="which fold is held out")
    comparing.add_argument("--runs", type=Path, default=Path("runs"), help="where the runs are; the table goes there")
    listing = commands.add_parser("collections", help="what a folder with a public collection holds")
    listing.add_argument("name", choices=sorted(READERS))
    listing.add_argument("--data", type=Path, required=True, help="the collection as it was published")
    arguments = parser.parse_args()
    if arguments.step == "collections":
        return listed(arguments.name, arguments.data)
    chosen = recipe.read(arguments.recipe)
    if arguments.step == "compare":
        return compared(chosen, arguments)
    network = arguments.network if arguments.step == "train" else None
    places = Places(arguments.run) if arguments.run else Places.of(chosen, arguments.fold, network or "")
    if network:
        chosen = chosen.with_network(network)
    work = task.create(chosen, arguments.data, arguments.fold)
    folder = arguments.out or MODELS / chosen.name
    steps = MAKE if arguments.step == "make" else (arguments.step,)
    every = [(chosen, work, places)]
    if arguments.step == "make":
        for name in chosen.parts:
            part = recipe.read(arguments.recipe.parent / name)
            beside = Places.of(part, arguments.fold, runs=places.folder.parent)
            every.append((part, task.create(part, arguments.data, arguments.fold), beside))
    for one, its_work, its_places in every:
        if "train" in steps:
            best = train(one, its_work, its_places.folder, resume=arguments.resume, threads=arguments.threads)
            say(f"best validation score {best:.4f}")
        if "export" in steps:
            its_work.export(its_places.best, folder)
            (folder / report.VARIANTS).unlink(missing_ok=True)  # they were made of other weights
            say(f"{folder} written")
    if "evaluate" in steps:
        work.report(folder)
        if places.log.exists():
            report.learning_curves(places.log, folder / report.FIGURES / "learning.png")
            card.refresh(folder)
    if "explain" in steps:
        recovered.explain(work, chosen, folder)
        say(f"{folder / chosen.manifest['explain']['file']} written")
    if "optimise" in steps:
        table = optimise(chosen, work, places.best, folder, steps=arguments.steps, threads=arguments.threads)
        say(table.markdown())
    return 0


def listed(name: str, path: Path) -> int:
    """Say what a collection holds; 3 where it cannot be read, with the reason."""
    try:
        say(summary(READERS[name](path)))
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 3
    return 0


def compared(chosen: recipe.Recipe, arguments: argparse.Namespace) -> int:
    """Measure nets side by side; 3 where that cannot be, with the reason."""
    try:
        say(compare.compare(chosen, arguments.networks.split(","), arguments.data, arguments.fold, arguments.runs))
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 3
    return 0


def say(text: str) -> None:
    """Tell the person at the terminal."""
    sys.stdout.write(text + "\n")


if __name__ == "__main__":
    sys.exit(main())
