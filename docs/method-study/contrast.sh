#!/bin/sh
# A similarity as the paper explains it, and contrasted with that to other pictures:
#   sh docs/method-study/contrast.sh PHOTOS WEIGHTS [PICTURES]
#
# PHOTOS holds index.csv (see photographs.py) with the subset cub20, of which the half is measured that no rule was
# chosen on; WEIGHTS the published few-shot network ProtoNet. The other networks and their scenes are those of `dvc
# repro`; contrasted, they are explained without the division by the norm that all but conv64f end with. Run it from the
# project's root with its environment active. A batch that was measured is not measured again. Tables:
# docs/method-study/contrast; the pages beside them, contrast.md and embeddings.md, are made from the tables.
set -eu
photos=$1 weights=$2 pictures=${3:-32}
results=outputs/contrast made=outputs/weights/study
index=$PWD/outputs/contrast/index.csv

measure() {
  python -m pipeline.measure -m method=naflow,naflow_tested "$@" results="$results" \
    explain.pictures="$pictures" explain.known=200 explain.batch=16 measure.layers=blocks \
    measure.sanity=true measure.deep=3 measure.steps=4
}
contrasted() {
  # shellcheck disable=SC2016 # Hydra expands it
  measure "$@" measure.contrast=true 'measure.name=${hydra:runtime.choices.method}_contrast'
}

mkdir -p outputs/contrast "$made"
python docs/method-study/photographs.py "$photos/index.csv" "$index"
[ -f "$made/protonet.safetensors" ] ||
  python -c 'import sys; from naflow.models import convert; convert(*sys.argv[1:])' conv4net \
    "$weights/protonet_conv4/miniimagenet_proto-1_max-acc.pth" "$made/protonet.safetensors"

# Its cosine stays near 1 whatever is taken away: no insertion and deletion.
set -- images=folder images.root="$photos" images.index="$index" images.name=birds \
  +images.select.collection=cub20 images.columns.label=collection images.splits.test=report \
  images.splits.train=null recipe=photographs recipe.size=84 recipe.verify.part.split=test \
  model=conv4net model.name=protonet model.weights="$made/protonet.safetensors" measure.judged=0
measure "$@"
contrasted "$@"

for model in resnet18_npid:128 resnet50_npid:128 resnet50_ms:512 conv64f; do
  name=${model%:*}
  set -- images=shapes model="$name" measure.judged=16
  measure "$@"
  if [ "$name" = conv64f ]; then
    contrasted "$@"
  else
    contrasted "$@" model.weights="data/weights/shapes/$name.safetensors" \
      model.network._target_="torchvision.models.${name%_*}" '~model.network.name' \
      +model.network.num_classes="${model#*:}"
  fi
done

python -m pipeline.study results="$results" drawings=docs/method-study/contrast study.method=naflow_contrast
python docs/method-study/embeddings.py
