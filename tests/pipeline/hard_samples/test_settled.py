"""Fine-tuning changes weights, not statistics, and chance has no part in it."""

import torch
from torch import nn

from pipeline.hard_samples.settled import Settled


def test_weights_learn_while_statistics_stay_and_nothing_is_dropped():
    torch.manual_seed(0)
    network = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Dropout(0.5),
        nn.Linear(4, 2),
    )
    before = {name: value.clone() for name, value in network.state_dict().items()}
    objective = Settled(network, torch.tensor([0, 1, 0, 1]), 8)
    objective.train()
    views, chosen = torch.randn(4, 3, 8, 8), torch.arange(4)
    first, second = objective(views, chosen), objective(views, chosen)
    assert torch.equal(first, second)
    optimizer = torch.optim.SGD(objective.parameters(), lr=0.1)
    first.backward()
    optimizer.step()
    changed = {
        name for name, value in network.state_dict().items() if not value.equal(before[name])
    }
    assert {"0.weight", "1.weight", "6.weight"} <= changed
    assert not [name for name in changed if "running" in name or "tracked" in name]
