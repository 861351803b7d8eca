"""timm's networks: `timm:resnet50.a1_in1k`, and repositories of the hub in timm's format."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from torch import nn

from naflow.errors import BadInput, NAFlowError, near_names
from naflow.models import checkpoint, fit
from naflow.models.card import Input
from naflow.models.imagenet import class_names
from naflow.models.origins.bounded import bounded
from naflow.models.origins.hub import WEIGHTS, Repository
from naflow.models.origins.origin import Fetched, Origin, Published
from naflow.needed import need

_IMAGENET = 1000  # classes


def origin(name: str) -> Origin:
    """Return the origin of a network of timm, by its name with or without the tag of its weights.

    Raises BadInput for an unknown name, with similar ones, and if timm is not installed.
    """
    need("timm", extra="timm")
    import timm

    if not timm.is_model(name):
        raise BadInput(f"timm has no model {name!r}.{near_names(name, timm.list_models())}")
    architecture, _, tag = name.partition(".")
    tags = [one.partition(".")[2] for one in timm.list_pretrained() if _of(one, architecture)]
    if tag and tag not in tags:
        raise BadInput(f"timm has no weights {tag!r} for {architecture}.{near_names(tag, tags)}")
    config = timm.get_pretrained_cfg(name)
    if config is None:
        raise BadInput(f"timm does not know the preprocessing of {name}: build it yourself.")
    facts = config.to_dict()
    # Without a repository only a pickle is published, which the user has to give as --weights.
    repository = Repository(config.hf_hub_id, f"timm:{name}", "timm") if config.hf_hub_id else None
    return _origin(f"timm:{name}", name, facts, repository, None)


def of_repository(repository: Repository, told: dict[str, Any], path: Path) -> Origin:
    """Return the origin of a hub's repository whose config.json, at `path`, is timm's.

    told: the content of config.json. Raises BadInput if timm does not know the network, if the
    config makes no sense, and if timm is not installed.
    """
    need("timm", extra="timm")
    import timm

    architecture = str(told.get("architecture"))
    if not timm.is_model(architecture):
        raise BadInput(f"{repository.said}: timm has no model {architecture!r}.")
    folder = f"local-dir:{path.parent}"
    arguments = told.get("model_args")
    for key, value in arguments.items() if isinstance(arguments, dict) else ():
        # With these timm leaves what the weights lack at random, and says nothing.
        if key.startswith("pretrained") or (key == "num_classes" and value != told.get(key)):
            raise BadInput(
                f"{repository.said}: {key!r} in the model_args of its config.json says how weights "
                "are loaded, which is not for it to say."
            )
    try:
        facts = dict(told) | dict(told.get("pretrained_cfg") or {})
        facts["num_classes"] = told.get("num_classes", facts.get("num_classes"))
        return _origin(repository.said, folder, facts, repository, repository.revision(path))
    except NAFlowError:
        raise
    except Exception:  # unusable settings can raise anything
        raise BadInput(f"{repository.said}: its config.json describes no network.") from None


def _of(pretrained: str, architecture: str) -> bool:
    return pretrained.partition(".")[0] == architecture


def _origin(
    said: str, name: str, facts: dict[str, Any], repository: Repository | None, revision: str | None
) -> Origin:
    def build(classes: int | None) -> nn.Module:
        return _created(said, name, {} if classes is None else {"num_classes": classes})

    def load(path: Path) -> nn.Module:
        state, _ = checkpoint.load_safetensors(path)
        # Given as one of timm's own files, so that timm renames the tensors of older files.
        overlay = {"state_dict": state, "source": "timm", "custom_load": False}
        network = _created(said, name, {"pretrained": True, "pretrained_cfg_overlay": overlay})
        fit.check_finite(network.state_dict(), path)
        return network.eval()

    published = None
    if repository is not None:

        def fetch(repository: Repository = repository) -> Fetched:
            return repository.weights(revision, str(facts.get("license") or ""))

        published = Published(repository.here(WEIGHTS, revision), fetch, load)
    count = facts.get("num_classes")
    if not (isinstance(count, int) and count > 0):
        raise BadInput(f"{said} has no classes: its weights give features only.")
    return Origin(said, build, _input(facts, said), _classes(facts), published=published)


def _created(said: str, name: str, settings: dict[str, Any]) -> nn.Module:
    import timm

    try:
        with bounded(said):
            return timm.create_model(name, **settings)
    except BadInput:
        raise
    except Exception as error:  # timm and the hub's files can raise anything
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = " ".join(lines[:2]) or type(error).__name__
        raise BadInput(f"{said} cannot be built by timm ({reason[:300]}).") from None


def _input(facts: dict[str, Any], said: str) -> Input:
    """Return the preprocessing at the size of training. Raises BadInput if the input is no RGB
    square, and Python's own errors for values that make no sense."""
    from timm.data.config import resolve_data_config

    seen = resolve_data_config({}, pretrained_cfg=facts)
    channels, height, width = seen["input_size"]
    mode = {"center": "crop", "squash": "stretch"}.get(seen["crop_mode"])
    if channels != 3 or height != width or mode is None or seen["interpolation"] not in _RESAMPLE:
        raise BadInput(
            f"{said} takes {channels} x {height} x {width}, {seen['crop_mode']}, "
            f"{seen['interpolation']}: naflow prepares squares of RGB, center or squash. In the "
            "library any model and any input can be explained: naflow.NAFlow(model)(images)."
        )
    resize = int(height / seen["crop_pct"])
    (r, g, b), (sr, sg, sb) = (map(float, seen[key]) for key in ("mean", "std"))
    if not (min(height, resize) > 0 and resize <= 1 << 14 and min(sr, sg, sb) > 0):
        raise ValueError
    return Input(
        height,
        f"timm's: to {resize} pixels ({seen['crop_mode']}), the middle {height}",
        (r, g, b),
        (sr, sg, sb),
        fit="crop" if mode == "crop" else "stretch",
        resize=resize,
        resample=seen["interpolation"],
    )


_RESAMPLE = ("bilinear", "bicubic", "nearest", "lanczos")


def _classes(facts: dict[str, Any]) -> list[str] | None:
    """Return the class names of the weights, else those of the ImageNet version with that many
    classes, else None."""
    from timm.data.imagenet_info import ImageNetInfo, infer_imagenet_subset

    names, texts = facts.get("label_names"), facts.get("label_descriptions")
    if isinstance(names, (list, tuple)):
        told = texts if isinstance(texts, dict) else {}
        return [str(told.get(name, name)) for name in names]
    if facts["num_classes"] == _IMAGENET:
        return class_names()
    subset = infer_imagenet_subset({"num_classes": facts["num_classes"]})
    return None if subset is None else list(ImageNetInfo(subset).label_descriptions())
