"""The Hydra entry point of every stage, which prints user errors as one sentence."""

import functools
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Override, QuotedString
from hydra.errors import HydraException, InstantiationException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from naflow.errors import NAFlowError, near_names, out_of_memory
from pipeline import profile, settings

MEMORY = (
    "The memory ran out: use smaller batches (explain.batch, schedule.batch) or smaller pictures. "
    "What was finished before is kept."
)
CONF = Path(__file__).resolve().parent.parent / "conf"


def pictures_of(model: str) -> str:
    """Return the default image set of a model: the one in the profile, else shapes."""
    return profile.shown().get(model, "shapes")


def imagenet_classes() -> list[str]:
    """ImageNet's class names, as the networks order them."""
    from naflow.models.imagenet import class_names  # torch with it, which takes seconds

    return class_names()


OmegaConf.register_new_resolver("pictures_of", pictures_of, replace=True)
OmegaConf.register_new_resolver("imagenet_classes", imagenet_classes, replace=True)


def stage(task: Callable[[DictConfig], None]) -> Callable[[], None]:
    """Make `task(cfg)` a Hydra app on conf/config.yaml.

    An error that the user can fix ends the program with its message instead of a traceback; under
    -m only its own job fails.
    """

    @hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
    @functools.wraps(task)
    def run(cfg: DictConfig) -> None:
        try:
            settings.check(cfg)
            draw_as_shipped()
            task(cfg)
        except (NAFlowError, InstantiationException, OmegaConfBaseException, OSError) as error:
            if not alone():
                raise
            raise SystemExit(sentence(error)) from None
        except (MemoryError, RuntimeError) as error:
            if not (alone() and out_of_memory(error)):
                raise
            raise SystemExit(MEMORY) from None

    def main(cfg: DictConfig | None = None) -> None:
        if cfg is None:  # from the command line
            check_choices(sys.argv[1:])
            check_profile()
        run(cfg)

    return main


def alone() -> bool:
    """Return whether this is a single run from the command line, without HYDRA_FULL_ERROR."""
    running = HydraConfig.initialized() and HydraConfig.get().mode == RunMode.RUN
    return running and "HYDRA_FULL_ERROR" not in os.environ


def sentence(error: Exception) -> str:
    """Return the message of an error that the user can fix."""
    cause = error.__cause__ if isinstance(error, InstantiationException) else None
    if isinstance(cause, NAFlowError):
        return str(cause)
    if isinstance(error, OSError):  # a full disk, a folder that may not be written to
        return (
            f"{error.filename or 'A file'}: {error.strerror or error}. What was finished before "
            "is kept. Fix that, and run the same command again."
        )
    if isinstance(error, NAFlowError):
        return str(error)
    if isinstance(error, MissingMandatoryValue):
        return f"{error.full_key} is missing: give it, as in {error.full_key}=..."
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"The configuration cannot be used: {'; '.join(lines)}."


def draw_as_shipped() -> None:
    """Reset matplotlib to its defaults, so that no matplotlibrc changes the figures."""
    if (matplotlib := sys.modules.get("matplotlib")) is not None:
        matplotlib.rcdefaults()


def check_profile() -> None:
    """End the program with a sentence if params.yaml is not a valid profile."""
    try:
        profile.shown()
    except NAFlowError as error:
        raise SystemExit(str(error)) from None


def check_choices(overrides: Sequence[str]) -> None:
    """End the program with a sentence if an override such as model=resnet81, or a sweep such as
    model=resnet18,resnet81, names a file that conf/ does not have, or no file at all."""
    grammar = OverridesParser.create()
    for override in overrides:
        try:
            read = grammar.parse_override(override)
        except HydraException:  # an option, or an override that Hydra itself will refuse
            continue
        group = read.key_or_group
        if group == "hydra":
            raise SystemExit(f"{override}: it has settings of its own, as in hydra.run.dir=...")
        if read.is_delete() or not group or not (CONF / group).is_dir():
            continue
        files = (CONF / group).rglob("*.yaml")
        known = sorted(f.relative_to(CONF / group).with_suffix("").as_posix() for f in files)
        for name in chosen(read):
            if name is None:
                raise SystemExit(f"{override}: it must be one of {', '.join(known)}.")
            if name not in known:
                raise SystemExit(
                    f"{override}: there is no conf/{group}/{name}.yaml."
                    f"{near_names(str(name), known)}"
                )


def chosen(override: Override) -> list[Any]:
    """Return the files that an override of a group names; [] for a glob or a range, which Hydra
    resolves."""
    value: Any = override.value()
    if override.is_sweep_override():
        value = value.list if isinstance(value, ChoiceSweep) else []
    names = value if isinstance(value, list) else [value]
    return [one.text if isinstance(one, QuotedString) else one for one in names]
