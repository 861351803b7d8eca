"""Which places of an embedding's last map speak for the reference, by several tests:

    python docs/method-study/references.py [settings of pipeline.measure]

Writes docs/method-study/references/NETWORK.csv, and the page beside the folder from all such
tables. docs/method-study/references.sh runs it on three networks.
"""

import sys
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from torch import Tensor, nn
from torch.nn.functional import normalize
from torchvision.models import ResNet

from naflow import metrics
from naflow.reverse.abandon import CHANCE, doubtful
from naflow.scores import ChannelContribution, Score, Similarity, SimilarityContrast
from pipeline import markdown
from pipeline.app import CONF
from pipeline.explanations.batches import Batches
from pipeline.measuring.asked import OfLikeness
from pipeline.measuring.panel import panel_of
from pipeline.measuring.sanity import absent_classes
from pipeline.models import weights

FOLDER = Path(__file__).parent / "references"
COLUMNS = {
    "ratio": "ratio to the object's area",
    "low": "from",
    "high": "to",
    "rank": "random reference: rank correlation",
    "empty": "empty",
    "other": "random reference: empty",
    "sum": "sum of evidence",
}
HEAD = """\
# What an embedding's evidence is tested against

Made by `sh docs/method-study/references.sh`. The last map of {pictures} pictures, each beside the
known picture that is most like it, of {known} known ones. A place's evidence e is the sum of its
channels' contributions.

- Questions: the paper's score (Eqs 17-21); the cosine; the cosine less the mean one to the known
  pictures (contrast); of a network that divides its embedding by the norm, the same with that norm
  held, as a constant.
- Tests: none (HiResCAM); random signs, the last layer of the preset `tested`; other references:
  max(e, 0) max(0, 1 - 4 var / e^2), var the variance of the place's evidence over all known
  pictures as references.

The ratio is the map's share on the object over the object's share of the picture, 1 by chance, of
maps that are not empty; its interval is of 95 %, resampled over pictures. The rank correlation with
the map for a random reference, of the less similar half, should be low. The sum of evidence is that
over all places, divided by the sum of absolute values: near 0, what speaks for the reference and
what speaks against it cancel.
"""


def main(settings: list[str]) -> None:
    """Measure one network, and write the page."""
    torch.set_num_threads(1)
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", overrides=settings)
    network = weights.load(cfg.model, torch.device("cpu")).network.eval()
    batches = Batches(cfg, images := instantiate(cfg.images), network)
    known = batches.known
    assert known is not None
    found: dict[tuple[str, str], list[pd.DataFrame]] = {}
    for number in range(len(batches)):
        panel = panel_of(cfg, images, network, batches.read(number))
        if panel is None:
            continue
        assert isinstance(panel.asked, OfLikeness)
        with torch.no_grad():
            alike = unit(network(panel.images)) @ unit(known).T
        drawn = known[absent_classes(alike, panel.ids, cfg.seed + number)]
        pair = [maps(network, panel.images, u, known) for u in (panel.asked.references, drawn)]
        for key, (own, total) in pair[0].items():
            table = compared(own, pair[1][key][0], panel.masks).assign(sum=total)
            found.setdefault(key, []).append(table)
    rows = [summary(pd.concat(tables), *key) for key, tables in found.items()]
    FOLDER.mkdir(exist_ok=True)
    table = pd.DataFrame(rows).assign(known=len(known))
    table.to_csv(FOLDER / f"{cfg.model.name}.csv", index=False, float_format="%.5f")
    write()


def unit(embeddings: Tensor) -> Tensor:
    """Flatten embeddings (N, ...) to (N, D), and divide them by their norm."""
    return normalize(embeddings.flatten(1))


