"""Save the results of a rehearsal, so that another one resumes from them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any


def kept(path: Path, make: Callable[[], Any], good: Callable[[Any], bool] = lambda it: True) -> Any:
    """Return the result of `make` as JSON: read from `path` if it exists, else saved if good."""
    if path.exists():
        return json.loads(path.read_text())
    made = make()
    if good(made):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(made, indent=1))
    return json.loads(json.dumps(made))
