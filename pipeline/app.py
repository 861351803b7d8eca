"""What every stage shares: its Hydra entry point, and errors told in one sentence."""

import functools
from collections.abc import Callable
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig

from naflow.errors import NAFlowError

CONF = Path(__file__).resolve().parent.parent / "conf"


def stage(task: Callable[[DictConfig], None]) -> Callable[[], None]:
    """Make `task(cfg)` a Hydra app on conf/config.yaml.

    An error raised on purpose ends the program with its sentence instead of a traceback; under -m
    it fails its own job alone.
    """

    @hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
    @functools.wraps(task)
    def main(cfg: DictConfig) -> None:
        try:
            task(cfg)
        except (NAFlowError, InstantiationException) as error:
            told = error if isinstance(error, NAFlowError) else error.__cause__
            if not isinstance(told, NAFlowError) or HydraConfig.get().mode == RunMode.MULTIRUN:
                raise
            raise SystemExit(str(told)) from None

    return main
