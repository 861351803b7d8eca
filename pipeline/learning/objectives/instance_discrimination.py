"""NPID: every picture is a class of its own, and a memory bank replaces the classifier.

Wu et al., CVPR 2018, arXiv 1805.01978, Eq. 2: P(i | v) = exp(v . m_i / T) / sum_j exp(v . m_j / T),
m_i the bank's vector of picture i. The paper estimates the sum from 4096 negatives because ImageNet
has 1.3 million pictures; here, with thousands, the sum is exact.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pipeline.learning.objectives.objective import Objective, width


class InstanceDiscrimination(Objective):
    """Cross-entropy of each picture's embedding, of norm 1, with the bank's vectors as classes.

    temperature  T
    momentum     of the bank's vectors: m <- momentum m + (1 - momentum) v, normalised to 1
    """

    def __init__(
        self,
        network: nn.Module,
        labels: Tensor,
        size: int,
        temperature: float = 0.07,
        momentum: float = 0.5,
    ) -> None:
        super().__init__(network, labels, size)
        self.temperature, self.momentum = temperature, momentum
        # A vector is zero until its picture is first seen; that first time does not count as loss.
        self.register_buffer("bank", torch.zeros(len(labels), width(network, size)))
        self.bank: Tensor

    @torch.no_grad()
    def begin(self, views: Tensor) -> None:
        """Set the last layer so that the embeddings are spread over the sphere.

        With random weights they all lie close together, which slows training down. Our choice.
        """
        last = [module for module in self.network.modules() if isinstance(module, nn.Linear)][-1]
        seen: list[Tensor] = []
        hook = last.register_forward_pre_hook(lambda _, given: seen.append(given[0].float()))
        self.outputs(views)
        hook.remove()
        spread, centre = torch.std_mean(seen[0], dim=0)
        last.weight.normal_().div_(spread.clamp_min(0.1 * spread.mean()))
        last.weight.div_(len(centre) ** 0.5)
        last.bias.copy_(-last.weight @ centre)

    def forward(self, views: Tensor, chosen: Tensor) -> Tensor:
        found = self.outputs(views)
        # The bank is changed below; the gradient needs its old values.
        bank = self.bank.clone()
        losses = F.cross_entropy(found @ bank.T / self.temperature, chosen, reduction="none")
        loss = (losses * bank[chosen].any(1)).mean()
        with torch.no_grad():
            mixed = self.momentum * self.bank[chosen] + (1 - self.momentum) * found
            self.bank[chosen] = F.normalize(mixed)
        return loss
