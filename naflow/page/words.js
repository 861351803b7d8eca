// What stands beside the maps in words: decisions, statistics, contribution weights, the figure.

/** Class and decision of a picture. */
function decisionOf({ picture, one, reference }) {
  if (one?.prediction != null && picture.label == null) {
    return `predicted ${one.prediction}, confidence ${percent(one.confidence)}`;
  }
  if (one?.told) return one.told;
  if (one?.prediction != null) {
    const verdict = one.prediction === picture.label ? "right" : "wrong";
    return `class ${picture.label}; predicted ${one.prediction} (${verdict}), `
      + `confidence ${percent(one.confidence)}`;
  }
  if (one) return `class ${picture.label}; cosine to ${reference}: ${digits(one.confidence)}`;
  return `class ${picture.label}; its own flow was not made`;
}

const FIELDS = {
  rule: ["Rule", "the inverse that found it", (value) => value || "none: x̃ = x"],
  iterations: ["Iterations", "of the solver; none for a closed form", String],
  residual: ["Residual", "share of the equations that stayed unsolved", digits],
  norm_ratio: ["‖x̃‖ / ‖x‖", "back-propagated feature map against activation", digits],
  abandoned: ["Abandoned", "share of the neurons left out: unused, or opposed to the decision", percent],
  stop: ["Stop", "why the solver stopped", (value) => value.replaceAll("_", " ")],
};

/** How the maps of one layer were found, as a table: one column a flow. */
function tellSolved(layer, flows, several) {
  const section = byId("solved");
  section.hidden = !flows.length;
  const present = Object.keys(FIELDS).filter((field) => flows.some(({ stats }) => stats[field]));
  const heads = flows.map(({ method, row }) =>
    element("th", { scope: "col" }, method.name, several && element("small", {}, row.role)));
  section.replaceChildren(
    element("h2", { id: "solved-title" }, "How ", element("code", {}, layer), " was found"),
    element("table", {},
      element("thead", {}, element("tr", {}, element("td"), heads)),
      element("tbody", {}, present.map((field) => {
        const [name, meaning, show] = FIELDS[field];
        const values = flows.map(({ method, stats }) => stats[field]?.[placeOf(method, layer)]);
        return element("tr", {},
          element("th", { scope: "row" }, name, element("small", {}, meaning)),
          values.map((value) => element("td", {}, value === undefined ? "–" : show(value))));
      }))));
}

const DEPTHS = { first: "first layer", middle: "middle layer", last: "last layer", layers: "mean of all" };

/** How far the maps of every method lie on the objects, over all pictures that were evaluated. */
function tellLocalised({ name, methods }) {
  const section = byId("localised"), ratios = content.evaluated[name];
  section.hidden = !ratios;
  if (!ratios) return;
  section.replaceChildren(
    element("h2", { id: "localised-title" }, "How far the maps lie on the objects"),
    element("p", {}, `Of ${name}, over all pictures evaluated: the share of a map inside the object, over the `
      + "object’s share of the picture. 1 is chance."),
    element("table", {},
      element("thead", {}, element("tr", {}, element("td"),
        Object.values(DEPTHS).map((depth) => element("th", { scope: "col" }, depth)))),
      element("tbody", {}, methods.filter(({ key }) => ratios[key]).map((method) =>
        element("tr", {},
          element("th", { scope: "row" }, method.name),
          Object.keys(DEPTHS).map((depth) => {
            const ratio = ratios[method.key][depth];
            return element("td", {}, ratio == null ? "–" : ratio.toFixed(2));
          }))))));
}

