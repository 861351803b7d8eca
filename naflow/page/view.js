// What is chosen, by names that a link can carry: figure, model, picture, reference, methods, layer.

const content = JSON.parse(document.getElementById("content").textContent);

const named = (items, name) => items.find((item) => item.name === name);
const isCase = (picture, reference) => (one) => one.picture === picture && one.reference === reference;

/** The same likeness seen from the other side, where it was explained. */
const turned = (model, one) => one.reference && model.cases.find(isCase(one.reference, one.picture));

/** The cases a figure shows of a model; without a selection all of them, each pair once. */
function casesOf(figure, model) {
  if (figure?.cases) {
    const shown = figure.cases[model.name] ?? [];
    return shown.map(([picture, reference]) => model.cases.find(isCase(picture, reference)));
  }
  return model.cases.filter((one, place) => !model.cases.slice(0, place).includes(turned(model, one)));
}

/** The models a figure shows, its own first. */
function modelsOf(figure) {
  return figure?.cases ? Object.keys(figure.cases).map((name) => named(content.models, name)) : content.models;
}

const hasPictures = (figure) => modelsOf(figure).length > 0;

/** The view of the given names. Unknown ones give way to the first there is, and stand in `missing`. */
function resolved(wanted) {
  const missing = [];
  const found = (item, name, kind) => {
    if (!item && name) missing.push(`${kind} “${name}”`);
    return item;
  };
  const usable = content.figures.filter(hasPictures);
  const figure = wanted.figure === "" ? null
    : found(named(usable, wanted.figure), wanted.figure, "figure") ?? usable[0] ?? null;
  const models = modelsOf(figure);
  const model = found(named(models, wanted.model), wanted.model, "model") ?? models[0];
  const cases = casesOf(figure, model);
  const one = found(cases.find(isCase(wanted.picture, wanted.reference ?? "")), wanted.picture, "picture")
    ?? cases[0];
  const asked = wanted.methods?.split(",");
  const methods = model.methods.filter(({ key }) => !asked || asked.includes(key));
  asked?.forEach((key) => found(model.methods.some((one) => one.key === key), key, "method"));
  const layer = found(model.layers.find((name) => name === wanted.layer), wanted.layer, "layer")
    ?? model.layers[model.layers.length >> 1];
  return { figure, models, model, cases, one, methods, at: model.layers.indexOf(layer), missing };
}

/** The names of a view. */
function namesOf({ figure, model, one, methods, at }) {
  return {
    figure: figure?.name ?? "",
    model: model.name,
    picture: one.picture,
    ...(one.reference && { reference: one.reference }),
    methods: methods.map(({ key }) => key).join(","),
    layer: model.layers[at],
  };
}

/** Height and width of a layer's maps. */
const shapeOf = ({ methods }, layer) => methods.map(({ shapes }) => shapes[layer]).find(Boolean);

const fromLink = () => Object.fromEntries(new URLSearchParams(location.hash.slice(1)));
const toLink = (view) => history.replaceState(null, "", `#${new URLSearchParams(namesOf(view))}`);
