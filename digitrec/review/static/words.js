// Text and elements. What is data is only ever put in as text.

const NARROW = "\u202f";

/** A share in words that never rounds up to certainty. */
export function percent(share) {
  if (share === null || share === undefined) return "–";
  if (share === 0 || share === 1) return `${share * 100}${NARROW}%`;
  const shown = (100 * share).toFixed(1);
  if (Number(shown) >= 100) return `>99.9${NARROW}%`;
  if (Number(shown) === 0) return `<0.1${NARROW}%`;
  return `${shown}${NARROW}%`;
}

/** A whole number with its thousands apart. */
export const count = (number) => String(number).replace(/\B(?=(\d{3})+$)/g, NARROW);

/** What somebody said, or would say, of a picture. */
export function saying(what) {
  if (what === null || what === "") return "not sure";
  return what === "none" ? "no digit" : what;
}

/** What a person says of an entry, on its way to the server or kept there: digits, "none", null if unsure; else undefined. */
export function held({ pending, said }) {
  if (pending) return pending.new;
  return said ? said.new || null : undefined;
}

/** What Enter says of an entry if nothing is typed: what a person settled, else what the service says; undefined if that is nothing. */
export function offered(entry) {
  const settled = held(entry);
  if (settled) return settled;
  return entry.reason === "not_a_digit" || entry.reason === "blank" ? "none" : entry.text || undefined;
}

/** An element with properties and children; strings become text. */
export function el(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in made) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

/** The same for a drawing. */
export function draw(tag, attributes = {}, ...children) {
  const made = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

export const byId = (id) => document.getElementById(id);
