"""The scripts of docs/method-study, which are no package, as modules."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

FOLDER = Path(__file__).parents[1] / "docs" / "method-study"


def script(name: str) -> ModuleType:
    """Run docs/method-study/NAME.py without its main; return it as a module."""
    spec = spec_from_file_location(name, FOLDER / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
