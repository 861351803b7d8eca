#!/bin/sh
# The flows judged by Quantus, on the photographs with masks of the half that no rule was chosen on:
#   sh docs/method-study/quantus.sh PHOTOS [PICTURES]
#
# PHOTOS holds index.csv (see photographs.py). Run it from the project's root with its environment active. Quantus is
# installed beside it, in outputs/quantus/package: it wants versions of numpy and torch that it does not need. What was
# judged is not judged again. Tables: docs/method-study/quantus; the page beside them is made from the tables.
set -eu
photos=$1 pictures=${2:-30}
package=outputs/quantus/package
index=outputs/published/masks.csv
mkdir -p outputs/published
[ -d "$package/quantus" ] || python -m pip install --quiet --target "$package" --no-deps quantus==0.6.0 cachetools
python docs/method-study/photographs.py "$photos/index.csv" "$index" masks
PYTHONPATH=$package:$PWD python -m bench.quantus "$index" "$photos" --pictures "$pictures"
