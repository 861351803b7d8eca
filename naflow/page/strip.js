// The strip: one column a layer, with the thumbnails of all methods and how well the layer was found.

const THUMBNAIL = 64; // pixels a side

const PROFILES = {
  iterations: "iterations",
  residual: "residual",
  norm_ratio: "‖x̃‖ / ‖x‖",
  abandoned: "abandoned",
};

/** Rows of thumbnails: every picture of the view under every method. */
const thumbnailRows = (rows, methods) =>
  rows.filter(({ flows }) => flows.size).flatMap((row) => methods.map((method) => ({ row, method })));

/** The flows whose maps were solved for, and so have statistics. */
const solvedFlows = (rows, methods) =>
  thumbnailRows(rows, methods)
    .map(({ row, method }) => ({ row, method, stats: row.flows.get(method.key)?.stats ?? {} }))
    .filter(({ stats }) => Object.keys(stats).length);

/** Where a method's layer stands in its own list, which may have fewer layers than the model's. */
const placeOf = (method, layer) => Object.keys(method.shapes).indexOf(layer);

/** Builds the strip of a view; `choose(at)` is called when a layer is chosen. */
function buildStrip({ model, methods }, rows, choose) {
  const pictures = thumbnailRows(rows, methods);
  const profiles = profilesOf(solvedFlows(rows, methods), model.layers);
  const heads = [
    element("span", { class: "layer-name" }),
    ...pictures.map(({ row, method }) =>
      element("span", { class: "of-picture" }, method.name, rows.length > 1 && element("small", {}, row.role))),
    ...profiles.map(({ title, high, show }) =>
      element("span", { class: "profile" }, title, element("small", {}, `0 to ${show(high)}`))),
  ];
  const columns = model.layers.map((layer, at) =>
    element("label", { class: "column" },
      element("span", { class: "layer-name" },
        element("input", { type: "radio", name: "strip", value: at, onchange: () => choose(at) }),
        brokenAtDots(layer)),
      pictures.map(() => element("canvas", { "aria-hidden": "true" })),
      profiles.map(({ bars, high }) =>
        element("span", { class: "profile", "aria-hidden": "true" },
          bars.map((values) =>
            element("i", { style: `height: ${(100 * (values[at] ?? 0)) / high}%` }))))));
  const strip = byId("strip");
  strip.style.setProperty("--rows", heads.length);
  strip.replaceChildren(element("div", { class: "heads", "aria-hidden": "true" }, heads), ...columns);
}

/** For each statistic that is not zero everywhere: a row of bars a flow, one bar a layer, and the highest of them. */
function profilesOf(flows, layers) {
  return Object.entries(PROFILES)
    .map(([field, title]) => {
      const bars = flows.filter(({ stats }) => stats[field])
        .map(({ method, stats }) => layers.map((layer) => stats[field][placeOf(method, layer)]));
      const high = Math.max(0, ...bars.flat().map((value) => value ?? 0));
      return { title, bars, high, show: field === "abandoned" ? percent : digits };
    })
    .filter(({ high }) => high > 0);
}

/** A layer's name that may wrap before each dot. */
const brokenAtDots = (name) =>
  name.split(".").flatMap((part, place) => (place ? [element("wbr"), `.${part}`] : [part]));

/** Draws all thumbnails. */
function paintStrip({ model, methods }, rows, strength, oneScale) {
  const pictures = thumbnailRows(rows, methods);
  document.querySelectorAll("#strip .column").forEach((column, at) => {
    column.querySelectorAll("canvas").forEach((canvas, place) => {
      const { row, method } = pictures[place];
      const { map, range } = mapOf(row, method, model.layers[at], oneScale, THUMBNAIL);
      paint(canvas, row.small, map, range, strength);
    });
  });
}

/** Marks the layer that is shown, and brings it into sight. */
function markStrip(at) {
  const strip = byId("strip");
  const column = strip.querySelectorAll(".column")[at];
  column.querySelector("input").checked = true;
  const calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
  const left = column.offsetLeft - (strip.clientWidth - column.offsetWidth) / 2;
  strip.scrollTo({ left, behavior: calm ? "auto" : "smooth" });
}
