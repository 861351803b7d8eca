"""Log to Weights & Biases without ever breaking a run; a failure is a warning of one line."""

import logging
import os
import subprocess
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
from omegaconf import DictConfig, OmegaConf

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parents[1]
# How long a server that does not answer may delay a stage.
START_SECONDS = 10
FINISH_SECONDS = 30


class Run:
    """One tracked run; it does nothing if tracking is disabled or did not start."""

    def __init__(self, run: Any) -> None:
        self._run: Any = run

    def numbers(self, values: Mapping[str, float]) -> None:
        """Log named numbers."""
        if self._run is not None:
            self._guarded(lambda: self._run.log(dict(values)))

    def picture(self, name: str, image: np.ndarray, caption: str = "") -> None:
        """Log a picture (H, W, 3) uint8."""
        if self._run is not None:
            self._guarded(lambda: self._run.log({name: _wandb().Image(image, caption=caption)}))

    def table(self, name: str, table: pd.DataFrame) -> None:
        """Log a table."""
        if self._run is not None:
            self._guarded(lambda: self._run.log({name: _wandb().Table(dataframe=table)}))

    def _guarded(self, action: Callable[[], object]) -> None:
        try:
            action()
        except Exception as error:  # in any case, the stage's own work continues
            log.warning("W&B stopped logging: %s", error)
            self._run = None


@contextmanager
def tracked(tracking: DictConfig, name: str, config: DictConfig) -> Generator[Run]:
    """Yield a run that ends with the block. `tracking.mode` is offline, online or disabled.

    If online does not start, the run is offline; send it later with `wandb sync`.
    """
    run = None if tracking.mode == "disabled" else _started(tracking, name, config)
    failed = 1
    try:
        yield Run(run)
        failed = 0
    finally:
        if run is not None:
            with suppress(Exception):
                run.finish(exit_code=failed)


def _started(tracking: DictConfig, name: str, config: DictConfig) -> Any:
    folder = Path(tracking.folder).resolve()
    # Otherwise W&B would write to the home directory.
    for variable in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        os.environ.setdefault(variable, str(folder))
    modes = [tracking.mode, "offline"] if tracking.mode == "online" else [tracking.mode]
    for mode in modes:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            wandb = _wandb()
            return wandb.init(
                mode=mode,
                project=tracking.project,
                name=name,
                dir=folder,
                config=_recorded(config),
                settings=wandb.Settings(
                    silent=True,
                    console="off",
                    x_disable_stats=True,
                    init_timeout=START_SECONDS,
                    finish_timeout=FINISH_SECONDS,
                ),
            )
        except Exception as error:  # a missing key or network, or a wrong mode, must not end a run
            log.warning(
                "W&B is %s for this run: %s",
                "offline" if mode != modes[-1] else "off",
                str(error).splitlines()[0] if str(error) else type(error).__name__,
            )
    return None


def _recorded(config: DictConfig) -> dict:
    """Return the configuration as plain values, with the revision of this code as `git`."""
    settings: Any = OmegaConf.to_container(config, resolve=True)
    return settings | {"git": revision(ROOT)}


def revision(root: Path) -> str | None:
    """Return the commit of a git repository, with "-dirty" if files differ; None without git."""
    if not (root / ".git").exists():  # installed: a repository around it would not be ours
        return None
    describe = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        return subprocess.run(
            describe, cwd=root, capture_output=True, text=True, timeout=5, check=True
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None


def _wandb() -> ModuleType:
    """Import wandb, which takes half a second and is not needed if tracking is disabled."""
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")
    import wandb

    return wandb
