"""What must hold of every method on every CNN: drawn at random, against hooks on their own runs."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from own_run import compare, own_run
from random_networks import Random, images_of, networks
from untouched import same, state_of

from naflow import PRESETS, BadInput, NAFlow
from naflow.explainer import Explainer
from naflow.explainers import (
    CLRP,
    LRP,
    SGLRP,
    GradCAM,
    GradCAMPlusPlus,
    HiResCAM,
    LayerCAM,
    MeanActivation,
    RelevanceCAM,
    XGradCAM,
)
from naflow.scores import ClassLogit

Method = Callable[[Random], Explainer]

GRADIENTS = [GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, XGradCAM, MeanActivation]
RELEVANCES = [LRP, CLRP, SGLRP, RelevanceCAM]
quick = settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@quick
@given(networks(8), st.booleans())
def test_maps_are_those_of_hooks_on_the_models_own_run(model: Random, detail: bool) -> None:
    images, score = images_of(model), ClassLogit([1, 2])
    before = state_of(model)
    calls = own_run(model, images, score)
    for method, kind in ((HiResCAM, "hirescam"), (GradCAM, "gradcam")):
        flow = method(model)(images, score, detail=detail)
        compared = compare(flow, calls, kind, to=1e-8)
        assert compared[0] == "stem"
        assert {n for n in flow.layers if "steps" in n and n.count(".") == 1} <= set(compared)
    assert same(state_of(model), before)


def holds(method: Method, model: Random, to: float) -> None:
    """A batch gives what its images give, and the model stays as it was."""
    images = images_of(model, 3)
    before, given = state_of(model), images.clone()
    together = method(model)(images, ClassLogit([1, 2, 1]))
    for number, index in enumerate((1, 2, 1)):
        alone = method(model)(images[number : number + 1], ClassLogit(index))
        assert alone.layers == together.layers
        for layer, found in together:
            size = float(found[number].abs().max())
            torch.testing.assert_close(
                alone[layer][0], found[number], rtol=0, atol=to * size + 1e-14, msg=layer
            )
    assert same(state_of(model), before)
    assert torch.equal(images, given)


@quick
@given(networks(), st.sampled_from(GRADIENTS))
def test_methods_by_gradients(model: Random, method: Method) -> None:
    holds(method, model, 1e-8)


@quick
@given(networks(), st.sampled_from(RELEVANCES))
def test_methods_by_relevance(model: Random, method: Method) -> None:
    try:
        holds(method, model, 1e-6)
    except BadInput as refused:  # no relevance arrives where every term of z+ is negative
        assume("nothing to draw" not in str(refused))
        raise


@settings(quick, max_examples=6)
@pytest.mark.parametrize("preset", PRESETS)
@given(model=networks(4))
def test_presets(preset: str, model: Random) -> None:
    holds(lambda m: NAFlow(m, preset), model, 1e-3)
