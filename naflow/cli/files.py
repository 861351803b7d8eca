"""What identifies files, how they are told of, and packages that may be missing."""

from __future__ import annotations

import hashlib
from importlib import import_module
from pathlib import Path

from naflow.errors import BadInput, printable

#: What is imported -> what is installed.
_PACKAGES = {"PIL": "pillow"}


def sha256(path: Path) -> str:
    """The sha256 of a file's content, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def shown(path: Path) -> str:
    """A path as text that can be printed, also where its bytes are no text, and on one line: what
    would move the cursor or colour the screen is written out."""
    return printable(path.as_posix())


def need(*modules: str, extra: str = "cli") -> None:
    """Raise BadInput, naming the extra to install, where a package is missing."""
    for module in modules:
        try:
            import_module(module)
        except ModuleNotFoundError as error:
            if error.name != module:
                raise
            package = _PACKAGES.get(module, module)
            raise BadInput(
                f"This needs {package}, which is not installed: pip install 'naflow[{extra}]'."
            ) from None


def reason(error: BaseException) -> str:
    """An exception that is not ours, in a few words."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
