// The large pictures: the photograph and every method's map of one layer, with values under a place.

// A place is {row, x, y}: a picture of the view, and shares of its sides.

/** Builds a row of panels for each picture; `point(place)` is called when the pointer moves. */
function buildPanels(rows, methods, point) {
  byId("pictures").replaceChildren(...rows.map((row) => {
    row.panels = methods.map((method) => panelOf(method));
    row.panels.forEach(({ frame }) => readUnder(frame, row, point));
    return element("section", { class: "picture" },
      element("h2", {}, rows.length > 1 ? `${row.role}: ` : "", row.id),
      element("p", { class: "decision" }, decisionOf(row)),
      element("div", { class: "panels", style: `--panels: ${methods.length + 1}` },
        element("figure", {},
          element("div", { class: "frame" },
            element("img", { src: row.address, alt: altOf(row) })),
          element("figcaption", {}, element("strong", {}, "Photograph"))),
        row.flows.size ? row.panels.map(({ figure }) => figure) : ""));
  }));
}

const altOf = ({ id, picture }) =>
  `Photograph ${id}${picture.label == null ? "" : `, class ${picture.label}`}`;

function panelOf(method) {
  const canvas = element("canvas", { role: "img" });
  const mark = element("i", { class: "mark", hidden: true });
  const frame = element("div", { class: "frame" }, canvas, mark);
  const [low, high] = [element("span"), element("span")];
  const reading = element("p", { class: "reading" });
  const bar = element("div", { class: "range" }, low, element("i", { "aria-hidden": "true" }), high);
  const figure = element("figure", {}, frame,
    element("figcaption", {}, element("strong", {}, method.name), bar, reading));
  return { method, figure, frame, canvas, mark, low, high, reading };
}

function readUnder(frame, row, point) {
  frame.onpointermove = frame.onpointerdown = (event) => {
    const { left, top, width, height } = frame.getBoundingClientRect();
    const share = (offset, length) => Math.min(Math.max(offset / length, 0), 1 - 1e-9);
    point({ row, x: share(event.clientX - left, width), y: share(event.clientY - top, height) });
  };
  frame.onpointerleave = (event) => event.pointerType === "mouse" && point(null);
}

/** A method's map of a layer, if there is one, and what its colours range over on pictures of this size. */
function mapOf(row, method, layer, oneScale, size) {
  const flow = row.flows.get(method.key);
  const map = flow?.maps.get(layer);
  if (!map) return { map, range: { low: 0, high: 0 } };
  return { map, range: oneScale ? rangeOfFlow(flow, size) : drawnOf(map, size) };
}

/** The lowest beginning and the highest end of a flow's colours. */
function rangeOfFlow(flow, size) {
  const drawn = [...flow.maps.values()].map((map) => drawnOf(map, size));
  return { low: Math.min(...drawn.map(({ low }) => low)), high: Math.max(...drawn.map(({ high }) => high)) };
}

/** Draws one layer in all panels. */
function paintPanels(rows, layer, place, strength, oneScale) {
  for (const row of rows) {
    for (const { method, canvas, low, high } of row.panels) {
      const { map, range } = mapOf(row, method, layer, oneScale, Math.sqrt(row.greys.length));
      paint(canvas, row.greys, map, range, strength);
      canvas.setAttribute("aria-label", describe(row, method, layer, map));
      low.textContent = map ? digits(range.low) : "no map";
      high.textContent = map ? digits(range.high) : "";
    }
  }
  readPlace(rows, layer, place);
}

function describe(row, { name }, layer, map) {
  const over = `${name}, ${layer}, over ${row.id}`;
  return `${over}: ${map ? highest(map) : "there is no map of this layer"}`;
}

/** Where a map has its maximum, in words. */
function highest(map) {
  if (!map) return "";
  if (map.low === map.high) return `${digits(map.low)} everywhere`;
  const at = map.values.indexOf(map.high);
  return `highest at ${cellName(map, Math.floor(at / map.width), at % map.width)}`;
}

const cellName = ({ height, width }, row, column) => `row ${row + 1}, column ${column + 1} of ${height} × ${width}`;

/** Writes the raw values at the place, and marks its cell; returns them as one sentence. */
function readPlace(rows, layer, place) {
  const values = [];
  for (const row of rows) {
    for (const { method, mark, reading } of row.panels) {
      const map = place?.row === row && row.flows.get(method.key)?.maps.get(layer);
      mark.hidden = !map;
      if (!map) {
        reading.replaceChildren(highest(row.flows.get(method.key)?.maps.get(layer)));
        continue;
      }
      const [y, x] = [Math.floor(place.y * map.height), Math.floor(place.x * map.width)];
      const value = digits(map.values[y * map.width + x]);
      reading.replaceChildren(
        element("strong", {}, value), " contribution", element("br"), cellName(map, y, x));
      Object.assign(mark.style, {
        left: `${(100 * x) / map.width}%`, width: `${100 / map.width}%`,
        top: `${(100 * y) / map.height}%`, height: `${100 / map.height}%`,
      });
      values.push(`${method.name} ${value}, ${cellName(map, y, x)}`);
    }
  }
  return values.join("; ");
}
