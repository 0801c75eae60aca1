// The last decisions of this visit, each of which can be opened again.

import { byId, el } from "./text.js";

const MAX_DECISIONS = 10;

/** Add a decision at the top, or move that of the same key there; `draw` resolves to its picture, `open` shows it again. */
export function addDecision({ key, words, file, draw, open }) {
  removeDecision(key);
  const place = el("span", { className: "thumb" });
  const button = el("button", { type: "button", "data-key-of": key, ariaLabel: `Change: ${words}, ${file}` },
    place, el("b", { textContent: words }), el("span", { className: "soft small name", textContent: file }));
  button.addEventListener("click", open);
  const list = byId("decisions");
  list.prepend(el("li", {}, button));
  while (list.children.length > MAX_DECISIONS) list.lastChild.remove();
  byId("recent").hidden = false;
  draw().then((image) => { if (image) place.replaceChildren(image); }, () => {}); // the words are enough
}

/** Remove the decision of a key, if it is shown. */
export function removeDecision(key) {
  const list = byId("decisions");
  for (const item of [...list.children]) if (item.firstChild.dataset.keyOf === key) item.remove();
  byId("recent").hidden = list.children.length === 0;
}
