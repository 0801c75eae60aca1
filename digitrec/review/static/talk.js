// What people are told: a live region for screen readers, notes that stay, questions.

import { byId, el } from "./words.js";

/** Say something to a screen reader; the same words twice are said twice. */
export function announce(words) {
  const live = byId("live");
  live.textContent = "";
  setTimeout(() => { live.textContent = words; }, 30);
}

/** A note in the corner until it is closed, or for some seconds; said as well. */
export function note(words, { kind = "", seconds = 0 } = {}) {
  const close = el("button", { type: "button", textContent: "×", ariaLabel: "Close this note" });
  const shown = el("div", { className: `card note ${kind}` }, el("span", { textContent: words }), close);
  close.addEventListener("click", () => shown.remove());
  byId("notes").append(shown);
  if (seconds) setTimeout(() => shown.remove(), seconds * 1000);
  announce(words);
}

/** Somebody else was faster: whose word counts? Gives true for ours. */
export function whoseCounts({ file, theirs, who, ours, picture }) {
  return new Promise((resolve) => {
    const dialog = el("dialog", { className: "conflict" });
    const title = el("h2", { id: "conflict-title", textContent: "Somebody else was faster" });
    dialog.setAttribute("aria-labelledby", "conflict-title");
    const keep = el("button", { type: "button", textContent: "Keep mine" });
    const take = el("button", { type: "button", className: "main", textContent: "Take theirs" });
    const end = (isOurs) => { dialog.close(); dialog.remove(); resolve(isOurs); };
    keep.addEventListener("click", () => end(true));
    take.addEventListener("click", () => end(false));
    dialog.addEventListener("cancel", (event) => { event.preventDefault(); end(false); });
    dialog.append(
      title,
      el("p", { className: "soft small name", textContent: file }),
      ...(picture ? [el("div", { className: "frame" }, picture)] : []),
      el("div", { className: "versus" },
        el("div", {}, el("span", { className: "soft small", textContent: who }), el("b", { textContent: theirs })),
        el("div", {}, el("span", { className: "soft small", textContent: "you" }), el("b", { textContent: ours }))),
      el("div", { className: "row" }, take, keep),
    );
    document.body.append(dialog);
    dialog.showModal();
    take.focus();
  });
}

/** The list of keys: a button opens it, and `?`. */
export function helpDialog() {
  const dialog = byId("keys");
  const open = () => { if (!dialog.open) dialog.showModal(); };
  byId("help").addEventListener("click", open);
  return open;
}

/** How far the work is. */
export function progress({ open, unsure, resolved }, byYou) {
  const total = open + unsure + resolved;
  byId("bar").max = Math.max(1, total);
  byId("bar").value = resolved;
  const left = unsure ? `, ${unsure} not sure` : "";
  byId("done").textContent = `${resolved} of ${total} settled${left} · ${byYou} by you`;
}

