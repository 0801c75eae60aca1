// Announcements for screen readers, notes, dialogs and the progress bar.

import { byId, el } from "./text.js";

const NOTICE_S = 8;

/** Announce a text to screen readers; a repeated text is announced again. */
export function announce(text) {
  const live = byId("live");
  live.textContent = "";
  setTimeout(() => { live.textContent = text; }, 30);
}

/** Show a note in the corner until it is closed, or for some seconds, and announce it. */
export function note(text, { kind = "", seconds = 0 } = {}) {
  const close = el("button", { type: "button", textContent: "×", ariaLabel: "Close this note" });
  const box = el("div", { className: `card note ${kind}` }, el("span", { textContent: text }), close);
  close.addEventListener("click", () => box.remove());
  byId("notes").append(box);
  if (seconds) setTimeout(() => box.remove(), seconds * 1000);
  announce(text);
}

let notice = null;
let hiding = 0;

/** Show what was done in #last or with the notes, with a button that undoes it, in place of the notice before; it is not announced. */
export function undoNotice(text, undo) {
  if (!notice) {
    notice = el("div", { className: "card note done" }, el("span"), el("button", { type: "button" }, "Undo", el("kbd", { textContent: "z" })));
    (byId("last") ?? byId("notes")).append(notice);
  }
  notice.firstChild.textContent = text;
  notice.lastChild.hidden = !undo;
  notice.lastChild.onclick = undo;
  notice.hidden = false;
  clearTimeout(hiding);
  hiding = setTimeout(() => { notice.hidden = true; }, NOTICE_S * 1000);
}

/** Ask which of two conflicting answers counts; resolve to true for the own one. */
export function resolveConflict({ file, theirs, who, ours, picture }) {
  return new Promise((resolve) => {
    const dialog = el("dialog", { className: "conflict" });
    const title = el("h2", { id: "conflict-title", textContent: "Another reviewer was faster" });
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

/** Return a function that opens the list of keys, as its button does. */
export function helpDialog() {
  const dialog = byId("keys");
  const open = () => { if (!dialog.open) dialog.showModal(); };
  byId("help").addEventListener("click", open);
  return open;
}

/** Show the progress of the review; a `unit` is what the list counts, a decision what a person saved at once. */
export function progress({ open, unsure, resolved }, byYou, unit = "answers") {
  const total = open + unsure + resolved;
  byId("bar").max = Math.max(1, total);
  byId("bar").value = resolved;
  const unsureText = unsure ? `, ${unsure} not sure` : "";
  const own = el("span", { className: "wide", textContent: ` · ${byYou} ${byYou === 1 ? "decision" : "decisions"} by you` });
  byId("done").replaceChildren(`${resolved} of ${total} ${total === 1 ? unit.slice(0, -1) : unit} resolved${unsureText}`, own);
}

