"""Logging to Weights & Biases that can never break a run; when it fails, it says so in one line."""

import logging
import os
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

log = logging.getLogger(__name__)


class Run:
    """One tracked run, or nothing at all where tracking is disabled or did not start."""

    def __init__(self, run: Any) -> None:
        self._run: Any = run

    def numbers(self, values: Mapping[str, float]) -> None:
        """Log named numbers."""
        if self._run is not None:
            self._guarded(lambda: self._run.log(dict(values)))

    def picture(self, name: str, image: np.ndarray, caption: str = "") -> None:
        """Log a picture (H, W, 3), uint8."""
        if self._run is not None:
            self._guarded(lambda: self._run.log({name: _wandb().Image(image, caption=caption)}))

    def _guarded(self, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:  # whatever it is, the stage's own work goes on
            log.warning("W&B stopped logging: %s", error)
            self._run = None


@contextmanager
def tracked(tracking: DictConfig, name: str, config: DictConfig) -> Generator[Run]:
    """A run that ends with the block. `tracking.mode` is offline, online or disabled."""
    run = None if tracking.mode == "disabled" else _started(tracking, name, config)
    try:
        yield Run(run)
    finally:
        if run is not None:
            with suppress(Exception):
                run.finish()


def _started(tracking: DictConfig, name: str, config: DictConfig) -> Any:
    folder = Path(tracking.folder).resolve()
    # W&B writes to the home directory unless it is told where else.
    for variable in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        os.environ.setdefault(variable, str(folder))
    try:
        folder.mkdir(parents=True, exist_ok=True)
        wandb = _wandb()
        quiet = wandb.Settings(silent=True, console="off", init_timeout=20, x_disable_stats=True)
        settings = OmegaConf.to_container(config, resolve=True)
        return wandb.init(
            mode=tracking.mode,
            project=tracking.project,
            name=name,
            dir=folder,
            config=settings,
            settings=quiet,
        )
    except Exception as error:  # no key, no network, a wrong mode: never a reason to lose a run
        log.warning(
            "W&B is off for this run: %s",
            str(error).splitlines()[0] if str(error) else type(error).__name__,
        )
        return None


def _wandb() -> ModuleType:
    """Imported late: it takes half a second, and a disabled run needs none of it."""
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    return wandb
