"""torchvision's classifiers: `torchvision:resnet50`, or `torchvision:resnet50@IMAGENET1K_V1`."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import torch
from torch import nn

from naflow.errors import BadInput, near_names
from naflow.models.card import Input
from naflow.models.origins.origin import Fetched, Origin, Published, filled
from naflow.needed import need

_LICENCE = "BSD-3-Clause (torchvision's; trained on ImageNet, which has terms of its own)"
_LARGEST = 8192  # megabytes, for an entry that does not say how many it has


def origin(spec: str) -> Origin:
    """Return the origin of, for example, resnet50, with its DEFAULT weights, or
    resnet50@IMAGENET1K_V1.

    Raises BadInput for an unknown network or entry of weights, and for a model that is no image
    classifier.
    """
    need("torchvision", extra="cli")
    from torchvision import models

    name, at, entry = spec.partition("@")
    known = models.list_models(module=models)
    if name not in known:
        if name in models.list_models():
            raise BadInput(
                f"torchvision:{name} is no image classifier (but a detector, or a model for "
                "segmentation or videos, or a quantized one). Use the library, as "
                "naflow.NAFlow(model), for those that it can explain."
            )
        raise BadInput(f"torchvision has no model {name!r}.{near_names(name, known)}")
    entries: Any = models.get_model_weights(name)
    if at and entry not in entries.__members__:
        raise BadInput(
            f"torchvision has no weights {entry!r} for {name}."
            f"{near_names(entry, entries.__members__)}"
        )
    weights = entries[entry or "DEFAULT"]

    def build(classes: int | None) -> nn.Module:
        settings = {} if classes is None else {"num_classes": classes}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the initial weights of later versions
            network: Any = models.get_model(name, weights=None, **settings)
        if hasattr(network, "transform_input"):
            network.transform_input = True  # as torchvision sets it for its own weights
        return network

    def load(path: Path) -> nn.Module:
        return filled(build(None), path, f"torchvision:{name}").eval()

    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlsplit(weights.url).path).name
    published = Published(path.is_file(), lambda: _fetched(name, weights, path), load)
    categories = weights.meta["categories"]
    return Origin(f"torchvision:{spec}", build, _input(weights), categories, published=published)


def _input(weights: Any) -> Input:
    seen = weights.transforms()
    [size], [resize] = seen.crop_size, seen.resize_size
    return Input(
        size,
        f"resize the shorter side to {resize}, crop the middle {size}",
        tuple(seen.mean),
        tuple(seen.std),
        fit="crop",
        resize=resize,
        resample=seen.interpolation.value,
    )


def _fetched(name: str, weights: Any, path: Path) -> Fetched:
    """Return the published file in torch.hub's folder, downloaded if it is not there."""
    sha256 = path.stem.rsplit("-", 1)[-1]  # the first digits
    if not path.is_file():
        need("requests", extra="cli")
        from naflow.models.origins.conversation import Interrupted, Refused
        from naflow.models.origins.transfer import download

        megabytes = weights.meta.get("_file_size", _LARGEST)
        try:
            download(weights.url, path, int(1.5 * megabytes * 2**20), sha256)
        except OSError as error:
            raise BadInput(
                f"The weights of torchvision:{name} could not be written to {path} "
                f"({error.strerror or error}): mend that, set TORCH_HOME to another folder, or "
                "give a file as --weights."
            ) from None
        except (Refused, Interrupted) as error:
            raise BadInput(
                f"The weights of torchvision:{name} could not be downloaded from {weights.url} "
                f"({error}): connect this machine, or download the file elsewhere and put it at "
                f"{path}, or give one as --weights."
            ) from None
    file = Fetched.of(path, weights.url, weights.meta.get("license", _LICENCE))
    if not file.sha256.startswith(sha256):
        raise BadInput(f"{path} is not the file that was published: remove it, and try again.")
    return file
