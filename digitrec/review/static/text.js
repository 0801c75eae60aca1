// Formatting and DOM elements; data is only ever inserted as text.

const NARROW = "\u202f";

/** Format a share; a share below 1 is never rounded to 100 %. */
export function percent(share) {
  if (share === null || share === undefined) return "–";
  if (share === 0 || share === 1) return `${share * 100}${NARROW}%`;
  const rounded = (100 * share).toFixed(1);
  if (Number(rounded) >= 100) return `>99.9${NARROW}%`;
  if (Number(rounded) === 0) return `<0.1${NARROW}%`;
  return `${rounded}${NARROW}%`;
}

/** Format the answer of a reviewer. */
export function answerText(answer) {
  if (answer === null || answer === "") return "not sure";
  return answer === "none" ? "no digit" : answer;
}

/** Return the nodes of a text with its character at an index marked; without an index none is. */
export function markedText(text, at = -1) {
  if (at < 0 || at >= text.length) return [text];
  return [text.slice(0, at), el("span", { className: "doubt", textContent: text[at] }), text.slice(at + 1)].filter((node) => node !== "");
}

/** Return a saved judgement: a text, "none", "illegible", or null for not sure. */
export function saidAnswer(said) {
  return said.verdict === "illegible" ? "illegible" : said.new || null;
}

/** Return the judgement of an entry, saved or being saved: a text, "none", "illegible", or null for not sure; undefined without one. */
export function judgedAnswer({ pending, said }) {
  if (pending) return pending.new;
  return said ? saidAnswer(said) : undefined;
}

/** Return the answer that Enter saves if nothing is typed: the judged one, else the recognised one; undefined without one. */
export function suggestedAnswer(entry) {
  const judged = judgedAnswer(entry);
  if (judged) return judged;
  return entry.reason === "not_a_digit" || entry.reason === "blank" ? "none" : entry.text || undefined;
}

/** Create an element with properties and children; strings become text nodes. */
export function el(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** Create an SVG element with attributes and children. */
export function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

export const byId = (id) => document.getElementById(id);
