// Elements and numbers as text.

/** An element with attributes (or properties, for functions) and children; text stays text. */
function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") made[name] = value;
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.flat().filter((child) => child || child === 0));
  return made;
}

const byId = (id) => document.getElementById(id);

/** A number in three significant digits. */
function digits(value) {
  if (value == null) return "not finite";
  if (value === 0) return "0";
  const size = Math.abs(value);
  return size >= 0.001 && size < 10000 ? String(Number(value.toPrecision(3))) : value.toExponential(2);
}

const percent = (value) => (value == null ? "not finite" : `${Number((100 * value).toPrecision(3))} %`);

/** Words in a row: "a", "a and b", "a, b and c". */
const listed = (words) => words.join(", ").replace(/, ([^,]*)$/, " and $1");
