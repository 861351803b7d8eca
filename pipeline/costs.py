"""What the paper's networks cost: flows, training, judging, as `python -m bench.costs` measured."""

from dataclasses import dataclass
from pathlib import Path

from naflow.errors import BadInput
from pipeline.app import CONF
from pipeline.atomic import read_json

FILE = CONF / "costs.json"


@dataclass(frozen=True)
class Cost:
    """Of a model.

    size      pixels a side that it is given
    gflop     of a forward pass of one picture
    speed     GFLOP a second and core of such passes, where this was measured
    forwards  method -> the forward passes that a flow takes as long as
    memory    method -> bytes alive at the peak, a picture
    maps      bytes of the maps of a picture, all layers
    step      the forward passes that a training step of one picture takes as long as, its random
              view included; both in the precision that training has on the core
    judge     the forward passes that judging takes as long as: of an NPID network the vote of one
              picture's neighbours in ImageNet's memory bank, of a few-shot one an episode; else 0
    alive     bytes alive at the peak: of a `forward` pass and of a training `step` in float32, a
              picture; of a call that judges, `judge`, as a whole
    torch     what measured it
    """

    size: int
    gflop: float
    speed: float
    forwards: dict[str, float]
    memory: dict[str, int]
    maps: int
    step: float
    judge: float
    alive: dict[str, int]
    torch: str

    def flow(self, method: str) -> float:
        """GFLOP that a flow of one picture takes as long as."""
        return self.gflop * self.forwards[method]


def read(path: Path = FILE) -> dict[str, Cost]:
    """Model -> cost. Raises BadInput for a file that is missing or no such table."""
    try:
        return {name: Cost(**told) for name, told in read_json(path).items()}
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise BadInput(
            f"{path} is no table of costs ({error}). Measure them: python -m bench.costs."
        ) from None
