"""A state dict into a network: the prefixes that wrappers leave, and what does not fit, by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from naflow.errors import BadInput

#: What stands before every name where the network was an attribute of something else when it was
#: saved: DataParallel, Lightning and other trainers, torch.compile.
PREFIXES = ("module.", "model.", "net.", "network.", "_orig_mod.")


def fill(
    network: nn.Module, state: Mapping[str, Tensor], path: Path, name: str, advice: str
) -> nn.Module:
    """The network called `name` with these tensors, which have to be all of its own and fit.

    Raises BadInput, ending with the advice, where one is missing, too many or of another shape,
    and for NaN and infinity.
    """
    own = network.state_dict()
    state = unwrapped(state, own)
    check(state, own, path, name, advice)
    network.load_state_dict(state)
    return network


def unwrapped(state: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by the network's own names, where they stand below one or several prefixes.

    Beside a prefix under which the whole network lies, a trainer's own tensors (a loss, a metric)
    are no part of it, and left out.
    """
    found = dict(state)
    while not own.keys() <= found.keys():
        inside = {prefix: _below(found, prefix) for prefix in PREFIXES}
        prefix = max(PREFIXES, key=lambda prefix: len(inside[prefix]))
        if not inside[prefix]:
            return dict(state)
        found = inside[prefix]
    return found if own.keys() == found.keys() else dict(state)


def _below(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    found = {name.removeprefix(prefix): v for name, v in state.items() if name.startswith(prefix)}
    for name in list(found):  # files from before torch 0.4.1 do not count batches
        if name.endswith(".running_var"):
            counter = name.replace(".running_var", ".num_batches_tracked")
            found.setdefault(counter, torch.tensor(0))
    return found


def check(
    state: Mapping[str, Tensor], own: Mapping[str, Tensor], path: Path, name: str, advice: str
) -> None:
    """Raise BadInput where the tensors are not those of the network, or not all finite."""
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
        told = _some("NaN or infinity is in", broken)
        raise BadInput(f"{path} holds no usable weights: {told}.")


def _some(what: str, names: list[str]) -> str:
    if not names:
        return ""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return f"{what} {', '.join(names[:3])}{more}"
