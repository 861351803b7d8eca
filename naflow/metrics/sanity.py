"""Sanity checks: a map must depend on the model's weights and on the class, and little on noise.

These checks are pass or fail: a method that fails explains something else, but a better number does
not mean a better method (Binder et al., CVPR 2023). Compare with explainers.MeanActivation, whose
map does not depend on the class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from random import Random

import torch
from torch import Tensor, nn

from naflow.errors import BadInput, UnsupportedModel, near_names
from naflow.explainer import Explainer
from naflow.flow import Flow
from naflow.metrics.localisation import Grid, energy_share
from naflow.metrics.shape import distribution, rank_correlation
from naflow.run.cut import cut
from naflow.run.operation import tensors
from naflow.run.preserve import preserved
from naflow.run.run import run
from naflow.scores import ClassLogit, Score, settled

# --- the model -----------------------------------------------------------------------------------


def cascading_randomisation(
    explainer: Callable[[nn.Module], Explainer],
    model: nn.Module,
    images: Tensor,
    score: Score | None = None,
    *,
    stages: Sequence[str] | None = None,
    layers: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, dict[str, Tensor]]:
    """Return stage -> layer -> (B,) rank correlation of |map| with that of the intact model, after
    the weights of this stage and of all before it in the dict are made random.

    Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018. The correlation should fall: a
    map that does not change does not depend on these weights. A layer below the stage keeps its
    activation, and so some correlation: compare with that of MeanActivation.

    explainer  makes the method for a model, as in GradCAM
    score      by default the logit of the class that the intact model predicts
    stages     names of modules, the head first; by default the units of the model's chain that
               have parameters, last to first, so that a residual block is one stage
    layers     names of the layers to compare; None: all
    seed       of the random weights

    Weights are drawn by the modules' own reset_parameters(), on the CPU (batch norms lose their
    statistics, too). A copy of the model is changed. Raises BadInput for an unknown stage and one
    without parameters, UnsupportedModel for a module with parameters but without reset_parameters,
    and whatever the explainer raises.
    """
    intact = explainer(model)(images, score, layers=layers)
    asked = settled(score or ClassLogit(), intact.output)
    changed = deepcopy(model)
    modules = _units(changed, images) if stages is None else _modules(changed, stages)
    fresh = _reinitialised(changed, seed)
    correlations = {}
    for stage, names in modules.items():
        for name in names:
            changed.get_submodule(name).load_state_dict(fresh.get_submodule(name).state_dict())
        flow = explainer(changed)(images, asked, layers=layers)
        correlations[stage] = {
            layer: rank_correlation(maps.abs(), intact[layer].abs()) for layer, maps in flow
        }
    return correlations


def last_layer_redrawn(model: nn.Module, images: Tensor, seed: int = 0) -> nn.Module:
    """Return a copy of a model whose last unit with weights, of a classifier its last linear layer,
    has random weights: the features are trained, the classes are not.

    What a map of this copy shows does not depend on what the class means. images: (B, C, ...), run
    once to find the last unit. Weights are drawn as in `cascading_randomisation`, which also lists
    the errors raised.
    """
    changed = deepcopy(model)
    last = next(iter(_units(changed, images).values()))
    for name in last:
        module = changed.get_submodule(name)
        module.load_state_dict(_reinitialised(module, seed).state_dict())
    return changed


def _units(model: nn.Module, images: Tensor) -> dict[str, list[str]]:
    """Return unit -> names of its modules that own parameters, the last unit first."""
    with preserved(model):
        ran = run(model, images)
        units = cut(ran, ran.ends()).units
    owners = {id(p): name for name, m in model.named_modules() for p in m.parameters(recurse=False)}
    modules, seen = {}, set()
    for unit in reversed(units):
        used: set[str] = set()
        for operation in unit.operations:
            run_by = ran.model.get_submodule(operation.scope)
            weights = [*tensors((operation.args, operation.kwargs))]
            weights += run_by.parameters(recurse=False)
            used |= {owners[id(w)] for w in weights if id(w) in owners}
        mine = [name for name, _ in model.named_modules() if name in used - seen]
        seen |= used
        if mine:
            modules[unit.name] = mine
    return modules


def _modules(model: nn.Module, stages: Sequence[str]) -> dict[str, list[str]]:
    modules = dict(model.named_modules())
    for name in stages:
        if name not in modules:
            raise BadInput(f"The model has no module '{name}'.{near_names(name, modules)}")
        if next(modules[name].parameters(), None) is None:
            raise BadInput(f"Stage '{name}' has no parameters: leave it out.")
    return {name: [name] for name in stages}


def _reinitialised(model: nn.Module, seed: int) -> nn.Module:
    """Return a copy on the CPU with all weights random."""
    fresh = deepcopy(model).cpu()
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        # Not manual_seed(seed): a model built under that seed would get its first weights back.
        torch.default_generator.manual_seed(Random(f"randomisation {seed}").getrandbits(63))
        for name, module in fresh.named_modules():
            if hasattr(module, "reset_parameters"):
                module.reset_parameters()
            elif next(module.parameters(recurse=False), None) is not None:
                raise UnsupportedModel(
                    f"'{name}', a {type(module).__name__}, has parameters and no "
                    "reset_parameters(): give its class this method, so that they can be drawn."
                )
    return fresh


# --- the class -----------------------------------------------------------------------------------


def class_sensitivity(first: Tensor, second: Tensor) -> Tensor:
    """Return (B,) 1 - cosine similarity of the maps (B, h, w) of two classes of the same images: 0
    if the map does not depend on the class."""
    a, b = distribution(first), distribution(second)
    cosine = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
    return 1 - cosine.clamp(max=1)


def class_accuracy(
    maps: tuple[Tensor, Tensor], masks: tuple[Tensor, Tensor], grid: Grid = "picture"
) -> Tensor:
    """For images of two objects of two classes, return the share (B,) of the two objects on which
    the map of the object's own class has more energy than that of the other class. A tie counts
    half, so a method that does not depend on the class has 1/2.

    maps, masks: of the first and of the second class, as `energy_share` takes them. Raises as it
    does.
    """
    first, second = maps
    wins = []
    for own, other, mask in ((first, second, masks[0]), (second, first, masks[1])):
        lead = energy_share(own, mask, grid) - energy_share(other, mask, grid)
        wins.append((lead.sign() + 1) / 2)
    return (wins[0] + wins[1]) / 2


# --- noise ---------------------------------------------------------------------------------------


def max_sensitivity(
    explainer: Explainer,
    images: Tensor,
    score: Score | None = None,
    *,
    radius: float = 0.02,
    draws: int = 10,
    seed: int = 0,
    layers: Sequence[str] | None = None,
) -> dict[str, Tensor]:
    """Return layer -> (B,) the largest || M(x + d) - M(x) || / || M(x) || over random noise d; NaN
    if the map M(x) is zero everywhere.

    Yeh et al., On the (in)fidelity and sensitivity of explanations, NeurIPS 2019. d is uniform in
    [-radius, radius], in the units of the images as given, and the same for all images of a batch.
    score: by default the logit of the class predicted for x, also for x + d.

    Raises BadInput for a radius or a number of draws that is not positive.
    """
    if not radius > 0 or draws < 1:
        raise BadInput(f"radius={radius!r}, draws={draws!r}: both must be positive.")
    still = explainer(images, score, layers=layers)
    asked = settled(score or ClassLogit(), still.output)
    generator = torch.Generator().manual_seed(seed)
    changes = []
    for _ in range(draws):
        noise = torch.rand(images.shape[1:], generator=generator, dtype=torch.float64) * 2 - 1
        moved = explainer(images + (radius * noise).to(images), asked, layers=layers)
        changes.append(_changes(still, moved))
    return {layer: torch.stack([c[layer] for c in changes]).amax(0) for layer in still.layers}


def _changes(still: Flow, moved: Flow) -> dict[str, Tensor]:
    changes = {}
    for layer, maps in still:
        before, after = maps.flatten(1).double(), moved[layer].flatten(1).double()
        changes[layer] = (after - before).norm(dim=1) / before.norm(dim=1)
        changes[layer][(before == 0).all(1)] = torch.nan
    return changes
