"""Published few-shot networks, read into our classes, on real photographs and the same episodes.

DN4's Conv64F and ProtoNet's Conv-4 run once through our stage's parts, and once as their authors'
layers in their authors' order, with their classifiers written out.
"""

import pytest
import torch
from torch import Generator, nn

import naflow.models
from pipeline.judging.episodes import episode
from pipeline.judging.protocols import Episodes
from pipeline.models.subject import Subject
from pipeline.pictures.images import Folder, Part

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
EPISODES = 4


@pytest.fixture
def subject(photographs):
    def of(network):
        columns, chosen = {"label": "class"}, {"subset": "imagenet18"}
        folder = Folder(str(photographs), "imagenet18", "index.csv", columns, chosen)
        nowhere = photographs / "no.npy"
        return Subject(network, None, folder, "crop", 84, MEAN, STD, nowhere, True)

    return of


PART = Part(each=16)


def accuracy(values, labels, scores):
    """Over the episodes that the protocol draws with seed 0, scores of one query at a time."""
    generator, right = Generator().manual_seed(0), []
    for _ in range(EPISODES):
        drawn = episode(labels, 5, 16, generator)
        for way in range(5):
            for query in drawn[way, 1:]:
                found = [scores(values[drawn[other, 0]], values[query]) for other in range(5)]
                right.append(found.index(max(found)) == way)
    return sum(right) / len(right)


def test_dn4(subject, photographs):
    path = photographs.parent / "weights" / "dn4" / "dn4_2023_conv64f_1shot.pth.tar"
    ours = subject(naflow.models.create("conv64f", path, flatten=False))
    protocol = Episodes(
        PART, episodes=EPISODES, scores="pipeline.judging.episodes.local_descriptors"
    )
    found = protocol(ours, seed=0).numbers["accuracy"]

    act, pool = nn.LeakyReLU(0.2), nn.MaxPool2d(2)
    layers = [nn.Conv2d(3, 64, 3, padding=1), nn.BatchNorm2d(64), act, pool]
    layers += [nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), act, pool]
    layers += [nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), act]
    layers += [nn.Conv2d(64, 64, 3, padding=1), nn.BatchNorm2d(64), act]
    theirs = nn.Sequential(*layers).eval()
    state = torch.load(path, weights_only=True, map_location="cpu")["model"]
    theirs.load_state_dict({name.split("features.")[-1]: value for name, value in state.items()})
    outputs = subject(theirs).outputs(PART)

    def scores(support, query):
        q, s = (x.flatten(1) / x.flatten(1).norm(dim=0) for x in (query, support))
        alike = q.T @ s  # (places of the query, places of the support)
        return alike.topk(3, dim=1).values.sum().item()

    assert found == pytest.approx(accuracy(outputs.values, outputs.labels, scores), abs=2e-3)
    assert 0.3 < found < 0.7


def test_protonet(subject, photographs):
    path = photographs.parent / "weights" / "protonet_conv4" / "miniimagenet_proto-1_max-acc.pth"
    ours = subject(naflow.models.create("conv4net", path))
    protocol = Episodes(PART, episodes=EPISODES, scores="pipeline.judging.episodes.euclidean")
    found = protocol(ours, seed=0).numbers["accuracy"]

    def block(channels):
        return nn.Sequential(
            nn.Conv2d(channels, 64, 3, padding=1), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)
        )

    theirs = nn.Sequential(block(3), block(64), block(64), block(64)).eval()
    state = torch.load(path, weights_only=True, map_location="cpu")
    theirs.load_state_dict({name.removeprefix("encoder."): v for name, v in state.items()})
    outputs = subject(theirs).outputs(PART)

    def scores(support, query):
        return -(support - query).square().sum().item()

    assert found == pytest.approx(accuracy(outputs.values, outputs.labels, scores), abs=2e-3)
    assert 0.3 < found < 0.65
