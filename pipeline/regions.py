"""Stage `regions`: explain sets of pixels of a segmentation, and draw the figure.

    python -m pipeline.regions +segment=shapes

Explains `segment.questions` of a trained network (python -m pipeline.segment). Writes the figure
`segment.figure` as PNG and PDF, with a JSON file of its caption and numbers.
"""

from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from pipeline import device
from pipeline.app import stage
from pipeline.atomic import write_json
from pipeline.figures.page import publish
from pipeline.fingerprint import of_file
from pipeline.models import weights
from pipeline.segmentation.answers import Examiner, Question
from pipeline.segmentation.drawing import Sheet, drawn
from pipeline.segmentation.network import predicted
from pipeline.segmentation.settings import labelled_part, settings
from pipeline.segmentation.words import told


@stage
def main(cfg: DictConfig) -> None:
    """Explain and draw."""
    regions(cfg)


def regions(cfg: DictConfig) -> Path:
    """Draw `segment.figure` into `cfg.drawings`; return its JSON file.

    Raises BadInput for weights that do not exist and for questions that cannot be answered.
    """
    device.seeded(cfg.seed)
    asked = settings(cfg)
    shape = asked.model.input
    loaded = weights.load(asked.model, device.chosen(cfg.device))
    shown = labelled_part(cfg, "test")
    found = predicted(loaded.network, shown.pixels.images, shape.mean, shape.std)
    methods = {key: instantiate(one, loaded.network) for key, one in asked.methods.items()}
    questions: Any = OmegaConf.to_container(asked.questions, resolve=True)
    examiner = Examiner(shown, found, methods, asked.layers, shape.mean, shape.std, asked.least)
    answers = [
        examiner(Question(**one)) for one in tqdm(questions, desc="questions", disable=cfg.quiet)
    ]
    sheet = Sheet(
        asked.model.name,
        asked.images.name,
        shown.classes,
        {key: method.name for key, method in methods.items()},
        list(asked.layers),
        answers,
    )
    place = Path(cfg.drawings) / asked.figure
    publish(drawn(sheet), place)
    made_of = {"figure": asked.figure, "weights_sha256": of_file(asked.model.weights)}
    write_json(place.with_suffix(".json"), made_of | told(sheet))
    return place.with_suffix(".json")


if __name__ == "__main__":
    main()
