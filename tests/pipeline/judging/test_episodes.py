"""Episodes hold what they must, and the scores are those of their papers, computed by loops."""

import pytest
import torch
from torch import Generator
from torch.nn.functional import cosine_similarity

from naflow.errors import BadInput
from pipeline.judging.episodes import cosine, episode, euclidean, local_descriptors

LABELS = torch.arange(40) % 4


def test_an_episode_has_distinct_pictures_each_row_of_one_class():
    drawn = episode(LABELS, 3, 5, Generator().manual_seed(0))
    assert drawn.shape == (3, 5)
    assert drawn.unique().numel() == 15
    rows = LABELS[drawn]
    assert (rows == rows[:, :1]).all()
    assert rows[:, 0].unique().numel() == 3


def test_the_generator_decides():
    draws = [episode(LABELS, 3, 5, Generator().manual_seed(seed)) for seed in (0, 0, 1)]
    assert torch.equal(draws[0], draws[1])
    assert not torch.equal(draws[0], draws[2])


def test_too_few_classes_or_pictures():
    with pytest.raises(BadInput, match="An episode of 5 classes cannot be drawn from 4"):
        episode(LABELS, 5, 2, Generator())
    with pytest.raises(BadInput, match="has 10 pictures, an episode needs 11"):
        episode(LABELS, 2, 11, Generator())


@pytest.fixture
def maps():
    generator = Generator().manual_seed(0)
    return (
        torch.randn(3, 2, 4, 3, 3, generator=generator),
        torch.randn(5, 4, 3, 3, generator=generator),
    )


def test_cosine_and_euclidean_are_their_definitions(maps):
    support, query = maps
    for q in range(5):
        for w in range(3):
            vectors = [one.flatten() for one in support[w]]
            centre = sum(v / v.norm() for v in vectors) / 2
            alike = cosine_similarity(query[q].flatten(), centre, dim=0)
            torch.testing.assert_close(cosine(support, query)[q, w], alike)
            far = ((query[q].flatten() - sum(vectors) / 2) ** 2).sum()
            torch.testing.assert_close(euclidean(support, query)[q, w], -far)


def test_local_descriptors_sum_the_three_nearest_of_every_place(maps):
    support, query = maps
    found = local_descriptors(support, query)
    for q in range(5):
        for w in range(3):
            total = 0.0
            for place in query[q].flatten(1).T:
                alike = [
                    cosine_similarity(place, other, dim=0)
                    for shot in support[w]
                    for other in shot.flatten(1).T
                ]
                total = total + sum(sorted(alike)[-3:])
            torch.testing.assert_close(found[q, w], total)
