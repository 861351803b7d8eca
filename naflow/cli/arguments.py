"""The words that the commands understand."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NoReturn

from naflow import __version__
from naflow.cli.methods import METHODS
from naflow.errors import BadInput
from naflow.inverses.config import PRESETS

_MODEL = "a name of `naflow models`, torchvision:NAME, or package.module:factory of your own"


class _Parser(argparse.ArgumentParser):
    """Raises BadInput for what it cannot read, so that every refusal looks alike."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}. See `{self.prog} --help`.")


def parser() -> argparse.ArgumentParser:
    """The parser of the whole command line; its answer has the command's name in `command`."""
    whole = _Parser("naflow", description="Where did this CNN look, layer by layer?")
    whole.add_argument("--version", action="version", version=f"naflow {__version__}")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _models(commands.add_parser("models", help="networks there are, or all that is known of one"))
    _plan(commands.add_parser("plan", help="what an inversion will do and cost"))
    _explain(commands.add_parser("explain", help="attention maps of photos, layer by layer"))
    return whole


def _models(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", nargs="?", help="print all that is known of this network")


def _plan(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", required=True, help=_MODEL)
    command.add_argument("--size", type=_count, help="side of the image in pixels")
    command.add_argument("--preset", default="selective", help=", ".join(PRESETS))


def _explain(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("photos", nargs="+", type=Path, help="pictures, or folders of pictures")
    add("--model", required=True, help=_MODEL)
    add("--weights", type=Path, help="a published checkpoint, a state dict, or .safetensors")
    add("--random-weights", action="store_true", help="do without weights, to try things out")
    add("--labels", type=Path, help="a text file, one class name a line")
    add("--method", nargs="+", default=["naflow"], help=f"some of {', '.join(METHODS)}")
    add("--preset", help=f"of the method naflow: {', '.join(PRESETS)} (default: selective)")
    add("--target", help="index or name of the class to explain (default: the predicted one)")
    add("--reference", type=Path, help="for embeddings: why does a photo resemble this one?")
    add("--layers", nargs="+", help="layers to draw, as `naflow plan` names them (default: all)")
    add("--size", type=_count, help="side in pixels of the square that the network sees")
    add("--mean", nargs=3, type=float, metavar=("R", "G", "B"), help="of the pixels, 0 to 1")
    add("--std", nargs=3, type=float, metavar=("R", "G", "B"), help="of the pixels, 0 to 1")
    add("--device", default="auto", choices=("auto", "cpu", "cuda"))
    add("--batch", type=_count, default=1, help="photos explained at once (default: 1)")
    add("--out", type=Path, required=True, help="folder for pictures, maps and manifest.json")
    add("--quiet", action="store_true", help="say nothing but what went wrong")


def _count(word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word!r} is not a number of 1 or more")
    return int(word)
