"""Refuse transformers: their tokens are no feature maps."""

from __future__ import annotations

from naflow.errors import UnsupportedModel
from naflow.run.cut import Chain
from naflow.run.operation import Operation

_ATTENDS = ("scaled_dot_product_attention", "multi_head_attention_forward")
_PRODUCTS = ("matmul", "bmm", "einsum", "baddbmm")


def refuse_transformer(chain: Chain) -> None:
    """Raise UnsupportedModel for a model with more self-attention than spatial convolutions.

    A CNN with attention blocks (non-local blocks, attention pooling) has feature maps between them
    and is not refused. Call this before the values of the run are released.
    """
    operations = [operation for unit in chain.units for operation in unit.operations]
    softmaxes = {
        operation.results[0]: operation for operation in operations if operation.name == "softmax"
    }
    attention = [operation for operation in operations if _attends(operation, softmaxes)]
    spatial = sum(map(_over_space, operations))
    if attention and len(attention) > spatial:
        raise UnsupportedModel(
            f"'{attention[0].scope}' is self-attention, and the model has {len(attention)} such "
            f"layers against {spatial} convolutions over space: it is a transformer, which has "
            "tokens and no feature maps. NAFlow explains convolutional networks."
        )


def _attends(operation: Operation, softmaxes: dict) -> bool:
    if operation.name.endswith(_ATTENDS):
        return True
    weights = next((v for v in operation.inputs if v in softmaxes), None)
    # A single row of weights for all pixels is attention pooling (as in GCNet), not self-attention.
    return operation.name in _PRODUCTS and weights is not None and weights.shape[-2] > 1


def _over_space(operation: Operation) -> bool:
    if not operation.name.startswith("conv"):
        return False
    weight = operation.arguments.get("weight")
    return weight is not None and max(weight.shape[2:], default=1) > 1
