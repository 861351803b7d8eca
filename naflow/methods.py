"""The table of methods: for each name its class, settings, label, line style and source.

The command line, the pipeline, its figures, its page and the benchmarks use these names. `naflow`
is the default preset everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import TYPE_CHECKING, Any

from naflow.errors import BadInput, near_names

if TYPE_CHECKING:  # the command line lists the names without importing torch
    from torch import nn

    from naflow.explainer import Explainer


@dataclass(frozen=True)
class Method:
    """One method of the table.

    label     its name in figures and tables: the explainer's `name`
    target    its class, as package.module.Class; imported on use, since some need an extra
    source    the publication or code that describes it
    colour, marker, dash   of its curve, as matplotlib names them; no two methods share all three
    settings  arguments of the class that differ from its defaults
    note      half a sentence on what its maps are, if the label does not say it
    null      whether it gives the maps that NAFlow would give if its inverse added nothing
    control   whether it ignores the decision: a baseline that a method must beat
    command   whether the command line offers it: it needs no extra, and is no control
    """

    label: str
    target: str
    source: str
    colour: str
    marker: str = "."
    dash: str = "-"
    settings: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""
    null: bool = False
    control: bool = False
    command: bool = True

    @property
    def kind(self) -> type[Explainer]:
        """The explainer's class, imported on use."""
        module, _, name = self.target.rpartition(".")
        return getattr(import_module(module), name)

    def __call__(self, model: nn.Module, **settings: Any) -> Explainer:
        """Make the explainer of a model; keyword arguments override `settings`. Raises BadInput for
        wrong settings, and if an extra is not installed."""
        return self.kind(model, **{**self.settings, **settings})


_NAFLOW = "Liao, Gao, Zhang, IEEE TPAMI 48(5), 2026, arXiv 2412.01202"
_LIBRARY = "naflow.explainers.library"
_CONTROL: dict[str, Any] = {
    "source": "naflow",
    "colour": "0.75",
    "marker": "",
    "control": True,
    "command": False,
}

