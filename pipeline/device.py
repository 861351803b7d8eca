"""The device, its fast precision, seeds, and the versions that a result depends on."""

import platform
import random
from contextlib import AbstractContextManager
from importlib.metadata import version

import numpy as np
import torch

from naflow.errors import BadInput


def chosen(name: str) -> torch.device:
    """Return the device `name`; "auto" is the GPU, if any. Raises BadInput if it does not exist."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise BadInput(
            f"device={name}: not available here ({str(error).splitlines()[0]}). Use cpu or auto."
        ) from None


def named(device: torch.device) -> str:
    """Return what a device is, in words: the GPU's name, or the threads of the CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type}, {torch.get_num_threads()} threads"


def autocast(device: torch.device) -> AbstractContextManager:
    """Compute in bfloat16 if the hardware supports it (on a CPU 1.6 times faster), else float32."""
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = torch.cpu.get_capabilities().get("avx512_bf16", False)
    return torch.autocast(device.type, torch.bfloat16, enabled=fast)


def seeded(seed: int) -> None:
    """Seed every random generator that the stages use."""
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002, libraries may draw from the global generator
    torch.manual_seed(seed)
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False


def versions() -> dict[str, str]:
    """Return the versions on which a result depends besides its settings."""
    packages = ("torch", "torchvision", "numpy")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}
