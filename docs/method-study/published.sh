#!/bin/sh
# Published networks on photographs, on the half that no rule was chosen on:
#   sh docs/method-study/published.sh PHOTOS WEIGHTS [PICTURES]
#
# PHOTOS holds index.csv (see photographs.py) with the subsets pets31, caltech3, coco200 and cub20; WEIGHTS two published
# MobileNetV2s, of ImageNet's classes and of 965 birds; EfficientNet-Lite0 comes with naflow[demo]. Run it from the
# project's root with its environment active. A batch that was measured is not measured again: stop it, run it again,
# give it more pictures. Tables: docs/method-study/published; the page beside them is made from the tables.
set -eu
photos=$1 weights=$2 pictures=${3:-160}
half=${HALF:-report}                    # choose: the half that rules are chosen on
results=outputs/published/$half drawings=outputs/published/$half/drawn
[ "$half" = report ] && drawings=docs/method-study/published
index=$PWD/outputs/published/index.csv
mkdir -p outputs/published
python docs/method-study/photographs.py "$photos/index.csv" "$index"
python -m pipeline.fetch model=efficientnet_lite0 images=folder images.root="$photos" \
  images.index="$index"

measure() {
  python -m pipeline.measure "$@" images=folder images.root="$photos" images.index="$index" \
    images.splits.test="$half" images.splits.train=null images.splits.val=null recipe=photographs \
    recipe.verify.part.split=test results="$results" explain.pictures="$pictures" explain.batch=4 \
    measure.layers=blocks measure.sanity=true measure.deep=3 measure.steps=4 measure.judged=64
}
methods() {
  measure "$@" method=naflow method.preset=tested measure.name=naflow_tested
  measure -m "$@" method=naflow,sglrp,layercam,clrp,hirescam,gradcam
}
methods model=efficientnet_lite0 images.columns.label=collection
methods model=more/mobilenet_v2 images.columns.label=collection \
  model.labels="$weights/imagenet_labels.txt" \
  model.weights="$weights/mobilenet_v2_imagenet1001_torchvision_fp16.pt"
methods model=more/mobilenet_v2 model.name=mobilenet_v2_birds images.name=birds \
  +images.select.collection=cub20 model.labels="$weights/inat_bird_labels.txt" \
  model.weights="$weights/mobilenet_v2_inat_bird965_torchvision_fp16.pt"

python -m pipeline.study results="$results" drawings="$drawings" study.method=naflow_tested
