"""The names of ImageNet-2012's thousand classes, in the order of the networks' outputs."""

from __future__ import annotations

from naflow.errors import BadInput


def class_names() -> list[str]:
    """Return the names as torchvision publishes them with its weights, as "Egyptian cat".

    Raises BadInput if torchvision is not installed.
    """
    try:
        from torchvision.models import ResNet18_Weights
    except ModuleNotFoundError as error:
        if error.name != "torchvision":
            raise
        raise BadInput(
            "ImageNet's class names come with torchvision, which is not installed: "
            "pip install 'naflow[cli]'."
        ) from None
    return list(ResNet18_Weights.IMAGENET1K_V1.meta["categories"])
