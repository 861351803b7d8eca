"""What the profile in force says: which networks are shown, and each on which pictures."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from naflow.errors import BadInput

IN_FORCE = Path(__file__).resolve().parent.parent / "params.yaml"


def shown(path: str | Path | None = None) -> dict[str, str]:
    """Model -> the image set (conf/images) that it is shown on; None: under the profile in force.

    Raises BadInput for a file that is missing or no profile.
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
    """Whether maps are of the pictures that their model is shown on; None: whatever they are of.

    Maps of another profile stay in their folder when a network cannot be had any more.
    """
    images = manifest["settings"]["images"]["name"]
    return wanted is None or wanted.get(manifest["model"]) == images
