"""Methods that pytorch-grad-cam computes, called like every other: the extra `naflow[library]`.

The package's classes get the activations and gradients that were recorded here. So they draw every
layer, module or not, of any score, and do not change the model. The maps are the package's before
scaling and resizing: raw, after its ReLU. The package is imported when a method is constructed.

Group-CAM, RISE and LIFT-CAM are not here: neither pytorch-grad-cam (1.5) nor captum has them. RISE
is an open proposal for captum (its issue 1150); for the others there is no maintained package.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from naflow.errors import BadInput, NotFinite
from naflow.explainer import Explainer
from naflow.explainers.bridge import Outputs, Target, of_library, silent
from naflow.finite import not_finite
from naflow.flow import Flow
from naflow.perturb.ablation import Ablated, Onward
from naflow.perturb.masked import repeated, rows
from naflow.reverse.descent import Layer
from naflow.reverse.record import Record
from naflow.run.cut import cut
from naflow.run.run import run
from naflow.scores import Score, settled


class Library(Explainer):
    """A method of pytorch-grad-cam; kind is the name of its class there.

    Raises BadInput if the package is missing, NotFinite if a map is not finite.
    """

    kind: str

    def __init__(self, model: nn.Module, **options: Any) -> None:
        super().__init__(model, **options)
        self._made = of_library(self.kind)

    @abstractmethod
    def cam(self, record: Record, layer: Layer, question: Score) -> np.ndarray:
        """Return the package's map (B, h, w) of a layer. question: the score, fixed by
        scores.settled."""

    def drawn(self, record: Record) -> list[str]:
        """Return the names of the flow's layers, shallow to deep."""
        return record.layers

    def explain(self, record: Record, layers: Sequence[str] | None, keep: Sequence[str]) -> Flow:
        question = settled(record.question, record.output)
        order = [name for name in self.drawn(record) if layers is None or name in layers]
        maps, importance = {}, {}
        for point in record.descend() if order else ():
            for layer in [*point.maps, point]:
                if layer.name in order and layer.name not in maps:
                    maps[layer.name] = self._map(record, layer, question)
                    if "importance" in keep:
                        importance[layer.name] = layer.importance
        return Flow(
            layers=order,
            maps={name: maps[name] for name in order},
            score=record.score,
            prediction=record.prediction,
            output=record.output,
            method=self.name,
            importance={name: importance[name] for name in order if name in importance},
        )

    def _map(self, record: Record, layer: Layer, question: Score) -> Tensor:
        try:
            maps = torch.as_tensor(self.cam(record, layer, question)).to(layer.activation)
        except BadInput as error:
            raise BadInput(
                f"{self.name} cannot compute the score again at '{layer.name}': {error}"
            ) from error
        wrong = not_finite(maps)
        if wrong:
            raise NotFinite(f"{self.name} at '{layer.name}' is NaN or infinite for images {wrong}.")
        return maps.relu()


# --- from activation and gradient alone ----------------------------------------------------------


class _Local(Library):
    """A method that needs only a layer's activation and gradient."""

    def cam(self, record: Record, layer: Layer, question: Score) -> np.ndarray:
        x, g = (v.numpy(force=True) for v in (layer.activation, layer.importance))
        return self._made(Outputs(self.model), []).get_cam_image(None, None, None, x, g, False)


class GradCAMElementWise(_Local):
    """sum_k ReLU(g_k x_k), which is HiResCAM with the ReLU before the sum."""

    name, kind = "Grad-CAM (element-wise)", "GradCAMElementWise"


class FEM(_Local):
    """Channels weighted by the share of their pixels two standard deviations above the mean: Fuad
    et al., IPTA 2020. The map does not depend on the score."""

    name, kind = "FEM", "FEM"


# --- by running the model again ------------------------------------------------------------------


class ScoreCAM(Library):
    """Channels weighted by the softmax of the scores of the images that they mask: Wang et al.,
    CVPRW 2020.

    most   use only so many channels of a layer, those of largest standard deviation; None: all
    batch  images per forward pass, at most one for each channel

    Costs one forward pass per image and channel: about 4,100 for all layers of ResNet-18. Raises
    BadInput for numbers below 1, and if the score of a masked image cannot be computed.
    """

    kind = "ScoreCAM"

    def __init__(
        self,
        model: nn.Module,
        *,
        most: int | None = None,
        batch: int = 32,
        **options: Any,
    ) -> None:
        super().__init__(model, **options)
        self.most, self.batch = most, batch
        for name, value in {"most": 1 if most is None else most, "batch": batch}.items():
            _check_count(name, value)

    @property
    def name(self) -> str:
        return "Score-CAM" if self.most is None else f"Score-CAM ({self.most} channels)"

    def cam(self, record: Record, layer: Layer, question: Score) -> np.ndarray:
        images, x = record.images, layer.activation
        made = self._made(Outputs(self.model), [])
        made.batch_size = min(self.batch, x.shape[1])
        maps = []
        for number in range(len(x)):  # image by image, to save memory
            one = slice(number, number + 1)
            kept = _of_largest_deviation(x[one], self.most).numpy(force=True)
            target = Target(question, len(x), number)
            with silent(made):
                maps.append(made.get_cam_image(images[one], None, [target], kept, None))
        return np.concatenate(maps)


