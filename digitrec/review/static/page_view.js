// Draw a page, or its digits enlarged, with a frame around each digit.

import { picture } from "./api.js";
import { hasNumbers, isOpen } from "./numbers.js";
import { byId, draw, el } from "./text.js";

const COARSE_PX = 240;
const LOW_CONFIDENCE = 0.9;

/** Return the index of the digit with the lowest confidence; -1 if all reach the threshold. */
export function leastConfident({ boxes }) {
  const confidences = boxes.map((box) => box[5]);
  const least = Math.min(1, ...confidences);
  return least < LOW_CONFIDENCE ? confidences.indexOf(least) : -1;
}

/** Return the frames of an entry, around its numbers if it has several, else around its digits; `doubts` are indexes. */
function framesOf(entry) {
  if (!hasNumbers(entry)) return { boxes: entry.boxes, doubts: [leastConfident(entry)] };
  const doubts = entry.numbers.flatMap((number, i) => (isOpen(number) ? [i] : []));
  return { boxes: entry.numbers.map(({ box }) => box), doubts };
}

/** Draw a page with frames as SVG; `part` is [x, y, width, height] or null. */
export function drawFrames(src, { width, height, boxes, label, part = null, doubts = [] }) {
  const [x, y, wide, high] = part ?? [0, 0, width, height];
  const pad = Math.max(2, 0.012 * Math.max(wide, high));
  const drawing = draw("svg", { viewBox: `${x} ${y} ${wide} ${high}`, role: "img", "aria-label": label });
  const image = draw("image", { href: src, x, y, width: wide, height: high, preserveAspectRatio: "none" });
  if (Math.max(wide, high) <= COARSE_PX) image.setAttribute("class", "coarse");
  drawing.append(image);
  const inset = pad / 4; // keeps frames at the edge of the page visible
  const at = ([left, top, boxWidth, boxHeight]) => {
    const from = [Math.max(left - pad, x + inset), Math.max(top - pad, y + inset)];
    const to = [Math.min(left + boxWidth + pad, x + wide - inset), Math.min(top + boxHeight + pad, y + high - inset)];
    return { x: from[0], y: from[1], width: Math.max(1, to[0] - from[0]), height: Math.max(1, to[1] - from[1]), rx: pad };
  };
  for (const box of boxes) drawing.append(draw("rect", { ...at(box), class: "halo" }));
  boxes.forEach((box, i) => drawing.append(draw("rect", { ...at(box), class: doubts.includes(i) ? "doubt" : "sure" })));
  return drawing;
}

/** Draw the whole page with its frames in a corner. */
function inset(entry, isCurrent) {
  picture("whole", entry).then(({ src }) => {
    if (!isCurrent()) return;
    const page = drawFrames(src, { ...entry, ...framesOf(entry), label: "The whole page" });
    page.setAttribute("class", "inset");
    byId("frame").append(page);
  }, () => {}); // the enlarged part is enough
}

let lastRequest = 0;

/** Show an entry in #frame; return false if another entry was requested meanwhile. */
export async function show(entry, isWhole) {
  const request = ++lastRequest;
  const frame = byId("frame");
  const part = isWhole ? null : entry.near;
  try {
    const { src, isOriginal } = await picture(part ? "near" : "whole", entry);
    if (request !== lastRequest) return false;
    const count = hasNumbers(entry) ? `${entry.numbers.length} numbers` : entry.boxes.length === 1 ? "1 digit" : `${entry.boxes.length} digits`;
    const options = { ...entry, ...framesOf(entry), part: isOriginal ? part : null, label: `Picture of ${entry.file}, ${count} framed` };
    frame.replaceChildren(entry.width ? drawFrames(src, options) : el("img", { src, alt: options.label }));
    if (options.part) inset(entry, () => request === lastRequest);
    if (!isOriginal) frame.append(el("p", { className: "soft small", textContent: "Preview only: the original is gone." }));
  } catch (problem) {
    if (request !== lastRequest) return false;
    frame.replaceChildren(el("p", { className: "soft", textContent: `No picture: ${problem.message}` }));
  }
  return true;
}
