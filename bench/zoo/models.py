"""The models of the table, untrained: torchvision's, timm's and those of five more packages.

For a package that is not installed, one line takes the place of its models.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import nn


@dataclass(frozen=True)
class Entry:
    """One model of the table.

    name      "package: model"
    build     builds it with random weights
    size      side of the images, in pixels
    kind      "cnn": gives a class; "segmentation": gives a class for every pixel; "transformer":
              must be refused; "mixed": may be explained or refused
    channels  of the images
    """

    name: str
    build: Callable[[], nn.Module]
    size: int = 96
    kind: str = "cnn"
    channels: int = 3


#: distribution -> the module that is imported
PACKAGES = {
    "torchvision": "torchvision",
    "timm": "timm",
    "segmentation-models-pytorch": "segmentation_models_pytorch",
    "transformers": "transformers",
    "torchxrayvision": "torchxrayvision",
    "facenet-pytorch": "facenet_pytorch",
    "ultralytics": "ultralytics",
}

TIMM = [
    "resnet18", "resnet26d", "resnetaa34d", "resnetrs50", "resnet51q", "resnet33ts",
    "seresnet33ts", "resnext26ts", "eca_resnext26ts", "seresnext26d_32x4d", "legacy_seresnet18",
    "ecaresnet26t", "resnetv2_50", "resnetv2_50d_gn", "resnetblur50", "resnet50_clip",
    "tresnet_m", "tf_efficientnet_b0", "tf_efficientnet_lite0", "tf_efficientnetv2_b0",
    "efficientnetv2_rw_t", "efficientnet_es", "gc_efficientnetv2_rw_t", "dm_nfnet_f0", "nfnet_l0",
    "eca_nfnet_l0", "nf_resnet26", "nf_regnet_b0", "hrnet_w18_small", "regnetx_002",
    "regnety_002", "regnetz_b16", "regnetv_040", "convnext_atto", "convnext_atto_ols",
    "convnextv2_atto", "mobilenetv1_100", "mobilenetv2_050", "mobilenetv3_small_050",
    "mobilenetv4_conv_small", "mobilenetv4_hybrid_medium", "mobileone_s0", "repvgg_a0",
    "repvit_m0_9", "repghostnet_050", "ghostnet_050", "ghostnetv2_100", "ghostnetv3_050", "dla34",
    "dla46_c", "dla60_res2net", "dpn48b", "dpn68", "res2net50_14w_8s", "res2next50", "resnest14d",
    "skresnet18", "selecsls42b", "gcresnet33ts", "gcresnext26ts", "gernet_s",
    "ese_vovnet19b_slim", "ese_vovnet19b_dw", "cspresnet50", "cspresnext50", "cspdarknet53",
    "cs3darknet_s", "darknet53", "xception41", "legacy_xception", "inception_v3", "inception_v4",
    "inception_resnet_v2", "inception_next_atto", "hardcorenas_a", "fbnetc_100", "fbnetv3_b",
    "tinynet_e", "lcnet_050", "mixnet_s", "tf_mixnet_s", "rexnet_100", "rexnetr_100",
    "botnet26t_256", "eca_botnext26ts_256", "lambda_resnet26t", "halonet26t", "sehalonet33ts",
    "haloregnetz_b", "bat_resnext26ts", "edgenext_xx_small", "poolformer_s12", "poolformerv2_s12",
    "convformer_s18", "mnasnet_small", "semnasnet_050", "spnasnet_100", "mobilevit_xxs",
    "mobilevitv2_050", "fastvit_t8", "efficientformer_l1", "efficientformerv2_s0",
    "efficientvit_b0", "visformer_tiny", "nextvit_small", "vgg11", "densenet121",
    "densenetblur121d", "mambaout_femto", "starnet_s1", "hgnet_tiny", "hgnetv2_b0",
    "focalnet_tiny_srf", "convmixer_768_32", "rdnet_tiny", "shvit_s1", "swiftformer_xs",
    "test_resnet", "test_convnext", "test_efficientnet", "test_nfnet",
]  # fmt: skip
#: Self-attention and hardly any convolutions.
TIMM_TRANSFORMERS = [
    "vit_tiny_patch16_224", "swin_tiny_patch4_window7_224", "pit_ti_224", "hiera_tiny_224",
]  # fmt: skip
#: Models that combine places by other operations than convolutions, too; the library decides
#: whether they have feature maps to explain.
TIMM_MIXED = [
    "xcit_nano_12_p16_224", "davit_tiny", "pvt_v2_b0", "tiny_vit_5m_224", "caformer_s18",
    "coatnet_pico_rw_224", "coatnext_nano_rw_224", "maxvit_rmlp_pico_rw_256", "levit_conv_128s",
    "efficientvit_m0", "mixer_s32_224", "gmlp_ti16_224", "resmlp_12_224", "sequencer2d_s",
]  # fmt: skip
#: Models of timm that need more than 96 pixels, or images of a fixed size.
TIMM_SIZES = {
    "inception_v3": 128, "inception_v4": 128, "inception_resnet_v2": 128, "botnet26t_256": 256,
    "eca_botnext26ts_256": 256, "lambda_resnet26t": 256, "halonet26t": 256, "sehalonet33ts": 256,
    "haloregnetz_b": 224, "bat_resnext26ts": 256, "resnet50_clip": 224, "efficientformer_l1": 224,
    "efficientformerv2_s0": 224, "mobilevit_xxs": 128, "mobilevitv2_050": 128, "fastvit_t8": 128,
    "maxvit_rmlp_pico_rw_256": 256, "visformer_tiny": 224,
}  # fmt: skip
SMP = {
    "Unet": ["resnet18", "efficientnet-b0", "mobilenet_v2", "vgg11", "densenet121", "dpn68",
             "xception", "se_resnet50", "tu-convnext_atto", "tu-regnety_002"],
    "UnetPlusPlus": ["resnet18"], "FPN": ["resnet18", "timm-efficientnet-b0"],
    "DeepLabV3": ["resnet18"], "DeepLabV3Plus": ["resnet18", "mobilenet_v2"],
    "PSPNet": ["resnet18"], "PAN": ["resnet18"], "Linknet": ["resnet18"], "MAnet": ["resnet18"],
    "UPerNet": ["resnet18"],
}  # fmt: skip
TRANSFORMERS = [
    "ResNet", "ConvNext", "ConvNextV2", "RegNet", "MobileNetV1", "MobileNetV2", "EfficientNet",
]  # fmt: skip
YOLO = ["yolov8n-cls", "yolov8s-cls", "yolo11n-cls"]


def entries() -> Iterator[Entry | str]:
    """Yield every model of the table, and a line for each package that is not installed."""
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("YOLO_OFFLINE", "1")
    for package, module in PACKAGES.items():
        try:
            models = _OF[package](importlib.import_module(module))
        except ImportError as error:
            yield f"{package}: skipped, it cannot be imported ({error})"
            continue
        yield from models


def version(package: str) -> str:
    """Return the version of a package, or "not installed"."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _torchvision(torchvision: Any) -> Iterator[Entry]:
    for name in torchvision.models.list_models(module=torchvision.models):
        transformer = name.startswith(("vit_", "swin_", "maxvit_"))
        slow = name in ("googlenet", "inception_v3")  # their own initialisation takes a minute
        yield Entry(
            f"torchvision: {name}",
            partial(torchvision.models.get_model, name, **{"init_weights": False} if slow else {}),
            224 if transformer else 96,
            "transformer" if transformer else "cnn",
        )


