"""The nine networks of the NAFlow paper, EfficientNet-Lite0, and their weights.

Needs torchvision and safetensors.
"""

from naflow.models.card import File, Input, ModelCard, Weights
from naflow.models.registry import card, convert, create, installed, list_models, memory_bank, table

__all__ = [
    "File",
    "Input",
    "ModelCard",
    "Weights",
    "card",
    "convert",
    "create",
    "installed",
    "list_models",
    "memory_bank",
    "table",
]
