// Put dropped or chosen files into the inbox: a few at a time, with one line for each that is refused.

import { send } from "./api.js";
import { byId, el } from "./text.js";

const AT_ONCE = 3;
const MAX_LINES = 20;
const SHOWN_MS = 8000;

/** Yield the files of a drop, those in folders too. */
async function* filesOf(items) {
  const entries = [...items].map((item) => item.webkitGetAsEntry?.() ?? item.getAsFile?.()).filter(Boolean);
  while (entries.length) {
    const entry = entries.shift();
    if (entry instanceof File) yield entry;
    else if (entry.isFile) yield await new Promise((resolve, reject) => { entry.file(resolve, reject); });
    else {
      const reader = entry.createReader();
      let part;
      do {
        part = await new Promise((resolve, reject) => { reader.readEntries(resolve, reject); });
        entries.push(...part);
      } while (part.length);
    }
  }
}

const queue = [];
const state = { total: 0, sent: 0, refused: 0, running: 0, stored: 0 };
let callbacks = {};

function showState() {
  byId("sending").hidden = !state.total;
  byId("sending-bar").max = Math.max(1, state.total);
  byId("sending-bar").value = state.sent;
  const refused = state.refused ? `, ${state.refused} refused` : "";
  const words = state.running || queue.length ? `${state.sent} of ${state.total} sent` : `${state.stored} in the inbox`;
  byId("sending-text").textContent = `${words}${refused}`;
}

function refuse(name, message) {
  state.refused += 1;
  if (state.refused <= MAX_LINES) {
    byId("refused").append(el("li", {}, el("span", { className: "name", textContent: name }), el("span", { className: "small warn-text", textContent: message })));
  }
}

async function sendNext() {
  const file = queue.shift();
  try {
    if (file.size > Number(byId("inbox").dataset.most)) throw new Error("The file is too large.");
    await send(`/api/upload?name=${encodeURIComponent(file.name || "pasted.png")}`, file);
    state.stored += 1;
  } catch (problem) {
    refuse(file.name, problem.message);
  }
  state.sent += 1;
  showState();
}

async function work() {
  state.running += 1;
  while (queue.length) await sendNext();
  state.running -= 1;
  if (state.running) return;
  showState();
  if (state.stored) callbacks.done(state.stored);
  const isDone = !state.refused;
  setTimeout(() => { if (isDone && !state.total) byId("sending").hidden = true; }, SHOWN_MS);
  Object.assign(state, { total: 0, sent: 0, refused: 0, stored: 0 });
}

function add(file) {
  if (!state.total) byId("refused").replaceChildren();
  queue.push(file);
  state.total += 1;
  showState();
  if (state.running < AT_ONCE) work();
}

/** Take files that are dropped anywhere on the page, chosen or pasted. */
export function watchDrops({ done, problem }) {
  callbacks = { done };
  const over = byId("over");
  const hasFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  document.addEventListener("dragover", (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    over.hidden = false;
  });
  document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) over.hidden = true; });
  document.addEventListener("drop", async (event) => {
    if (!hasFiles(event)) return;
    event.preventDefault();
    over.hidden = true;
    try {
      for await (const file of filesOf(event.dataTransfer.items)) add(file);
    } catch (why) {
      problem(`A dropped folder cannot be read: ${why.message}`);
    }
  });
  document.addEventListener("paste", (event) => { for (const file of event.clipboardData.files) add(file); });
  byId("upload").addEventListener("change", () => {
    for (const file of byId("upload").files) add(file);
    byId("upload").value = "";
  });
}
