#!/bin/sh
# What an embedding's evidence is tested against, on the half of the birds that no rule was chosen on, and on scenes:
#   sh docs/method-study/references.sh PHOTOS WEIGHTS
#
# PHOTOS holds index.csv (see photographs.py) with the subset cub20, WEIGHTS the published few-shot networks of DN4 and
# ProtoNet; the scenes and their networks are those of `dvc repro`. Run it from the project's root with its environment
# active. Tables: docs/method-study/references; the page beside them is made from the tables.
set -eu
photos=$1 weights=$2 made=outputs/weights/study index=$PWD/outputs/published/index.csv
mkdir -p outputs/published "$made"
python docs/method-study/photographs.py "$photos/index.csv" "$index"
convert() {
  [ -f "$3" ] || python -c 'import sys; from naflow.models import convert; convert(*sys.argv[1:])' "$@"
}
convert conv64f "$weights/dn4/dn4_2023_conv64f_1shot.pth.tar" "$made/dn4.safetensors"
convert conv4net "$weights/protonet_conv4/miniimagenet_proto-1_max-acc.pth" "$made/protonet.safetensors"
look() {
  python docs/method-study/references.py explain.pictures=64 explain.batch=16 explain.known=200 "$@"
}
for one in conv64f:dn4 conv4net:protonet; do
  look images=folder images.root="$photos" images.index="$index" \
    images.name=birds +images.select.collection=cub20 images.columns.label=collection images.splits.test=report \
    images.splits.train=null recipe=photographs recipe.size=84 recipe.verify.part.split=test \
    model="${one%:*}" model.name="${one#*:}" model.weights="$made/${one#*:}.safetensors"
done
for one in resnet18_npid resnet50_ms conv64f; do
  look images=shapes model="$one"
done
