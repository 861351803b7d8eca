#!/bin/sh
# The paper's claims on photographs with masks, on the half that no rule was chosen on:
#   sh docs/method-study/claims.sh PHOTOS WEIGHTS [PICTURES]
#
# PHOTOS and WEIGHTS as in published.sh. Run it from the project's root with its environment active. A network's maps are
# made again where it was not finished. Table: docs/method-study/claims; the page beside it is made from it.
set -eu
photos=$1 weights=$2 pictures=${3:-24}
results=outputs/claims
index=$PWD/outputs/published/masks.csv
mkdir -p outputs/published
python docs/method-study/photographs.py "$photos/index.csv" "$index" masks
python -m pipeline.fetch model=efficientnet_lite0 images=folder images.root="$photos" images.index="$index"

explain() {
  python -m pipeline.explain -m images=folder images.root="$photos" images.index="$index" \
    images.columns.label=collection images.splits.test=report \
    images.splits.train=null images.splits.val=null recipe=photographs recipe.verify.part.split=test \
    results=$results explain.pictures="$pictures" explain.batch=4 explain.shown=0 \
    method=gradcam,naflow_released,naflow_damped,naflow,naflow_tested "$@"
}
explain model=efficientnet_lite0
explain model=more/mobilenet_v2 model.labels="$weights/imagenet_labels.txt" \
  model.weights="$weights/mobilenet_v2_imagenet1001_torchvision_fp16.pt"

python -m pipeline.claims.checked results=$results drawings=docs/method-study/claims \
  'checked=[naflow_released,naflow_damped,naflow,naflow_tested]'
