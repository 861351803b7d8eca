"""Networks built from settings of others: no larger than this machine, in no more tensors than any
CNN has."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from threading import get_ident

from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from naflow.errors import BadInput

TENSORS = 10_000  # the deepest CNNs that are published have some 2,000
_OTHERWISE = 1 << 37  # bytes, where a machine does not tell


@contextmanager
def bounded(said: str) -> Generator[None]:
    """While the block runs, this thread may build networks of so much and no more.

    Raises BadInput, beginning with `said`, as soon as they are beyond: before the memory is used.
    """
    thread, most, tensors, size = get_ident(), _memory(), 0, 0

    def count(_: nn.Module, __: str, parameter: nn.Parameter | None) -> None:
        nonlocal tensors, size
        if parameter is None or get_ident() != thread:
            return
        tensors, size = tensors + 1, size + parameter.numel() * parameter.element_size()
        if tensors > TENSORS or size > most:
            raise BadInput(
                f"{said}: its settings describe a network of more than {TENSORS:,} tensors or "
                f"{most:,} bytes, which cannot be built here."
            )

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()


def _memory() -> int:
    """Bytes that this machine has."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return _OTHERWISE
