"""Stage `verify`: check that a network is as good as its recipe requires, by its field's protocol.

python -m pipeline.verify model=resnet18 images=shapes

Writes the numbers and the decisions for single pictures, then fails if a number is below its gate.
The hash of published weights that pass is recorded: later downloads must have the same.
"""

from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig

from naflow import models
from naflow.errors import BadInput
from pipeline import device
from pipeline.app import stage
from pipeline.atomic import write_json
from pipeline.downloads import source, weights_lock
from pipeline.judging import decisions, gate
from pipeline.models import weights
from pipeline.models.subject import Subject
from pipeline.pictures.images import Part
from pipeline.tracking import tracked


@stage
def main(cfg: DictConfig) -> None:
    """Verify."""
    verify(cfg)


def verify(cfg: DictConfig) -> dict[str, float]:
    """Measure the network, write its numbers and decisions, and check the gate."""
    if "verify" not in cfg.recipe:
        raise BadInput(
            f"Nothing says how to verify {cfg.model.name} on {cfg.images.name!r}. Name one of "
            "conf/recipe, as in recipe=shapes/resnet18, or write one."
        )
    path = Path(cfg.model.weights)
    loaded = weights.load(cfg.model, device.chosen(cfg.device))
    subject = Subject(
        loaded.network,
        loaded.classes,
        instantiate(cfg.images),
        cfg.model.input.fit,
        cfg.model.input.size,
        cfg.model.input.mean,
        cfg.model.input.std,
        source.bank(path),
        cfg.quiet,
    )
    settings = dict(cfg.recipe.verify)
    parts = {name: Part(**settings[name]) for name in ("part", "known") if settings.get(name)}
    protocol = instantiate(settings | parts)
    verdict = protocol(subject, cfg.seed)
    numbers = {name: round(value, 4) for name, value in verdict.numbers.items()}
    with tracked(cfg.tracking, f"{cfg.images.name}-verify-{cfg.model.name}", cfg) as run:
        run.numbers(numbers)
    table = Path(cfg.results) / "decisions" / f"{cfg.model.name}.csv"
    decisions.write(table, verdict.decisions)
    write_json(path.with_suffix(".json"), numbers)
    subject_name = f"{cfg.model.name} on {cfg.images.name!r}"
    trained = "steps" in cfg.recipe
    gate.check(numbers, cfg.recipe.gate, subject_name, "recipe", None if trained else doubt(cfg))
    hold(cfg.model.name, path, Path(cfg.fetch.lock))
    return numbers


def doubt(cfg: DictConfig) -> str:
    """Return the advice for weights that were not trained here and miss their gate."""
    entry = source.read(Path(cfg.model.weights))
    known = entry and f"{Path(cfg.fetch.folder) / entry.file} (sha256 {entry.sha256})"
    return (
        f"These weights were not trained here: see whether {known or cfg.model.weights} is the "
        "published file, and all pictures of the protocol are there; remove the file to fetch it "
        "again"
    )


def hold(name: str, path: Path, lock: Path) -> None:
    """Record in `lock` the file from which verified weights were converted, if it came from a
    published address without a published hash."""
    entry = source.read(path)
    if entry is None or weights_lock.read(lock).get(name) == entry:
        return
    hashless = {one.address for one in models.card(name).weights if one.sha256 is None}
    if entry.address in hashless:
        weights_lock.record(lock, name, entry)


if __name__ == "__main__":
    main()
