"""The methods other than NAFlow, all called as (images, score) -> Flow.

Methods that pytorch-grad-cam computes are in naflow.explainers.library, which needs an extra.
"""

from naflow.explainers.cam import CAM, GradCAM, GradCAMPlusPlus, HiResCAM, LayerCAM, XGradCAM
from naflow.explainers.cf_cam import CFCAM, CFCAMFlow
from naflow.explainers.contrastive import CLRP, SGLRP
from naflow.explainers.controls import CentreGaussian, Edges, MeanActivation, RandomMap
from naflow.explainers.lrp import LRP, NotConserved, RelevanceFlow
from naflow.explainers.relevance_cam import RelevanceCAM
from naflow.explainers.rules import Rules
from naflow.explainers.segmentation import SegGradCAM, SegHiResGradCAM, SegXResCAM
from naflow.perturb.masked import image_masks

__all__ = [
    "CAM",
    "CFCAM",
    "CLRP",
    "LRP",
    "SGLRP",
    "CFCAMFlow",
    "CentreGaussian",
    "Edges",
    "GradCAM",
    "GradCAMPlusPlus",
    "HiResCAM",
    "LayerCAM",
    "MeanActivation",
    "NotConserved",
    "RandomMap",
    "RelevanceCAM",
    "RelevanceFlow",
    "Rules",
    "SegGradCAM",
    "SegHiResGradCAM",
    "SegXResCAM",
    "XGradCAM",
    "image_masks",
]
