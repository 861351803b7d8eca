"""The last step of a job in shards: the parts of every finished job become one store.

    python -m pipeline.merge
    python -m pipeline.merge results=outputs/imagenet

Looks through results/maps/MODEL/METHOD. Where every part of a job is there, writes maps.zarr and
manifest.json, and removes the parts once the store was read back and is equal to them: what reads
maps reads these, and any map can be read alone (pipeline.explanations.store.Store). Where parts are
missing, says which; it may be asked at any time, also by several at once, and asking twice changes
nothing.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from omegaconf import DictConfig
from tqdm import tqdm

from naflow.errors import BadInput
from pipeline.app import stage
from pipeline.atomic import locked, restore
from pipeline.explanations import maps, store


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
            if not list(folder.glob("part-*.npz")):
                continue  # another process has merged them meanwhile
            restore(folder / store.NAME)
            if missing := lacking(folder):
                told.append(f"{folder} lacks {missing}.")
            else:
                merge_one(folder)
                merged.append(folder)
    if told:
        raise BadInput(*told, "Run the command of explain again: it makes what is missing.")
    return merged


def lacking(folder: Path) -> str:
    """In words, the parts that a folder's job has not made; "" where it is complete."""
    if (folder / maps.MANIFEST).exists():
        return ""
    job = described(folder)
    made = maps.made(folder, range(job["parts"]))
    missing = [n for n in range(job["parts"]) if made.get(n, "").split(" ")[0] != job["job"]]
    few = ", ".join(map(str, missing[:8])) + (", ..." if len(missing) > 8 else "")
    return f"{len(missing)} of {job['parts']} parts ({few})" if missing else ""


def merge_one(folder: Path) -> None:
    """Write the store of a complete folder, then its manifest; then remove the parts. The folder is
    locked. Raises BadInput, and removes nothing, where a source or the new store is damaged."""
    job = described(folder)
    parts = range(job["parts"])
    # After a picture was replaced, the other parts are those of the store there was.
    old = store.Store(folder) if store.exists(folder) else None
    paths = [maps.part_path(folder, number) for number in parts]

    def sources() -> Iterator[dict[str, np.ndarray]]:
        for number, path in enumerate(paths):
            yield maps.read_part(path) if old is None or path.exists() else old.part(number)

    store.write(folder, sources)
    maps.finish(folder, len(parts), {key: job[key] for key in job if key != "layers"})
    maps.remove_parts(folder)


def described(folder: Path) -> dict:
    """What is being made in a folder, or was."""
    for name in (maps.MANIFEST, maps.JOB):
        if (folder / name).exists():
            return maps.described(folder / name)
    raise BadInput(
        f"{folder} holds parts, but neither manifest.json nor job.json, which say of what job. "
        "Remove them, or make them again: python -m pipeline.explain."
    )


if __name__ == "__main__":
    main()
