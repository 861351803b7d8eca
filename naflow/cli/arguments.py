"""The arguments of the commands."""

from __future__ import annotations

import argparse
import math
from pathlib import Path
from typing import Any, NoReturn

from naflow import __version__
from naflow.cli.layers import BLOCKS
from naflow.cli.methods import NAMES
from naflow.errors import BadInput, near_names
from naflow.presets import PRESETS

_MODEL = (
    "a name of `naflow models`, torchvision:NAME, timm:NAME, hf:owner/name, hf:FOLDER, pypi:NAME, "
    "or package.module:factory of your own, which is imported (last of all from the current "
    "folder) and called: its code runs"
)
_LARGEST = 1 << 14  # pixels a side


class _Parser(argparse.ArgumentParser):
    """Raises BadInput for arguments that it cannot read, so that all errors look alike."""

    def error(self, message: str) -> NoReturn:
        raise BadInput(f"{message}. See `{self.prog} --help`.")

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Refuse unknown options here, as the parser around this one does not know the options."""
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            options = [option for action in self._actions for option in action.option_strings]
            word = unknown[0].partition("=")[0]
            raise BadInput(
                f"{word!r} is not known here.{near_names(word, options)} See `{self.prog} --help`."
            )
        return known, unknown


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole command line; it stores the command's name as `command`."""
    whole = _Parser("naflow", description="Where did this CNN look, layer by layer?")
    whole.add_argument("--version", action="version", version=f"naflow {__version__}")
    commands = whole.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _demo(commands.add_parser("demo", help="a published network on photographs, in one picture"))
    _models(commands.add_parser("models", help="networks there are, or all that is known of one"))
    _plan(commands.add_parser("plan", help="what an inversion will do and cost"))
    _explain(commands.add_parser("explain", help="attention maps of photos, layer by layer"))
    return whole


def _demo(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--out", type=Path, default=Path("naflow-demo"), help="folder for flow.png (naflow-demo)"
    )
    command.add_argument("--no-open", action="store_true", help="open no page in a browser")
    command.add_argument("--quiet", action="store_true", help="print only where the files are")


def _models(command: argparse.ArgumentParser) -> None:
    command.add_argument("name", nargs="?", help="print all that is known of this network")


def _plan(command: argparse.ArgumentParser) -> None:
    command.add_argument("--model", required=True, help=_MODEL)
    command.add_argument("--size", type=_side, help="side of the image in pixels")
    command.add_argument("--preset", default="selective", help=", ".join(PRESETS))


def _explain(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add("photos", nargs="+", type=Path, help="pictures, or folders of pictures")
    add("--model", default="efficientnet_lite0", help=f"{_MODEL} (default: efficientnet_lite0)")
    add("--weights", type=Path, help="your own checkpoint, read as data (default: published ones)")
    add("--random-weights", action="store_true", help="use random weights, to try things out")
    add("--labels", type=Path, help="a text file, one class name per line")
    add("--method", nargs="+", default=["naflow"], help=f"some of {', '.join(NAMES)}")
    add("--preset", help=f"of the method naflow: {', '.join(PRESETS)} (default: selective)")
    add(
        *("--target",),
        nargs="+",
        metavar="CLASS",
        help="index, name or part of a name of the class to explain (default: the predicted one); "
        "if several are given, each is contrasted with all other classes",
    )
    add("--reference", type=Path, help="for embeddings: explain the similarity to this photo")
    add(
        *("--against",),
        nargs="+",
        type=Path,
        metavar="PHOTO",
        help="with --reference: photos, or folders of photos; what they share with it cancels",
    )
    add(
        *("--layers",),
        nargs="+",
        default=[BLOCKS],
        metavar="LAYER",
        help="blocks (default), all, or names of layers as in `naflow plan`, also as 'layer4.*'",
    )
    add("--size", type=_side, help="side in pixels of the square that the network sees")
    add("--mean", nargs=3, type=_number, metavar=("R", "G", "B"), help="of the pixels, 0 to 1")
    add("--std", nargs=3, type=_number, metavar=("R", "G", "B"), help="of the pixels, 0 to 1")
    add("--device", default="auto", choices=("auto", "cpu", "cuda"))
    add("--batch", type=_count, default=1, help="photos explained at once (default: 1)")
    add(
        *("--out",),
        type=Path,
        default=Path("maps"),
        help="folder for pictures, maps and manifest.json (default: maps)",
    )
    add("--open", action="store_true", help="open a page of the photos where more can be explained")
    add("--quiet", action="store_true", help="print only errors")


def _count(word: str) -> int:
    if not word.isdecimal() or len(word) > 9 or int(word) < 1:
        raise argparse.ArgumentTypeError(f"{word[:40]!r} is not a number of 1 or more")
    return int(word)


def _side(word: str) -> int:
    side = _count(word)
    if side > _LARGEST:
        raise argparse.ArgumentTypeError(f"{word!r} is more than {_LARGEST} pixels")
    return side


def _number(word: str) -> float:
    try:
        value = float(word)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{word[:40]!r} is not a number")
    return value
