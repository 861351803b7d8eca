"""The last step of a job in shards: the parts of every finished job become one store.

    python -m pipeline.merge
    python -m pipeline.merge results=outputs/imagenet

Looks through results/maps/MODEL/METHOD. Where every part of a job is there, writes maps.zarr and
manifest.json, and removes the parts once the store was read back and is equal to them: what reads
maps reads these, and any map can be read alone (pipeline.explanations.store.Store). Where parts are
missing, says which; it may be asked at any time, also by several at once, and asking twice changes
nothing.
"""

from pathlib import Path

from omegaconf import DictConfig
from tqdm import tqdm

from naflow.errors import BadInput
from pipeline.app import stage
from pipeline.atomic import locked
from pipeline.explanations import parts
from pipeline.explanations.job import Job


@stage
def main(cfg: DictConfig) -> None:
    """Merge."""
    merge(Path(cfg.results), cfg.quiet)


def merge(results: Path, quiet: bool | None = None) -> list[Path]:
    """Merge all complete folders of maps that lie as parts in `results`; returns them.

    Raises BadInput where there are none and, when the others are done, for those that lack parts.
    """
    folders = sorted({path.parent for path in results.glob("maps/*/*/part-*.npz")})
    if not folders and not list(results.glob("maps/*/*/manifest.json")):
        raise BadInput(
            f"{results}/maps holds no parts. Make them: python -m pipeline.explain -m "
            "'explain.shard=range(0,4)' explain.shards=4."
        )
    merged, told = [], []
    for folder in tqdm(folders, desc="merge", disable=quiet):
        with locked(folder):
            if not parts.paths(folder):
                continue  # another process has merged them meanwhile
            job = Job.of(folder)
            job.start(anew=False)
            if missing := job.missing():
                few = ", ".join(map(str, missing[:8])) + (", ..." if len(missing) > 8 else "")
                told.append(f"{folder} lacks {len(missing)} of {job.count} parts ({few}).")
            else:
                job.merge()
                merged.append(folder)
    if told:
        raise BadInput(*told, "Run the command of explain again: it makes what is missing.")
    return merged


if __name__ == "__main__":
    main()
