// Try it: draw, drop, paste or choose; what was read is shown, nothing is stored.

import { framed } from "./frame.js";
import { send } from "./net.js";
import { paper } from "./paper.js";
import { announce, note } from "./talk.js";
import { byId, el, percent } from "./words.js";

const drawing = paper(byId("canvas"));
const results = byId("results");
const upload = byId("upload");
const drop = byId("drop");
const MOST_AT_ONCE = 20;
const NAMES = [..."0123456789", "no digit"];

function chances({ probabilities }) {
  const best = probabilities.indexOf(Math.max(...probabilities));
  return el("ul", { className: "chances" }, ...probabilities.map((share, i) =>
    el("li", { className: i === best ? "best" : "" },
      el("span", { textContent: NAMES[i] }),
      el("meter", { min: 0, max: 1, value: share, ariaLabel: `${NAMES[i]}: ${percent(share)}` }),
      el("span", { className: "n", textContent: percent(share) }))));
}

function pageOf(found, threshold) {
  const { digits, text, confidence } = found;
  const orElse = found.runner_up ? `; or else ${found.runner_up}, ${percent(found.runner_up_confidence)}` : "";
  const verdict = found.is_accepted
    ? `It would be accepted: that takes ${percent(threshold)}.`
    : `It would not be accepted: ${found.why}.`;
  const boxes = digits.map(({ box, digit, confidence: sure }) => [...box, digit, sure]);
  const label = `The picture, ${digits.length === 1 ? "1 digit" : `${digits.length} digits`} framed`;
  const seen = digits.map((one, i) => el("div", {},
    el("img", { src: one.ink, width: 88, height: 88, alt: `Digit ${i + 1} as the network saw it, 28 by 28` }),
    chances(one)));
  return [
    el("div", { className: "frame" }, ...(found.picture ? [framed(found.picture, { ...found, boxes, label })] : [])),
    el("div", {},
      el("p", { className: text ? "reads" : "reads words", textContent: text || "No answer" }),
      el("p", { className: "soft", textContent: confidence === null ? "" : `${percent(confidence)} sure${orElse}` }),
      el("p", { className: `verdict ${found.is_accepted ? "yes" : "no"}`, textContent: verdict })),
    el("div", { className: "seen" }, ...seen),
  ];
}

function shown(name, found) {
  if (!found.pages.length) {
    return [el("section", { className: "card result" }, el("div", {}, el("h2", { textContent: name }),
      el("p", { className: "verdict no", textContent: `No answer: ${found.why}.` })))];
  }
  const cards = found.pages.map((page) => {
    const title = found.pages.length > 1 ? `${name}, page ${page.page}` : name;
    const [frame, words, seen] = pageOf(page, found.threshold);
    words.prepend(el("h2", { textContent: title }));
    return el("section", { className: "card result" }, frame, words, seen);
  });
  if (found.more) cards.push(el("p", { className: "soft", textContent: "There are more pages; only the first are shown." }));
  return cards;
}

async function read(name, file) {
  const waiting = el("section", { className: "card result", ariaBusy: "true" }, el("p", { textContent: `Reading ${name} … (the first one wakes the model)` }));
  results.prepend(waiting);
  announce(`Reading ${name}.`);
  try {
    if (file.size > Number(upload.dataset.most)) throw new Error(`${name} is larger than is taken here.`);
    const found = await send("/api/try", file);
    waiting.replaceWith(...shown(name, found));
    const [first] = found.pages;
    announce(first?.text ? `${name}: reads ${first.text}, ${percent(first.confidence)} sure, ${first.is_accepted ? "accepted" : "not accepted"}.` : `${name}: no answer.`);
  } catch (problem) {
    waiting.remove();
    note(problem.message, { kind: "warn" });
  }
}

async function readAll(files) {
  const given = [...files].filter((file) => file instanceof File);
  if (given.length > MOST_AT_ONCE) note(`The first ${MOST_AT_ONCE} of ${given.length} are read.`, { kind: "warn" });
  for (const file of given.slice(0, MOST_AT_ONCE)) await read(file.name || "Pasted picture", file);
}

byId("read").addEventListener("click", async () => {
  if (drawing.isEmpty()) { note("Draw a digit first.", { seconds: 4 }); return; }
  await read("Your drawing", await drawing.png());
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
