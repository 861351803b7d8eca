"""What every stage shares: its Hydra entry point, and errors told in one sentence."""

import functools
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from naflow.errors import NAFlowError, near_names
from pipeline import profile, settings

CONF = Path(__file__).resolve().parent.parent / "conf"


def pictures_of(model: str) -> str:
    """The image set that a model is shown on where nobody says another: the profile's."""
    return profile.shown().get(model, "shapes")


OmegaConf.register_new_resolver("pictures_of", pictures_of, replace=True)


def stage(task: Callable[[DictConfig], None]) -> Callable[[], None]:
    """Make `task(cfg)` a Hydra app on conf/config.yaml.

    An error that is the user's to mend ends the program with its sentence instead of a traceback;
    under -m it fails its own job alone.
    """

    @hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
    @functools.wraps(task)
    def run(cfg: DictConfig) -> None:
        try:
            settings.check(cfg)
            task(cfg)
        except (NAFlowError, InstantiationException, OmegaConfBaseException, OSError) as error:
            if HydraConfig.get().mode == RunMode.MULTIRUN or "HYDRA_FULL_ERROR" in os.environ:
                raise
            raise SystemExit(sentence(error)) from None

    def main(cfg: DictConfig | None = None) -> None:
        if cfg is None:  # from the command line
            check_choices(sys.argv[1:])
            check_profile()
        run(cfg)

    return main


def sentence(error: Exception) -> str:
    """What is told of an error that is the user's to mend."""
    cause = error.__cause__ if isinstance(error, InstantiationException) else None
    if isinstance(cause, NAFlowError):
        return str(cause)
    if isinstance(error, OSError):  # a full disk, a folder that may not be written to
        return (
            f"{error.filename or 'A file'}: {error.strerror or error}. What was finished before "
            "is kept: mend that, and run the same command again."
        )
    if isinstance(error, NAFlowError):
        return str(error)
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"The configuration cannot be used: {'; '.join(lines)}."


def check_profile() -> None:
    """End the program with a sentence where params.yaml is no profile."""
    try:
        profile.shown()
    except NAFlowError as error:
        raise SystemExit(str(error)) from None


def check_choices(overrides: Sequence[str]) -> None:
    """End the program with the near names where an override like model=resnet81, or one of a sweep
    like model=resnet18,resnet81, names a file that conf/ does not have."""
    for override in overrides:
        group, _, choices = override.partition("=")
        if not (CONF / group).is_dir() or "(" in choices:  # glob(*) and other functions: Hydra's
            continue
        for choice in choices.split(","):
            if choice != "null" and not (CONF / group / f"{choice}.yaml").is_file():
                files = (CONF / group).rglob("*.yaml")
                known = [f.relative_to(CONF / group).with_suffix("").as_posix() for f in files]
                raise SystemExit(
                    f"{override}: there is no conf/{group}/{choice}.yaml."
                    f"{near_names(choice, sorted(known))}"
                )
