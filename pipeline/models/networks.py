"""Networks whose published weights need another padding than torchvision's."""

from collections import OrderedDict

import torchvision
from torch import nn


def mobilenet_v2_same(classes: int) -> nn.Module:
    """Build MobileNet v2 with strided convolutions that pad right and below, as TensorFlow's "SAME"
    does.

    Parameter names are torchvision's, so a state dict of either network fits both.
    """
    network = torchvision.models.mobilenet_v2(num_classes=classes)
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Sequential) and _strided(child):
                child[0].padding = (0, 0)
                padded = [("pad", nn.ZeroPad2d((0, 1, 0, 1))), *child.named_children()]
                setattr(parent, name, nn.Sequential(OrderedDict(padded)))
    return network


def _strided(layers: nn.Sequential) -> bool:
    first = next(layers.children())
    return isinstance(first, nn.Conv2d) and first.stride == (2, 2) and first.padding == (1, 1)