/** The largest contribution weights of a likeness. */
function tellContributions(one) {
  const section = byId("contributions");
  section.hidden = !one.contributions;
  if (!one.contributions) return;
  const { components, largest } = one.contributions;
  const held = largest.reduce((sum, [, weight]) => sum + weight, 0);
  section.replaceChildren(
    element("h2", { id: "contributions-title" }, "Contribution weights"),
    element("p", {}, `How much each of the embedding’s ${components} components has to do with the likeness. `
      + `The ${largest.length} largest weights are ${percent(held)} of all; were all equal, `
      + `they would be ${percent(largest.length / components)}. On the left, the component’s number.`),
    element("ol", { class: "weights" }, largest.map(([component, weight]) =>
      element("li", {},
        element("span", {}, String(component)),
        element("i", { style: `width: ${(100 * weight) / largest[0][1]}%`, "aria-hidden": "true" }),
        element("span", {}, percent(weight))))),
  );
}

const VERDICTS = { true: ["✓", "holds"], false: ["✗", "does not hold"], null: ["–", "not measurable"] };

/** The figure: caption, how its pictures were found, claims. */
function tellFigure(figure, one) {
  const section = byId("about");
  section.hidden = !figure;
  if (!figure) return;
  const chosen = figure.chosen.find(({ picture }) => picture === one.picture);
  section.replaceChildren(
    element("h2", { id: "about-title" }, figure.title ? `${figure.name}: ${figure.title}` : figure.name),
    figure.caption ? element("p", {}, figure.caption) : "",
    figure.rule ? element("p", {}, element("strong", {}, "Pictures: "), `${figure.rule}. `,
      figure.met ? "" : "No picture satisfies this; the nearest are shown. ",
      `${Object.entries(figure.counts).map(([what, count]) => `${count} ${what}`).join(", ")}.`) : "",
    chosen ? element("p", {}, element("strong", {}, "This one: "), chosen.why ? `${chosen.why}. ` : "",
      `${figure.model} took ${chosen.label} for ${chosen.predicted}, `
      + `by a margin of ${digits(chosen.margin)}.`) : "",
    element("ul", { class: "claims" }, figure.claims.map(claimed)),
  );
}

/** The figures that were not drawn, and why. */
function tellAbsent() {
  const section = byId("absent"), absent = Object.entries(content.absent);
  section.hidden = !absent.length;
  if (!absent.length) return;
  section.replaceChildren(
    element("h2", { id: "absent-title" }, "Not drawn"),
    element("ul", {}, absent.map(([name, why]) => element("li", {}, `${name}: ${why}`))));
}

function claimed({ claim, holds, told, reading, numbers }) {
  const [sign, verdict] = VERDICTS[String(holds ?? null)];
  const measured = Object.keys(numbers ?? {}).length > 0;
  return element("li", {},
    element("span", { class: "verdict", "data-holds": String(holds ?? null) },
      element("span", { "aria-hidden": "true" }, sign), ` ${verdict}`),
    element("p", {}, claim),
    told && element("p", { class: "numbers" }, told),
    (reading || measured) && element("details", {},
      element("summary", {}, "How this was checked"),
      reading && element("p", {}, reading),
      measured && nested(numbers)));
}

/** The numbers of a claim, as nested as they are. */
function nested(numbers) {
  if (typeof numbers === "number") return digits(numbers);
  if (numbers === null || typeof numbers !== "object") return String(numbers ?? "none");
  if (Array.isArray(numbers) && numbers.every((one) => typeof one !== "object")) {
    return numbers.map(nested).join(", ");
  }
  return element("ul", {}, Object.entries(numbers).map(([name, value]) =>
    element("li", {}, `${name}: `, nested(value))));
}

function tellMade({ name, size, seed, weights, methods }) {
  byId("made").replaceChildren(
    element("strong", {}, name), `, shown ${size} × ${size} pixels; methods: `
    + `${listed(methods.map((method) => method.name))}; ${seed == null ? "" : `seed ${seed}; `}weights `,
    element("code", { title: weights }, weights.slice(0, 12)), ". ",
    content.all ? "All pictures that were explained are here."
      : "Only the pictures of the figures are here; report.all=true keeps all that were explained.");
}
