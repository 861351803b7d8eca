"""Stage `flow`: the first picture, of a published network on real photographs.

    python -m pipeline.flow drawings=figures

Draws what `naflow demo` draws, as figures/flow.png, with the raw maps beside it as flow.npz. Needs
no data and no training: network and photographs are installed. Weights become safetensors once.
"""

from pathlib import Path

from omegaconf import DictConfig

from naflow import models
from naflow.cli.demo import NETWORK, draw
from naflow.errors import BadInput
from pipeline.app import stage

WEIGHTS = Path("data/weights/photographs") / f"{NETWORK}.safetensors"


@stage
def main(cfg: DictConfig) -> None:
    """Draw."""
    flow(cfg)


def flow(cfg: DictConfig, weights: Path = WEIGHTS) -> Path:
    """Draw the picture into `cfg.drawings`; returns its path.

    Raises BadInput where the network or the photographs are not installed.
    """
    if not weights.is_file():
        published = models.installed(NETWORK)
        if published is None:
            raise BadInput(f"{NETWORK} comes in no package: give its weights as {weights}.")
        models.convert(NETWORK, published, weights)
    return draw(models.create(NETWORK, weights), Path(cfg.drawings), quiet=bool(cfg.quiet))


if __name__ == "__main__":
    main()
