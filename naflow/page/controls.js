// The form, the keys and the link: what changes the view, and shows which one it is.

/** Fills the form with what there is to choose in a view. */
function fillControls({ figure, models, model, cases, one, methods }) {
  const figures = content.figures.map((each) => ({
    value: each.name,
    text: (each.title ? `${each.name}: ${each.title}` : each.name) + (hasPictures(each) ? "" : " (no maps)"),
    disabled: !hasPictures(each),
  }));
  byId("figure").parentElement.hidden = !figures.length;
  fill("figure", [...figures, { value: "", text: "all pictures of a model" }], figure?.name ?? "");
  fill("model", models.map(({ name }) => ({ value: name, text: name })), model.name);
  fill("picture", cases.map((each, at) => ({ value: at, text: titleOf(model, each) })), cases.indexOf(one));
  fillMethods(model, methods);
  byId("layer").max = model.layers.length;
}

function fill(id, options, chosen) {
  byId(id).replaceChildren(
    ...options.map(({ value, text, disabled }) => element("option", { value, disabled }, text)));
  byId(id).value = chosen;
}

/** The boxes stay where they are while the methods do, so that focus stays, too. */
function fillMethods(model, methods) {
  const boxes = () => [...byId("methods").querySelectorAll("input")];
  const keys = model.methods.map(({ key }) => key);
  if (boxes().map(({ value }) => value).join() !== keys.join()) {
    byId("methods").replaceChildren(byId("methods").firstElementChild,
      ...model.methods.map(({ key, name }) =>
        element("label", {}, element("input", { type: "checkbox", value: key }), ` ${name}`)));
  }
  for (const box of boxes()) box.checked = methods.some(({ key }) => key === box.value);
}

const titleOf = ({ pictures }, { picture, reference }) =>
  reference ? `${picture} beside ${reference}`
    : pictures[picture].label == null ? picture : `${picture} (${pictures[picture].label})`;

const strength = () => Number(byId("strength").value);

const oneScale = () => document.querySelector("[name=scale]:checked").value === "strip";

/** Connects the form, the keys and the address to the page. */
function listen({ show, step, repaint, point, current }) {
  const choose = (changed) => show({ ...namesOf(current().view), ...changed });
  byId("figure").onchange = ({ target }) => choose({ figure: target.value });
  byId("model").onchange = ({ target }) => choose({ model: target.value });
  byId("picture").onchange = ({ target }) => {
    const { picture, reference } = current().view.cases[target.value];
    choose({ picture, reference });
  };
  byId("methods").onchange = () => {
    const chosen = [...byId("methods").querySelectorAll(":checked")].map(({ value }) => value);
    choose({ methods: chosen.join(",") });
  };
  byId("strength").oninput = repaint;
  for (const each of document.querySelectorAll("[name=scale]")) each.onchange = repaint;
  byId("layer").oninput = ({ target }) => step(target.value - 1);
  addEventListener("hashchange", () => show(fromLink(), true));
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const arrow = ARROWS[event.key];
    if (event.key === "Escape") point(null);
    // Lists, sliders and radio buttons have their own use for the arrow keys.
    else if (!arrow || event.target.matches?.("select, [type=range], [type=radio]")) return;
    else if (event.shiftKey) point(moved(current(), arrow), true);
    else if (arrow[0]) step(current().view.at + arrow[0]);
    else return;
    event.preventDefault();
  });
}

const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** The place one cell of the shown map further; from nowhere, the middle of the first picture. */
function moved({ view, rows, place }, [right, down]) {
  if (!place) return { row: rows[0], x: 0.5, y: 0.5 };
  const [height, width] = shapeOf(view.model, view.model.layers[view.at]);
  const to = (share, by, cells) =>
    (Math.min(Math.max(Math.floor(share * cells) + by, 0), cells - 1) + 0.5) / cells;
  return { row: place.row, x: to(place.x, right, width), y: to(place.y, down, height) };
}