class AblationCAM(Library):
    """Channels weighted by the share of the score that is lost without them: Ramaswamy and Desai,
    WACV 2020.

    batch  channels per forward pass, at most all of them

    A removed channel is set to 0, as in the paper. The package does so, too, at layers without
    negative values, and otherwise sets it to -1e7. The model runs from the layer on, once per image
    and channel. Raises BadInput if the score is 0, by which the weights are divided.
    """

    name, kind = "Ablation-CAM", "AblationCAM"

    def __init__(
        self,
        model: nn.Module,
        *,
        batch: int = 32,
        **options: Any,
    ) -> None:
        super().__init__(model, **options)
        _check_count("batch", batch)
        self.batch = batch

    def cam(self, record: Record, layer: Layer, question: Score) -> np.ndarray:
        zero = (record.score == 0).nonzero()[:, 0].tolist()
        if zero:
            raise BadInput(f"the score of images {zero} is 0, and the weights are shares of it.")
        x, images, maps = layer.activation, record.images, []
        batch = min(self.batch, x.shape[1])
        for number in range(len(x)):  # image by image, to save memory
            one = slice(number, number + 1)
            copies = images[one].expand(batch, *images.shape[1:])
            inputs = repeated(record.chain.run.inputs, number, len(x), batch)
            ran = run(self.model, copies, inputs)
            chain = cut(ran, ran.ends())
            chain.keep(chain.opened(True))
            onward = Onward(chain, layer.name)

            def rest(place: nn.Module, given: Tensor, onward: Onward = onward) -> Any:
                changed = place(onward.value.tensor()[: len(given)])
                missing = batch - len(changed)
                whole = torch.cat([changed, changed[-1:].expand(missing, *changed.shape[1:])])
                return rows(onward(whole), 0, len(given))

            outputs, target = Outputs(self.model, rest), Target(question, len(x), number)
            made = self._made(outputs, [], ablation_layer=Ablated(), batch_size=batch)
            with silent(made):
                kept = x[one].numpy(force=True)
                maps.append(made.get_cam_image(images[one], outputs.cut, [target], kept, None))
        return np.concatenate(maps)


class FullGrad(Library):
    """|input x gradient| and |bias x gradient| of every convolution and batch norm, each channel
    scaled by its own range, summed: Srinivas and Fleuret, NeurIPS 2019.

    One map for the whole network, of the images' size: the flow has the single layer "input".
    """

    name, kind = "FullGrad", "FullGrad"

    def drawn(self, record: Record) -> list[str]:
        return ["input"]

    def check_layers(self, record: Record, layers: Sequence[str] | None) -> None:
        for layer in layers or ():
            if layer != "input":
                raise BadInput(f"FullGrad draws one map, at 'input', and none at '{layer}'.")

    def cam(self, record: Record, layer: Layer, question: Score) -> np.ndarray:
        made = self._made(Outputs(self.model), [])
        made.activations_and_grads.release()  # its hooks assume that layers run in a fixed order
        biases = dict(zip(made.target_layers, made.bias_data, strict=True))
        outputs: list[tuple[np.ndarray, Tensor]] = []

        def keep(module: nn.Module, _: tuple, output: Tensor) -> Tensor:
            outputs.append((biases[module], output))
            return output.clone()  # the next operation may be in place

        hooks = [module.register_forward_hook(keep) for module in biases]
        try:
            with torch.enable_grad():
                images = record.images.clone().requires_grad_()
                value = question(self.model(images.clone()))
                images.grad, *gradients = torch.autograd.grad(
                    value.sum(),
                    [images, *(output for _, output in outputs)],
                    allow_unused=True,
                    materialize_grads=True,
                )
        finally:
            for hook in hooks:
                hook.remove()
        made.bias_data = [bias for bias, _ in outputs]
        made.activations_and_grads.gradients = gradients
        return made.compute_cam_per_layer(images, None, False)[:, 0]


def _of_largest_deviation(x: Tensor, most: int | None) -> Tensor:
    """Return the channels of one image (1, C, h, w) with the largest standard deviation, in their
    original order."""
    if most is None or most >= x.shape[1]:
        return x
    order = x.flatten(2).std(2, unbiased=False).sort(dim=1, descending=True, stable=True).indices
    return x[:, order[0, :most].sort().values]


def _check_count(name: str, value: object) -> None:
    if type(value) is not int or value < 1:
        raise BadInput(f"{name}={value!r}: it is a number, 1 or more.")
