// Raw maps to coloured pixels, as naflow/plot.py draws them.

const bytesOf = (base64) => Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));

/** What deflated base64 holds. */
async function inflated(base64) {
  const bytes = new Blob([bytesOf(base64)]).stream();
  return new DataView(await new Response(bytes.pipeThrough(new DecompressionStream("deflate"))).arrayBuffer());
}

/** The number whose float16 has these 16 bits; infinity and NaN are never stored. */
function half(bits) {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const size = exponent ? 2 ** (exponent - 25) * (1024 + fraction) : 2 ** -24 * fraction;
  return bits & 0x8000 ? -size : size;
}

/** The maps of one flow, layer -> {height, width, values, low, high}, as encoded.py stored them. */
async function mapsOf(flow, shapes) {
  const view = await inflated(flow.maps);
  const maps = new Map();
  let at = 0;
  Object.entries(shapes).forEach(([layer, [height, width]], place) => {
    const values = new Float64Array(height * width);
    for (let i = 0; i < values.length; i++, at += 2) {
      values[i] = half(view.getUint16(at, true)) * 2 ** -flow.exponents[place];
    }
    maps.set(layer, { height, width, values, ...rangeOf(values) });
  });
  return maps;
}

function rangeOf(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return { low, high };
}

/** For each of `length` pixels: the two of `old` cells it lies between, and the second one's share. */
function between(length, old) {
  return Array.from({ length }, (_, pixel) => {
    const at = Math.min(Math.max(((pixel + 0.5) * old) / length - 0.5, 0), old - 1);
    const low = Math.floor(at);
    return [low, Math.min(low + 1, old - 1), at - low];
  });
}

/** A map's values resized bilinearly to size x size pixels. */
function enlarged({ height, width, values }, size) {
  const tall = new Float64Array(size * width);
  between(size, height).forEach(([low, high, share], y) => {
    for (let x = 0; x < width; x++) {
      tall[y * width + x] = values[low * width + x] * (1 - share) + values[high * width + x] * share;
    }
  });
  const whole = new Float64Array(size * size);
  const columns = between(size, width);
  for (let y = 0; y < size; y++) {
    columns.forEach(([low, high, share], x) => {
      whole[y * size + x] = tall[y * width + low] * (1 - share) + tall[y * width + high] * share;
    });
  }
  return whole;
}

/** One line of `length` cells from `start` on, `step` apart, after a Gaussian; edges held. */
function blurLine(values, start, step, length, weights) {
  const reach = (weights.length - 1) / 2;
  return Float64Array.from({ length }, (_, at) => weights.reduce((sum, weight, i) =>
    sum + weight * values[start + step * Math.min(Math.max(at + i - reach, 0), length - 1)], 0));
}

/** The weights of a Gaussian of this variance in cells, or null where it would do nothing. */
function gaussian(variance) {
  const reach = Math.ceil(3 * Math.sqrt(Math.max(0, variance)));
  if (!reach) return null;
  const weights = Array.from({ length: 2 * reach + 1 }, (_, i) => Math.exp(-((i - reach) ** 2) / (2 * variance)));
  const sum = weights.reduce((total, weight) => total + weight);
  return weights.map((weight) => weight / sum);
}

/** A map's values on size x size pixels as they are drawn, and the two where colours begin and end. */
function drawnOf(map, size) {
  map.drawn ??= new Map();
  if (!map.drawn.has(size)) {
    const values = enlarged(smoothed(map), size);
    map.drawn.set(size, { values, ...limitsOf(values) });
  }
  return map.drawn.get(size);
}

/** A map without spots finer than a share of its side. */
function smoothed({ height, width, values }) {
  const smooth = Float64Array.from(values);
  const [down, across] = [height, width].map((cells) => gaussian((content.scale.finest * cells) ** 2 - 1 / 6));
  for (let x = 0; down && x < width; x++) {
    blurLine(smooth, x, width, height, down).forEach((value, y) => { smooth[y * width + x] = value; });
  }
  for (let y = 0; across && y < height; y++) {
    smooth.set(blurLine(smooth, y * width, 1, width, across), y * width);
  }
  return { height, width, values: smooth };
}

/** From zero, or the lowest values, to the top percentile of what is drawn. */
function limitsOf(values) {
  const sorted = Float64Array.from(values).sort();
  const percentile = (share) => {
    const at = share * (sorted.length - 1);
    const [low, high] = [sorted[Math.floor(at)], sorted[Math.ceil(at)]];
    return low + (high - low) * (at - Math.floor(at));
  };
  const top = percentile(content.scale.top / 100);
  const low = Math.min(0, percentile(1 - content.scale.top / 100));
  return { low, high: top > low ? top : sorted[sorted.length - 1] };
}

const COLOURS = bytesOf(content.colours);

/** Writes the colour of a level in [0, 1], over a grey in [0, 1], to three bytes of `target`. */
function cover(target, at, level, grey, strength) {
  const share = strength * Math.sqrt(level); // the root lets weak but present attention show
  const place = 3 * Math.min(255, Math.floor(level * 256));
  for (let c = 0; c < 3; c++) target[at + c] = (1 - share) * grey * 255 + share * COLOURS[place + c];
}

/** The pale greys of an image of size x size pixels. */
function greysOf(image, size) {
  const canvas = new OffscreenCanvas(size, size);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, size, size);
  const { data } = context.getImageData(0, 0, size, size);
  return Float64Array.from({ length: size * size }, (_, i) =>
    0.45 + (0.55 * (0.299 * data[4 * i] + 0.587 * data[4 * i + 1] + 0.114 * data[4 * i + 2])) / 255);
}

/** Draws a map over greys, from `low` to `high`; without a map, the greys alone. */
function paint(canvas, greys, map, { low, high }, strength) {
  const size = Math.sqrt(greys.length);
  const picture = new ImageData(size, size);
  const values = map && high > low && drawnOf(map, size).values;
  greys.forEach((grey, i) => {
    const level = values ? Math.min(Math.max((values[i] - low) / (high - low), 0), 1) : 0;
    cover(picture.data, 4 * i, level, grey, strength);
    picture.data[4 * i + 3] = 255;
  });
  canvas.width = canvas.height = size;
  canvas.getContext("2d").putImageData(picture, 0, 0);
}

/** The colours from the lowest to the highest level over a middling grey, as a CSS gradient. */
function ramp(strength) {
  const stops = Array.from({ length: 17 }, (_, i) => {
    const colour = new Uint8ClampedArray(3);
    cover(colour, 0, i / 16, 0.75, strength);
    return `rgb(${colour})`;
  });
  return `linear-gradient(to right, ${stops})`;
}
