"""The last step of a job in shards: join the parts of every complete job to one store.

    python -m pipeline.merge
    python -m pipeline.merge results=outputs/imagenet

Looks through results/maps/MODEL/METHOD. If all parts of a job exist, it writes maps.zarr and
manifest.json, and removes the parts after reading the store back and comparing. All readers of maps
accept a store, and single maps can be read from it (pipeline.explanations.store.Store). If parts
are missing, it says which. It can be run at any time, several times and by several processes at
once.
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
    """Merge all complete folders of maps in `results` that are still parts; return them.

    Raises BadInput if there are none and, after merging the others, for those that lack parts.
    """
    folders = sorted({path.parent for path in results.glob("maps/*/*/part-*.npz")})
    if not folders and not list(results.glob("maps/*/*/manifest.json")):
        raise BadInput(
            f"{results}/maps holds no parts. Make them: python -m pipeline.explain -m "
            "'explain.shard=range(0,4)' explain.shards=4."
        )
    merged, lacking = [], []
    for folder in tqdm(folders, desc="merge", disable=quiet):
        with locked(folder):
            if not parts.paths(folder):
                continue  # another process has merged them meanwhile
            job = Job.of(folder)
            job.start(anew=False)
            if missing := job.missing():
                few = ", ".join(map(str, missing[:8])) + (", ..." if len(missing) > 8 else "")
                lacking.append(f"{folder} lacks {len(missing)} of {job.count} parts ({few}).")
            else:
                job.merge()
                merged.append(folder)
    if lacking:
        raise BadInput(*lacking, "Run the command of explain again: it makes what is missing.")
    return merged


if __name__ == "__main__":
    main()
