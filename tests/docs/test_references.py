"""What an embedding's evidence is tested against: by hand, on small random networks."""

import pytest
import torch
from study_script import script
from torch.nn.functional import normalize

from naflow import models


@pytest.fixture(scope="module")
def references():
    return script("references")


def test_a_place_is_tested_against_other_references(references) -> None:
    torch.manual_seed(0)
    network = models.create("conv64f").eval()
    images, pictures = torch.randn(2, 3, 16, 16), torch.randn(5, 3, 16, 16)
    with torch.no_grad():
        v, known = network(images), network(pictures)
    found = references.maps(network, images, known[:2], known)
    others = [normalize(u, dim=0) for u in known]
    mean = sum(others) / 5
    of = torch.stack([(v * (u - mean)).view(2, 64, 4, 4).sum(1) for u in others])  # (5, 2, 4, 4)
    evidence = torch.stack([of[0, 0], of[1, 1]])
    beyond = (evidence * (1 - 4 * of.var(0) / evidence**2)).where(evidence > 2 * of.std(0), 0)
    torch.testing.assert_close(found["contrast", "none"][0], evidence.relu())
    torch.testing.assert_close(found["contrast", "other references"][0], beyond)
    assert found["cosine", "none"][1].abs().max() < 1e-4  # Euler's theorem


def test_the_evidence_of_a_normalised_embedding_adds_up_to_nothing(references) -> None:
    torch.manual_seed(0)
    network = models.create("resnet18_npid").eval()
    network.fc.bias.data.zero_()
    images, pictures = torch.randn(2, 3, 64, 64), torch.randn(5, 3, 64, 64)
    with torch.no_grad():
        known = network(pictures)
    found = references.maps(network, images, known[:2], known)
    for question in ("Eqs 17-21", "cosine", "contrast"):
        assert found[question, "none"][1].abs().max() < 1e-3
    assert found["contrast, norm held", "none"][1].abs().min() > 1e-2
