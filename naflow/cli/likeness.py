"""What is explained of an embedding: its similarity to a reference photo, also against others."""

from __future__ import annotations

import hashlib
from argparse import Namespace
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from naflow.cli.files import shown
from naflow.cli.photos import PhotoFile, photo_paths
from naflow.cli.progress import Progress
from naflow.errors import BadInput
from naflow.scores import ChannelContribution, Score, SimilarityContrast

Embed = Callable[[Sequence[PhotoFile]], Tensor]


def likeness(arguments: Namespace, embed: Embed) -> tuple[Score, dict[str, str]]:
    """Return the score that --reference and --against ask for, and the sha256 of their photos.

    embed  photos -> embeddings (N, ...)

    Raises BadInput for a photo that cannot be read, and if none is left besides the reference.
    """
    reference = PhotoFile.read(arguments.reference)
    embedding = embed([reference])
    hashes = {"reference": reference.sha256}
    if arguments.against is None:
        return ChannelContribution(embedding), hashes
    digests: list[str] = []
    others = []
    try:
        for files in _others(arguments, reference):
            digests += [file.sha256 for file in files]
            others.append(embed(files))
        if not others:
            raise BadInput("there are no photos besides the reference.")
        score = SimilarityContrast(embedding, torch.cat(others))
        score(embedding)  # raises BadInput for embeddings that cannot be compared
    except BadInput as error:
        raise BadInput(f"--against: {error} Give other photos.") from None
    return score, hashes | {
        "against": hashlib.sha256("".join(sorted(digests)).encode()).hexdigest()
    }


def _others(arguments: Namespace, reference: PhotoFile) -> Iterator[list[PhotoFile]]:
    """Yield the photos of --against in batches, without copies of the reference."""
    paths = photo_paths(arguments.against)
    progress = Progress(len(paths), arguments.quiet)
    for start in range(0, len(paths), arguments.batch):
        progress.at(start, shown(paths[start]), "to contrast with")
        files = [PhotoFile.read(path) for path in paths[start : start + arguments.batch]]
        if kept := [file for file in files if file.sha256 != reference.sha256]:
            yield kept
    progress.clear()