def maps(
    network: nn.Module, images: Tensor, references: Tensor, known: Tensor
) -> dict[tuple[str, str], tuple[Tensor, Tensor]]:
    """Return (question, test) -> the last maps (B, h, w) of images, and the sum of their evidence
    over that of its absolute values (B,)."""
    apart = (unit(known) - unit(known).mean(0)).view_as(known)
    contrast = SimilarityContrast(references, known)
    questions: dict[str, tuple[Score, bool]] = {
        "Eqs 17-21": (ChannelContribution(references), False),
        "cosine": (Similarity(references), False),
        "contrast": (contrast, False),
    }
    if isinstance(network, ResNet):  # these embeddings are divided by their norm
        questions["contrast, norm held"] = (contrast, True)
    found = {}
    for name, (score, held) in questions.items():
        x, output = last_map(network, images, held)
        grad = partial(torch.autograd.grad, output, x, retain_graph=True)
        (alpha,) = torch.autograd.grad(score(output).sum(), x, retain_graph=True)
        activation = x.detach()
        evidence = (alpha * activation).sum(1)
        total = evidence.sum((1, 2)) / evidence.abs().sum((1, 2))
        found[name, "none"] = evidence.clamp(min=0), total
        found[name, "random signs"] = doubtful(alpha, activation, last=True).evidence, total
        if name.startswith("contrast"):
            others = [
                (grad(grad_outputs=one.expand_as(output))[0] * activation).sum(1) for one in apart
            ]
            chance = CHANCE**2 * torch.stack(others).var(0) / evidence.square()
            beyond = torch.where(evidence > 0, evidence * (1 - chance).clamp(min=0), 0.0)
            found[name, "other references"] = beyond, total
    return found


def last_map(network: nn.Module, images: Tensor, held: bool) -> tuple[Tensor, Tensor]:
    """Return the last feature map (B, C, h, w) and the embedding that is computed from it, whose
    norm is a constant if `held`."""
    seen: list[Tensor] = []

    def cut(_module: nn.Module, _inputs: object, y: Tensor) -> Tensor:
        seen.append(y.detach().requires_grad_())
        return seen[0]

    last = network.layer4 if isinstance(network, ResNet) else network.block4
    hook = last.register_forward_hook(cut)
    try:
        output = ResNet.forward(network, images) if held else network(images)
    finally:
        hook.remove()
    if held:
        output = output / output.detach().norm(dim=1, keepdim=True)
    return seen[0], output


def compared(own: Tensor, other: Tensor, masks: Tensor) -> pd.DataFrame:
    """Return one row per picture: of its map, and of its map for another reference."""
    empty = metrics.empty(own)
    ratio = metrics.energy_ratio(own, masks).masked_fill(empty, torch.nan)
    rank = metrics.rank_correlation(own, other).masked_fill(empty, torch.nan)
    columns = {"ratio": ratio, "rank": rank, "empty": empty, "other": metrics.empty(other)}
    return pd.DataFrame({name: values.double().numpy() for name, values in columns.items()})


def summary(table: pd.DataFrame, question: str, test: str) -> dict[str, object]:
    """Return the means of one question and test over pictures."""
    ratio = metrics.bootstrap(table[["ratio"]].to_numpy(), 2000, 0.95, 0)
    interval = {"low": float(ratio.low[0]), "high": float(ratio.high[0])}
    about = {"question": question, "test": test, "pictures": len(table)}
    return about | table.mean().to_dict() | interval


def write() -> None:
    """Write the page of all networks that were measured."""
    tables = {path.stem: pd.read_csv(path) for path in sorted(FOLDER.glob("*.csv"))}
    pictures = sorted({int(table["pictures"].max()) for table in tables.values()})
    known = sorted({int(table["known"].max()) for table in tables.values()})
    counts = [" or ".join(map(str, each)) for each in (pictures, known)]
    text = HEAD.format(pictures=counts[0], known=counts[1])
    for name, table in tables.items():
        rows = [
            [row["question"], row["test"], *(_cell(row[column]) for column in COLUMNS)]
            for _, row in table.iterrows()
        ]
        text += f"\n## {name}\n\n{markdown.table(['question', 'test', *COLUMNS.values()], rows)}"
    FOLDER.with_suffix(".md").write_text(text, encoding="utf-8")


def _cell(value: float) -> str:
    return "-" if pd.isna(value) else f"{value:z.2f}"


if __name__ == "__main__":
    main(sys.argv[1:])
