"""Benchmarks: ratios in one run, in forward-pass equivalents. Run one as python -m bench.flow."""