def _timm(timm: Any) -> Iterator[Entry]:
    kinds = {"cnn": TIMM, "transformer": TIMM_TRANSFORMERS, "mixed": TIMM_MIXED}
    for kind, names in kinds.items():
        for name in names:
            size = TIMM_SIZES.get(name, 96 if kind == "cnn" else 224)
            yield Entry(f"timm: {name}", partial(timm.create_model, name), size, kind)


def _smp(smp: Any) -> Iterator[Entry]:
    for decoder, encoders in SMP.items():
        for encoder in encoders:
            build = partial(getattr(smp, decoder), encoder, encoder_weights=None, classes=3)
            size = 128 if decoder == "PAN" else 96  # PAN pools the encoder's map three times
            yield Entry(f"smp: {decoder} on {encoder}", build, size, "segmentation")


def _transformers(transformers: Any) -> Iterator[Entry]:
    def build(name: str) -> nn.Module:
        config = getattr(transformers, f"{name}Config")()
        if name == "EfficientNet":
            config.initializer_range = 0.2  # with 0.02 its activations are 1e-28
        return getattr(transformers, f"{name}ForImageClassification")(config)

    for name in TRANSFORMERS:
        yield Entry(f"transformers: {name}", partial(build, name))
    yield Entry("transformers: ViT", partial(build, "ViT"), 224, "transformer")


def _torchxrayvision(torchxrayvision: Any) -> Iterator[Entry]:
    def densenet() -> nn.Module:
        return torchxrayvision.models.DenseNet(weights=None, num_classes=18, in_channels=1)

    yield Entry(
        "torchxrayvision: DenseNet", densenet, 224, channels=1
    )  # its ResNet comes with weights only


def _facenet(facenet: Any) -> Iterator[Entry]:
    build = partial(facenet.InceptionResnetV1, classify=True, num_classes=10)
    yield Entry("facenet-pytorch: InceptionResnetV1", build, 96)


def _ultralytics(ultralytics: Any) -> Iterator[Entry]:
    for name in YOLO:
        yield Entry(f"ultralytics: {name}", lambda n=name: ultralytics.YOLO(f"{n}.yaml").model)


_OF: dict[str, Callable[[Any], Iterator[Entry]]] = {
    "torchvision": _torchvision,
    "timm": _timm,
    "segmentation-models-pytorch": _smp,
    "transformers": _transformers,
    "torchxrayvision": _torchxrayvision,
    "facenet-pytorch": _facenet,
    "ultralytics": _ultralytics,
}
