"""The page's script scales a map as naflow.plot does; run by Node, where there is no browser."""

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from naflow import plot

NODE = shutil.which("node")
SCRIPT = Path(__file__).parents[3] / "naflow" / "page" / "colour.js"
RUN = """
const drawn = maps.map((rows) => {
  const map = {height: rows.length, width: rows[0].length, values: Float64Array.from(rows.flat())};
  const {values, low, high} = drawnOf(map, size);
  return [[...values], low, high];
});
console.log(JSON.stringify(drawn));
"""


@pytest.mark.skipif(NODE is None, reason="there is no Node here")
@pytest.mark.parametrize("size", [32, 224])
def test_the_script_scales_a_map_as_plot_does(tmp_path, size):
    rng = np.random.default_rng(0)
    maps = [rng.random((n, n)) - below for n, below in [(7, 0), (28, 0), (56, 0.5), (112, 0)]]
    maps += [rng.random((16, 12)), np.zeros((7, 7)), np.full((14, 14), 0.3), np.full((3, 3), -1.0)]
    content = {"colours": "", "scale": {"finest": plot.FINEST, "top": plot.TOP}}
    given = {"content": content, "maps": [one.tolist() for one in maps], "size": size}
    script = "".join(f"const {name} = {json.dumps(value)};\n" for name, value in given.items())
    (tmp_path / "scale.js").write_text(script + SCRIPT.read_text() + RUN)
    said = subprocess.run(
        [str(NODE), tmp_path / "scale.js"], capture_output=True, text=True, check=True
    ).stdout
    for one, (values, low, high) in zip(maps, json.loads(said), strict=True):
        wanted = plot.smoothed(one, (size, size))
        np.testing.assert_allclose(np.reshape(values, wanted.shape), wanted, atol=1e-12)
        np.testing.assert_allclose((low, high), plot.limits(wanted), atol=1e-12)
