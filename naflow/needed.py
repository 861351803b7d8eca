"""Check for optional packages."""

from __future__ import annotations

from importlib import import_module

from naflow.errors import BadInput

#: Name of the module -> name of the package that pip installs, where they differ.
_PACKAGES = {"PIL": "pillow"}


def need(*modules: str, extra: str = "cli") -> None:
    """Raise BadInput, naming the extra to install, if one of these modules cannot be imported."""
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
