"""Packages that an origin needs and that may be missing."""

from __future__ import annotations

from importlib import import_module

from naflow.errors import BadInput


def need(module: str, extra: str) -> None:
    """Raise BadInput, naming the extra to install, where a package is missing."""
    try:
        import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module:
            raise
        raise BadInput(
            f"This needs {module}, which is not installed: pip install 'naflow[{extra}]'."
        ) from None
