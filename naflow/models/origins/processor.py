"""Translate transformers' preprocessor_config.json, read as data, into an Input."""

from __future__ import annotations

from typing import Any

from naflow.errors import BadInput
from naflow.models.card import Fit, Input, Resample

_RESAMPLE: dict[Any, Resample] = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic"}
_STRETCHES = ("ViT", "EfficientNet", "DeiT")  # those of _CROPS crop, some by their own rules below
_CROPS = ("Bit", "MobileNetV1", "MobileNetV2", "CLIP", "Levit", "ConvNext", "PoolFormer")
_CROP_PCT = 224 / 256  # transformers' own default


def wanted(told: dict[str, Any], said: str) -> Input:
    """Return the preprocessing that these settings describe for transformers' processor.

    told: the content of the file. Raises BadInput for a processor that is not known here, and for
    settings that make no sense.
    """
    name = str(told.get("image_processor_type") or told.get("feature_extractor_type") or "")
    for end in ("Fast", "Pil"):
        name = name.removesuffix(end)
    kind = name.removesuffix("ImageProcessor").removesuffix("FeatureExtractor")
    if kind not in _STRETCHES + _CROPS or told.get("do_rescale") is False:
        raise BadInput(
            f"{said}: the preprocessing of its {name or 'processor'} is not known here; give "
            "--size, --mean and --std with a function of your own (--model package.module:factory)."
        )
    try:
        return _input(told, kind)
    except Exception:  # unusable settings can raise anything
        raise BadInput(f"{said}: its preprocessor_config.json describes no input.") from None


def _input(told: dict[str, Any], kind: str) -> Input:
    fit, size, resize = _sides(told, kind)
    if not 0 < size <= resize <= 1 << 14:
        raise ValueError
    factor = 255 * float(told.get("rescale_factor") or 1 / 255)
    normalises = told.get("do_normalize", True)
    mean = [float(v) / factor for v in (told["image_mean"] if normalises else (0, 0, 0))]
    std = [float(v) / factor for v in (told["image_std"] if normalises else (1, 1, 1))]
    if kind == "EfficientNet" and told.get("include_top", True):
        std = [
            v * w for v, w in zip(std, told["image_std"], strict=True)
        ]  # transformers divides twice
    (r, g, b), (sr, sg, sb) = mean, std
    if not min(std) > 0:
        raise ValueError
    said = f"transformers' {kind}: {fit} to {resize} pixels, the middle {size}"
    resample = _RESAMPLE[told.get("resample", 2)]
    return Input(size, said, (r, g, b), (sr, sg, sb), fit=fit, resize=resize, resample=resample)


def _sides(told: dict[str, Any], kind: str) -> tuple[Fit, int, int]:
    """Return how a picture is fitted, the side of the final square, and the side to resize to
    before cropping."""
    side = _side(told["size"])
    if kind == "ConvNext":
        share = float(told.get("crop_pct") or _CROP_PCT)
        return ("stretch", side, side) if side >= 384 else ("crop", side, int(side / share))
    if kind == "PoolFormer":
        return "crop", _side(told["crop_size"]), int(side / float(told.get("crop_pct") or 0.9))
    if kind == "Levit":
        return "crop", _side(told.get("crop_size", side)), int(256 / 224 * side)
    shortest = kind in _CROPS and not (isinstance(told["size"], dict) and "height" in told["size"])
    if not told.get("do_center_crop", kind in _CROPS):
        if shortest:
            raise ValueError  # the network would get pictures of any shape
        return "stretch", side, side
    return "crop" if shortest else "stretch", _side(told["crop_size"]), side


def _side(size: Any) -> int:
    if isinstance(size, int):
        return size
    if "shortest_edge" in size:
        return int(size["shortest_edge"])
    if size["height"] != size["width"]:
        raise ValueError
    return int(size["height"])
