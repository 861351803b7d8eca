#!/bin/sh
# Sanity checks of the flows, on photographs of the half that no rule was chosen on:
#   sh docs/method-study/sanity.sh PHOTOS [PICTURES]
#
# PHOTOS holds index.csv (see photographs.py) with the subset caltech3, which three networks learn here. Run it from the
# project's root with its environment active. What was measured is not measured again. Tables: docs/method-study/sanity;
# the page beside them is made from the tables.
set -eu
photos=$1 pictures=${2:-24}
index=outputs/published/index.csv
mkdir -p outputs/published
python docs/method-study/photographs.py "$photos/index.csv" "$index"
python -m bench.sanity "$index" "$photos" --pictures "$pictures"