METHODS: dict[str, Method] = {
    "gradcam": Method(
        "Grad-CAM",
        "naflow.explainers.GradCAM",
        "Selvaraju et al., ICCV 2017, arXiv 1610.02391",
        "#0072b2",
        "s",
    ),
    "naflow_released": Method(
        "NAFlow (released)",
        "naflow.NAFlow",
        f"{_NAFLOW}: the authors' code",
        "#e69f00",
        "v",
        settings={"preset": "released"},
        note="as the authors' code computes it: its inverse returns the forward activation, and on "
        "ResNets its maps are LayerCAM's",
    ),
    "naflow_damped": Method(
        "NAFlow (damped)",
        "naflow.NAFlow",
        f"{_NAFLOW}: Eqs 1-14, regularised",
        "#54278f",
        "D",
        settings={"preset": "damped"},
        note="by the paper's equations, the inverse regularised",
    ),
    "naflow": Method(
        "NAFlow (selective)",
        "naflow.NAFlow",
        f"{_NAFLOW}; what is abandoned is naflow's own",
        "#b10026",
        "o",
        settings={"preset": "selective"},
        note="the library's default: nothing is inverted, and what speaks against the score is "
        "abandoned at every layer",
    ),
    "naflow_tested": Method(
        "NAFlow (tested)",
        "naflow.NAFlow",
        f"{_NAFLOW}; what is abandoned is naflow's own",
        "#1b7837",
        "P",
        settings={"preset": "tested"},
        note="as the default, of evidence beyond chance: zeros for a class that is not there",
    ),
    "hirescam": Method(
        "HiResCAM",
        "naflow.explainers.HiResCAM",
        "Draelos, Carin, 2020, arXiv 2011.08891",
        "0.35",
        "^",
        "--",
        null=True,
    ),
    "layercam": Method(
        "LayerCAM",
        "naflow.explainers.LayerCAM",
        "Jiang et al., IEEE TIP 30, 2021",
        "0.6",
        "v",
        ":",
        null=True,
    ),
    "gradcam_plus_plus": Method(
        "Grad-CAM++",
        "naflow.explainers.GradCAMPlusPlus",
        "Chattopadhay et al., WACV 2018, arXiv 1710.11063",
        "#56b4e9",
    ),
    "xgradcam": Method(
        "XGrad-CAM",
        "naflow.explainers.XGradCAM",
        "Fu et al., BMVC 2020, arXiv 2008.02312",
        "#0072b2",
        dash=":",
    ),
    "lrp": Method(
        "LRP",
        "naflow.explainers.LRP",
        "Bach et al., PLoS ONE 10(7), 2015; Montavon et al., 2019",
        "#009e73",
    ),
    "clrp": Method(
        "CLRP1",
        "naflow.explainers.CLRP",
        "Gu, Yang, Tresp, ACCV 2018, arXiv 1812.02100",
        "#d55e00",
    ),
    "sglrp": Method(
        "SGLRP",
        "naflow.explainers.SGLRP",
        "Iwana, Kuroki, Uchida, ICCV Workshops 2019, arXiv 1908.04351",
        "#cc79a7",
    ),
    "relevance_cam": Method(
        "Relevance-CAM",
        "naflow.explainers.RelevanceCAM",
        "Lee et al., CVPR 2021",
        "#009e73",
        dash="--",
    ),
    "cf_cam": Method(
        "CF-CAM",
        "naflow.explainers.CFCAM",
        "Sun, Shi, Wang, JEIT 45(4), 2023; no code is published: a reconstruction",
        "#56b4e9",
        dash="--",
        # All channels would take thousands of forward passes: use those with 90 % of the relevance.
        settings={"share": 0.9, "most": 32},
    ),
    "eigen_cam": Method(
        "Eigen-CAM",
        "naflow.explainers.eigen.EigenCAM",
        "Muhammad, Yeasin, IJCNN 2020, arXiv 2008.00299",
        "#8c6d31",
        command=False,
    ),
    "score_cam": Method(
        "Score-CAM (32 channels)",
        f"{_LIBRARY}.ScoreCAM",
        "Wang et al., CVPR Workshops 2020, arXiv 1910.01279",
        "#cc79a7",
        dash="--",
        settings={"most": 32},
        command=False,
    ),
    "ablation_cam": Method(
        "Ablation-CAM",
        f"{_LIBRARY}.AblationCAM",
        "Desai, Ramaswamy, WACV 2020",
        "#d55e00",
        dash="--",
        command=False,
    ),
    "fullgrad": Method(
        "FullGrad",
        f"{_LIBRARY}.FullGrad",
        "Srinivas, Fleuret, NeurIPS 2019, arXiv 1905.00780",
        "#8c6d31",
        dash="--",
        command=False,
    ),
    "mean_activation": Method(
        "Mean activation", "naflow.explainers.MeanActivation", dash="-", **_CONTROL
    ),
    "centre": Method(
        "Centre",
        "naflow.explainers.CentreGaussian",
        dash="--",
        settings={"deviation": 0.25},
        **_CONTROL,
    ),
    "edges": Method("Edges", "naflow.explainers.Edges", dash="-.", **_CONTROL),
    "random": Method(
        "Random", "naflow.explainers.RandomMap", dash=":", settings={"seed": 0}, **_CONTROL
    ),
}


def method(name: str, among: Iterable[str] = METHODS) -> Method:
    """Return the method with this name. Raises BadInput, with similar names from `among`."""
    among = list(among)
    if name not in among:
        raise BadInput(f"There is no method {name!r}.{near_names(name, among)}")
    return METHODS[name]


def ordered(names: Iterable[str]) -> list[str]:
    """Sort names as figures and tables list them: in the order of METHODS, then others by name."""
    places = {name: place for place, name in enumerate(METHODS)}
    return sorted(names, key=lambda name: (places.get(name, len(places)), name))


def label(name: str) -> str:
    """Return the label of a method, or the name itself if METHODS does not have it."""
    return METHODS[name].label if name in METHODS else name
