"""The networks that the profile in use shows, and the image set of each."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from naflow.errors import BadInput

IN_FORCE = Path(__file__).resolve().parent.parent / "params.yaml"


def shown(path: str | Path | None = None) -> dict[str, str]:
    """Return model -> its image set (conf/images) by the profile `path`; None: the one in use.

    Raises BadInput if the file is missing or no profile.
    """
    path = IN_FORCE if path is None else path
    try:
        verified = yaml.safe_load(Path(path).read_text("utf-8"))["verified"]
        return {model: item["images"] for model, item in verified.items()}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, yaml.YAMLError) as error:
        raise BadInput(
            f"{path} is no profile ({error!r}): its entry `verified` says which network is shown "
            "on which pictures. Take a ready-made one: cp conf/profile/embedded.yaml params.yaml."
        ) from None


def current(manifest: Mapping[str, Any], wanted: Mapping[str, str] | None) -> bool:
    """Whether maps are of the image set that their model is shown on; always if `wanted` is None.

    Maps made under another profile stay in their folder when this one cannot replace them.
    """
    images = manifest["settings"]["images"]["name"]
    return wanted is None or wanted.get(manifest["model"]) == images
