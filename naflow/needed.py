"""Packages that may be missing."""

from __future__ import annotations

from importlib import import_module

from naflow.errors import BadInput

#: What is imported -> what is installed.
_PACKAGES = {"PIL": "pillow"}


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
