// The page: a view is loaded and drawn; the rest of the scripts does the single parts.

let view; // what is chosen, see resolved()
let drawn; // what is drawn: another one only while the maps of the chosen one are unpacked
let rows = []; // the pictures of the drawn view, with their flows
let place = null; // where values are read, see panels.js

const layerName = () => view.model.layers[view.at];
const say = (text) => byId("status").replaceChildren(text);

/** The pictures of a view: one, or the query and its reference. */
function rowsOf({ model, one }) {
  if (!one.reference) return [{ role: "Picture", id: one.picture, model, one }];
  return [
    { role: "Query", id: one.picture, reference: one.reference, model, one },
    { role: "Reference", id: one.reference, reference: one.picture, model, one: turned(model, one) },
  ];
}

/** A row with its photograph, and its flows decoded: method -> {maps, stats}. */
async function loaded(row) {
  const picture = row.model.pictures[row.id];
  const image = new Image();
  image.src = content.photographs[picture.photograph];
  await image.decode();
  const flows = new Map();
  for (const { key, shapes } of row.model.methods) {
    const flow = row.one?.flows[key];
    if (!flow) continue;
    const maps = await mapsOf(flow, shapes);
    flows.set(key, { maps, stats: flow.stats });
  }
  const [greys, small] = [image.naturalWidth, THUMBNAIL].map((size) => greysOf(image, size));
  return { ...row, picture, address: image.src, flows, greys, small };
}

/** Shows the view of the given names; what a link names in vain is said. */
async function show(names, linked = false) {
  const chosen = (view = resolved(names));
  fillControls(view);
  const unpacked = await Promise.all(rowsOf(view).map(loaded));
  if (view !== chosen) return; // overtaken by a later choice
  [drawn, rows, place] = [view, unpacked, null];
  buildPanels(rows, view.methods, point);
  buildStrip(view, rows, step);
  tellFigure(view.figure, view.one);
  tellContributions(view.one);
  tellLocalised(view.model);
  tellMade(view.model);
  repaint();
  step(view.at);
  if (linked && view.missing.length) {
    say(`This report has no ${listed(view.missing)}; shown instead: ${byId("status").textContent}`);
  }
}

/** Shows another layer of the same view. */
function step(at) {
  const count = view.model.layers.length;
  view.at = Math.min(Math.max(at, 0), count - 1);
  if (drawn !== view) return;
  paintPanels(rows, layerName(), place, strength(), oneScale());
  markStrip(view.at);
  tellSolved(layerName(), solvedFlows(rows, view.methods), rows.length > 1);
  byId("layer").value = view.at + 1;
  byId("layer").setAttribute("aria-valuetext", layerName());
  say(`layer ${view.at + 1} of ${count}, ${layerName()}, ${shapeOf(view.model, layerName()).join(" × ")}`);
  toLink(view);
}

/** Reads the values at a place, or lets it go; those asked for by key are said aloud, too. */
function point(where, aloud = false) {
  if (drawn !== view) return;
  place = where;
  const values = readPlace(rows, layerName(), place);
  byId("values").textContent = aloud ? values : "";
}

/** Draws everything anew under the settings of the form. */
function repaint() {
  if (drawn !== view) return;
  document.documentElement.style.setProperty("--ramp", ramp(strength()));
  paintPanels(rows, layerName(), place, strength(), oneScale());
  paintStrip(view, rows, strength(), oneScale());
}

if ("DecompressionStream" in window) {
  tellAbsent();
  takePhotographs(show);
  await show(fromLink(), true);
  listen({ show, step, repaint, point, current: () => ({ view, rows, place }) });
} else {
  byId("trouble").textContent = "This browser is too old to unpack the maps: Chrome 103, "
    + "Firefox 113 and Safari 16.4 or later can.";
  byId("trouble").hidden = false;
}
