// Try it: read drawn, dropped, pasted or chosen pictures without storing them.

import { drawFrames } from "./page_view.js";
import { send, sendForPicture } from "./api.js";
import { drawingCanvas } from "./canvas.js";
import { announce, note } from "./notices.js";
import { byId, el, percent } from "./text.js";

const drawing = drawingCanvas(byId("canvas"));
const results = byId("results");
const upload = byId("upload");
const drop = byId("drop");
const MAX_FILES = 20;
const NAMES = [..."0123456789", "no digit"];

function probabilityBars({ probabilities }) {
  const best = probabilities.indexOf(Math.max(...probabilities));
  return el("ul", { className: "chances" }, ...probabilities.map((share, i) =>
    el("li", { className: i === best ? "best" : "" },
      el("span", { textContent: NAMES[i] }),
      el("meter", { min: 0, max: 1, value: share, ariaLabel: `${NAMES[i]}: ${percent(share)}` }),
      el("span", { className: "n", textContent: percent(share) }))));
}

function pageParts(page) {
  const { digits, text, confidence } = page;
  const runnerUp = page.runner_up ? `; runner-up ${page.runner_up}, ${percent(page.runner_up_confidence)}` : "";
  const verdict = page.is_accepted
    ? `It would be accepted: the threshold is ${percent(page.threshold)}.`
    : `It would not be accepted: ${page.why}.`;
  const boxes = digits.map((digit) => [...digit.box, digit.digit, digit.confidence]);
  const label = `The picture, ${digits.length === 1 ? "1 digit" : `${digits.length} digits`} framed`;
  const seen = digits.map((digit, i) => el("div", {},
    el("img", { src: digit.ink, width: 88, height: 88, alt: `Digit ${i + 1} as the model input, 28 by 28 pixels` }),
    probabilityBars(digit)));
  return [
    el("div", { className: "frame" }, ...(page.picture ? [drawFrames(page.picture, { ...page, boxes, label })] : [])),
    el("div", {},
      el("p", { className: text ? "reads" : "reads words", textContent: text || "No answer" }),
      el("p", { className: "soft", textContent: confidence === null ? "" : `Confidence ${percent(confidence)}${runnerUp}` }),
      el("p", { className: `verdict ${page.is_accepted ? "yes" : "no"}`, textContent: verdict })),
    el("div", { className: "seen" }, ...seen),
  ];
}

/** Return the buttons under a result: put the file into the inbox, and show how it was read. */
function resultActions(name, file) {
  const keep = el("button", { type: "button", textContent: "Put into the inbox" });
  const why = el("button", { type: "button", textContent: "Show how it was read" });
  const picture = el("div", { className: "explain" });
  keep.addEventListener("click", async () => {
    keep.disabled = true;
    try {
      const { file: stored } = await send(`/api/upload?name=${encodeURIComponent(name)}`, file);
      note(`In the inbox: ${stored}`, { seconds: 8 });
    } catch (problem) {
      keep.disabled = false;
      note(problem.message, { kind: "warn" });
    }
  });
  why.addEventListener("click", async () => {
    why.disabled = true;
    try {
      const src = await sendForPicture("/api/explain", file);
      const link = el("a", { href: src, target: "_blank" }, el("img", { src, alt: `How ${name} was read, step by step` }));
      picture.replaceChildren(link);
    } catch (problem) {
      why.disabled = false;
      note(problem.message, { kind: "warn" });
    }
  });
  return [el("div", { className: "row" }, keep, why), picture];
}

function resultCards(name, result) {
  if (!result.pages.length) {
    return [el("section", { className: "card result" }, el("div", {}, el("h2", { textContent: name }),
      el("p", { className: "verdict no", textContent: `No answer: ${result.why}.` })))];
  }
  const cards = result.pages.map((page) => {
    const title = result.pages.length > 1 ? `${name}, page ${page.page}` : name;
    const [frame, words, seen] = pageParts(page);
    words.prepend(el("h2", { textContent: title }));
    return el("section", { className: "card result" }, frame, words, seen);
  });
  if (result.more) cards.push(el("p", { className: "soft", textContent: "Only the first pages are shown." }));
  return cards;
}

let drawn = []; // cards of the drawing that was read last; the next one takes their place

async function read(name, file, fileName = name) {
  const waiting = el("section", { className: "card result", ariaBusy: "true" }, el("p", { textContent: `Reading ${name} … (the first picture loads the model)` }));
  byId("first")?.remove();
  results.prepend(waiting);
  announce(`Reading ${name}.`);
  try {
    if (file.size > Number(upload.dataset.most)) throw new Error(`${name} is too large.`);
    const result = await send("/api/try", file);
    const cards = resultCards(name, result);
    const [first] = result.pages;
    if (first) cards[0].append(...resultActions(fileName, file));
    waiting.replaceWith(...cards);
    announce(first?.text ? `${name}: reads ${first.text}, confidence ${percent(first.confidence)}, ${first.is_accepted ? "accepted" : "not accepted"}.` : `${name}: no answer.`);
    return cards;
  } catch (problem) {
    waiting.remove();
    note(problem.message, { kind: "warn" });
    return [];
  }
}

async function readAll(files) {
  const selected = [...files].filter((file) => file instanceof File);
  if (selected.length > MAX_FILES) note(`The first ${MAX_FILES} of ${selected.length} are read.`, { kind: "warn" });
  for (const file of selected.slice(0, MAX_FILES)) await read(file.name || "Pasted picture", file);
}

byId("read").addEventListener("click", async () => {
  if (drawing.isEmpty()) { note("Draw a digit first.", { seconds: 4 }); return; }
  drawn.splice(0).forEach((card) => card.remove());
  drawn = await read("Your drawing", await drawing.png(), "drawing.png");
  drawn[0]?.scrollIntoView({ block: "nearest" });
});
byId("back").addEventListener("click", drawing.back);
byId("clear").addEventListener("click", drawing.clear);
upload.addEventListener("change", async () => { await readAll(upload.files); upload.value = ""; });
document.addEventListener("paste", (event) => { if (event.clipboardData.files.length) readAll(event.clipboardData.files); });
for (const kind of ["dragover", "drop"]) document.addEventListener(kind, (event) => event.preventDefault());
document.addEventListener("dragover", () => drop.classList.add("over"));
document.addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
document.addEventListener("drop", (event) => {
  drop.classList.remove("over");
  readAll(event.dataTransfer.files);
});
