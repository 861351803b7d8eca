"""Load a state dict into a network: remove the prefixes of wrappers, and name what does not fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from naflow.errors import BadInput

#: Prefixes of the names if the network was saved as an attribute of a wrapper: DataParallel,
#: Lightning and other trainers, torch.compile.
PREFIXES = ("module.", "model.", "net.", "network.", "_orig_mod.")


def fill(
    network: nn.Module, state: Mapping[str, Tensor], path: Path, name: str, advice: str
) -> nn.Module:
    """Load these tensors into the network, which messages call `name`, and return it.

    Raises BadInput, ending with the advice, if a tensor is missing, unexpected or of the wrong
    shape, and for NaN and infinity.
    """
    own = network.state_dict()
    state = unwrapped(state, own)
    check(state, own, path, name, advice)
    network.load_state_dict(state)
    return network


def unwrapped(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors without the prefixes, one or several, that the network's names lack.

    If the whole network lies under a prefix, tensors outside it (a trainer's loss or metric) are
    left out.
    """
    tensors = dict(state)
    while not own.keys() <= tensors.keys():
        inside = {prefix: _below(tensors, prefix) for prefix in PREFIXES}
        prefix = max(PREFIXES, key=lambda prefix: len(inside[prefix]))
        if not inside[prefix]:
            return dict(state)
        tensors = inside[prefix]
    return tensors if own.keys() == tensors.keys() else dict(state)


def _below(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    below = {name.removeprefix(prefix): v for name, v in state.items() if name.startswith(prefix)}
    for name in list(below):  # files from before torch 0.4.1 lack num_batches_tracked
        if name.endswith(".running_var"):
            counter = name.replace(".running_var", ".num_batches_tracked")
            below.setdefault(counter, torch.tensor(0))
    return below


def check(
    state: Mapping[str, Tensor], own: Mapping[str, Tensor], path: Path, name: str, advice: str
) -> None:
    """Raise BadInput if the tensors are not those of the network, or not all finite."""
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own]
    misshapen = [
        f"{key} ({tuple(state[key].shape)}, not {tuple(own[key].shape)})"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    faults = (
        _some("it lacks", missing),
        _some("it has, beyond the model's,", unexpected),
        _some("of another shape are", misshapen),
    )
    if not any(faults):
        return check_finite(state, path)
    if len(missing) == len(own):
        advice = "It is the file of another network."
    raise BadInput(f"{path} does not fit {name}: {'; '.join(filter(None, faults))}. {advice}")


def check_finite(state: Mapping[str, Tensor], path: Path) -> None:
    """Raise BadInput for tensors of a file that hold NaN or infinity."""
    if broken := [key for key, value in state.items() if not value.isfinite().all()]:
        fault = _some("NaN or infinity is in", broken)
        raise BadInput(f"{path} holds no usable weights: {fault}.")


def _some(what: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{what} {', '.join(names[:3])}{more}"
