"""The nine networks of the NAFlow paper, and their weights. Needs torchvision and safetensors."""

from naflow.models.card import Input, ModelCard, Weights
from naflow.models.registry import card, convert, create, list_models, memory_bank, table

__all__ = [
    "Input",
    "ModelCard",
    "Weights",
    "card",
    "convert",
    "create",
    "list_models",
    "memory_bank",
    "table",
]
