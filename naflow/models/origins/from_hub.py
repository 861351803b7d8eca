"""Classifiers of the Hugging Face hub: `hf:owner/name`, or `hf:FOLDER` with the same files.

transformers builds the network, only from its own code; the weights are safetensors.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from naflow.errors import BadInput
from naflow.models import fit
from naflow.models.origins import from_timm, processor
from naflow.models.origins.bounded import bounded
from naflow.models.origins.hub import WEIGHTS, Repository
from naflow.models.origins.origin import Origin, Published
from naflow.needed import need

_CLASSIFIER = "ForImageClassification"
#: Said by us, as a file could say it, too: numbers as the pictures have them, no kernel of a hub.
_OURS: dict[str, Any] = {"dtype": torch.float32, "attn_implementation": "eager"}


def origin(name: str) -> Origin:
    """Return the origin of a repository's network. Raises BadInput for one that is no image
    classifier, that brings its own code, or that is not available."""
    repository = Repository(name, f"hf:{name}", "hf")
    told, path = repository.json("config.json")
    if "architecture" in told:
        return from_timm.of_repository(repository, told, path)
    need("transformers", extra="hf")
    _check(told, repository)
    revision = repository.revision(path)
    settings, _ = repository.json("preprocessor_config.json", revision)

    def build(classes: int | None) -> nn.Module:
        return _built(path, repository, classes)

    def load(weights: Path) -> nn.Module:
        return _loaded(weights, repository)

    return Origin(
        f"hf:{name}",
        build,
        processor.wanted(settings, f"hf:{name}"),
        _classes(told),
        published=Published(
            repository.here(WEIGHTS, revision), lambda: repository.weights(revision), load
        ),
    )


def _check(told: dict[str, Any], repository: Repository) -> None:
    """Raise BadInput for a model that is no image classifier, or unknown to transformers itself."""
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING_NAMES

    kind = str(told.get("model_type"))
    if kind not in CONFIG_MAPPING_NAMES:
        code = (
            "brings code of its own, which is never run"
            if "auto_map" in told
            else "is unknown to the transformers that is installed"
        )
        raise BadInput(f"{repository.said}: its model type {kind!r} {code}.")
    if told.get("quantization_config") is not None:
        raise BadInput(f"{repository.said}: its weights are quantized, which is not explained.")
    classes = told.get("architectures")
    classes = classes if isinstance(classes, list) else []
    if not any(str(one).endswith(_CLASSIFIER) for one in classes):
        raise BadInput(
            f"{repository.said} is a {' and '.join(map(str, classes)) or kind}, no classifier of "
            "images: naflow explain takes networks that end in ForImageClassification. Use the "
            "library, with a score of your own, for other CNNs."
        )


def _built(path: Path, repository: Repository, classes: int | None) -> nn.Module:
    """The network that config.json, at `path`, describes, with random weights."""
    from transformers import AutoConfig, AutoModelForImageClassification

    try:
        config = AutoConfig.from_pretrained(path.parent, trust_remote_code=False)
        if classes is not None:
            config.num_labels = classes
        with bounded(repository.said):
            return AutoModelForImageClassification.from_config(
                config, trust_remote_code=False, **_OURS
            )
    except BadInput:
        raise
    except Exception as error:  # unusable settings can raise anything
        reason = str(error).partition("\n")[0] or type(error).__name__
        raise BadInput(f"{repository.said}: its config.json is not usable ({reason}).") from None


def _loaded(weights: Path, repository: Repository) -> nn.Module:
    """Load the network with all of its own weights."""
    from transformers import AutoModelForImageClassification
    from transformers.utils import logging

    bar = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with bounded(repository.said):
            network, told = AutoModelForImageClassification.from_pretrained(
                weights.parent,
                trust_remote_code=False,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
                **_OURS,
            )
    except BadInput:
        raise
    except Exception as error:  # a damaged or hostile file can raise anything
        reason = str(error).partition("\n")[0][:300]
        raise BadInput(f"{weights} cannot be loaded by transformers ({reason}).") from None
    finally:
        if bar:
            logging.enable_progress_bar()
    lacking = sorted(map(str, told["missing_keys"])) + sorted(map(str, told["mismatched_keys"]))
    if lacking:
        raise BadInput(
            f"{weights} does not fill {repository.said}: it lacks {', '.join(lacking[:3])}, which "
            "would stay random."
        )
    fit.check_finite(network.state_dict(), weights)
    return network.eval()


def _classes(told: dict[str, Any]) -> list[str] | None:
    names = told.get("id2label")
    if not isinstance(names, dict) or set(names) != {str(i) for i in range(len(names))}:
        return None
    return [str(names[str(i)]) for i in range(len(names))]
