"""Networks and their weights: the nine of the NAFlow paper, EfficientNet-Lite0, and, by name, those
of torchvision, timm and the Hugging Face hub.

Needs torchvision and safetensors; timm and transformers for their own networks.
"""

from naflow.models.card import File, Input, ModelCard, Weights
from naflow.models.pretrained import Pretrained, pretrained
from naflow.models.registry import card, convert, create, installed, list_models, memory_bank, table

__all__ = [
    "File",
    "Input",
    "ModelCard",
    "Pretrained",
    "Weights",
    "card",
    "convert",
    "create",
    "installed",
    "list_models",
    "memory_bank",
    "pretrained",
    "table",
]
