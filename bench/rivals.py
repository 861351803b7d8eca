"""Other libraries' methods, called as their users call them, for the tables of bench.flow."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn.functional import one_hot
from torchvision.models import ResNet


class GradCAMBlockByBlock:
    """pytorch-grad-cam's Grad-CAM of every block (or of every convolution if there are no blocks).
    A call draws one map, so it takes one call each."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        modules = list(model.modules())
        blocks = [one for one in modules if type(one).__name__ in ("BasicBlock", "Bottleneck")]
        self.layers = blocks or [one for one in modules if isinstance(one, nn.Conv2d)]

    def __call__(self, images: Tensor) -> None:
        from pytorch_grad_cam import GradCAM

        for layer in self.layers:
            with GradCAM(model=self.model, target_layers=[layer]) as cam:
                cam(images, targets=None)  # of the predicted class


class Zennit:
    """zennit's relevance of the pixels by the rules epsilon and z+, batch norms merged: one map."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model

    def __call__(self, images: Tensor) -> None:
        from zennit.attribution import Gradient
        from zennit.canonizers import SequentialMergeBatchNorm
        from zennit.composites import EpsilonPlus
        from zennit.torchvision import ResNetCanonizer

        residual = isinstance(self.model, ResNet)
        merged = ResNetCanonizer() if residual else SequentialMergeBatchNorm()
        with Gradient(self.model, EpsilonPlus(canonizers=[merged])) as attributor:
            attributor(images, lambda output: one_hot(output.argmax(1), output.shape[1]).to(output))
