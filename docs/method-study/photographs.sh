#!/bin/sh
# The study on real photographs: sh docs/method-study/photographs.sh PHOTOS WEIGHTS
#
# PHOTOS holds index.csv (columns: subset, id, image, mask, class, split, x0, y0, x1, y1) with the
# subsets pets31 (masks), cub20 (boxes), caltech3 (masks of airplanes, boxes) and tiny20 (boxes);
# WEIGHTS the published networks named below. Run it from the project's root with its environment active. What was measured
# is not measured again. Tables and figures: docs/method-study/photographs.
set -eu
photos=$1 weights=$2
made=outputs/weights/study
flows=naflow,naflow_damped,gradcam,hirescam,layercam,relevance_cam
classes=$flows,clrp,sglrp,mean_activation,centre,edges,random
likenesses=$flows,mean_activation,centre,edges,random

measure() {
  python -m pipeline.measure -m images=folder images.root="$photos" images.index=index.csv \
    results=outputs/photographs measure.deep=3 measure.steps=6 explain.batch=16 "$@"
}
convert() {
  [ -f "$3" ] || python -c 'import sys; from naflow.models import convert; convert(*sys.argv[1:])' "$@"
}
# trained MODEL SUBSET PHASES FIELDS...: a network that learns that subset here, then measured.
trained() {
  model=$1 name=$2 phases=$3
  shift 3
  set -- images.name="$name" +images.select.subset="$name" recipe=shapes/resnet18 \
    model.weights="$made/$name.safetensors" "$@"
  [ -f "$made/$name.safetensors" ] || python -m pipeline.train images=folder images.root="$photos" \
    images.index=index.csv "$@" '~recipe.steps.classification.curriculum' \
    "recipe.steps.classification.schedule.phases=$phases"
  measure method=$classes explain.pictures=64 "$@" model.name="${model}_$name"
}

mkdir -p "$made"
convert conv64f "$weights/dn4/dn4_2023_conv64f_1shot.pth.tar" "$made/dn4.safetensors"
convert conv4net "$weights/protonet_conv4/miniimagenet_proto-1_max-acc.pth" "$made/protonet.safetensors"

# Published MobileNetV2s: ImageNet's classes on pets with masks, birds with boxes.
measure method=$classes recipe=photographs images.name=pets +images.select.subset=pets31 \
  images.splits.test=eval images.splits.train=null model=more/mobilenet_v2 \
  model.weights="$weights/mobilenet_v2_imagenet1001_torchvision_fp16.pt" \
  model.labels="$weights/imagenet_labels.txt"
measure method=$classes recipe=photographs images.name=birds +images.select.subset=cub20 \
  explain.pictures=32 model=more/mobilenet_v2 model.name=mobilenet_v2_birds \
  model.weights="$weights/mobilenet_v2_inat_bird965_torchvision_fp16.pt" \
  model.labels="$weights/inat_bird_labels.txt"
# Trained here: three classes with masks and boxes, twenty with boxes; birds from the published one.
trained resnet18 caltech3 '[{size: 128, epochs: 9}]' recipe.size=128
trained resnet18 tiny20 '[{size: 64, epochs: 12}]' recipe.size=64 \
  images.splits.test=val images.splits.val=null
birds=$weights/mobilenet_v2_inat_bird965_torchvision_fp16.pt
trained mobilenet_v2 cub20 '[{size: 128, epochs: 6}]' \
  model=more/mobilenet_v2 model.labels=null model.input.size=128 \
  "recipe.start={weights: $birds, without: [classifier]}" \
  recipe.steps.classification.objective._target_=pipeline.hard_samples.settled.Settled \
  recipe.steps.classification.schedule.rate=0.0005
# Published few-shot networks, each bird beside the one most like it.
for one in conv64f:dn4 conv4net:protonet; do
  measure method=$likenesses recipe=photographs recipe.size=84 images.name=birds \
    +images.select.subset=cub20 explain.pictures=96 model="${one%:*}" model.name="${one#*:}" \
    model.weights="$made/${one#*:}.safetensors"
done

python -m pipeline.study results=outputs/photographs drawings=docs/method-study/photographs
