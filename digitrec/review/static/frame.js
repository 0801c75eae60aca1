// A page, or the part of it where the digits are, with a frame around each digit.

import { picture } from "./net.js";
import { byId, draw, el } from "./words.js";

const COARSE_PX = 240;
const DOUBT = 0.9;

/** Where the least sure digit of an entry is; -1 if all are sure. */
export function weakest({ boxes }) {
  const confidences = boxes.map((box) => box[5]);
  const least = Math.min(1, ...confidences);
  return least < DOUBT ? confidences.indexOf(least) : -1;
}

/** A drawing of a page with frames; `part` is [x, y, width, height] or null. */
export function framed(src, { width, height, boxes, label, part = null, doubt = -1 }) {
  const [x, y, wide, high] = part ?? [0, 0, width, height];
  const pad = Math.max(2, 0.012 * Math.max(wide, high));
  const drawing = draw("svg", { viewBox: `${x} ${y} ${wide} ${high}`, role: "img", "aria-label": label });
  const image = draw("image", { href: src, x, y, width: wide, height: high, preserveAspectRatio: "none" });
  if (Math.max(wide, high) <= COARSE_PX) image.setAttribute("class", "coarse");
  drawing.append(image);
  const inset = pad / 4; // a frame at the edge of the page is seen, too
  const at = ([left, top, boxWidth, boxHeight]) => {
    const from = [Math.max(left - pad, x + inset), Math.max(top - pad, y + inset)];
    const to = [Math.min(left + boxWidth + pad, x + wide - inset), Math.min(top + boxHeight + pad, y + high - inset)];
    return { x: from[0], y: from[1], width: Math.max(1, to[0] - from[0]), height: Math.max(1, to[1] - from[1]), rx: pad };
  };
  for (const box of boxes) drawing.append(draw("rect", { ...at(box), class: "halo" }));
  boxes.forEach((box, i) => drawing.append(draw("rect", { ...at(box), class: i === doubt ? "doubt" : "sure" })));
  return drawing;
}

/** The whole page in a corner: where the frames are on it, and what else is there. */
function inset(entry, isStillShown) {
  picture("whole", entry).then(({ src }) => {
    if (!isStillShown()) return;
    const page = framed(src, { ...entry, label: "The whole page", doubt: weakest(entry) });
    page.setAttribute("class", "inset");
    byId("frame").append(page);
  }, () => {}); // the part is there: that is enough
}

let turn = 0;

/** Show an entry in #frame; gives whether its picture is there. */
export async function show(entry, isWhole) {
  const mine = ++turn;
  const frame = byId("frame");
  const part = isWhole ? null : entry.near;
  try {
    const { src, isOriginal } = await picture(part ? "near" : "whole", entry);
    if (mine !== turn) return false;
    const count = entry.boxes.length;
    const label = `Picture of ${entry.file}, ${count === 1 ? "1 digit" : `${count} digits`} framed`;
    const words = { ...entry, part: isOriginal ? part : null, doubt: weakest(entry), label };
    frame.replaceChildren(entry.width ? framed(src, words) : el("img", { src, alt: label }));
    if (words.part) inset(entry, () => mine === turn);
    if (!isOriginal) frame.append(el("p", { className: "soft small", textContent: "A small copy: the original is gone." }));
  } catch (problem) {
    if (mine !== turn) return false;
    frame.replaceChildren(el("p", { className: "soft", textContent: `No picture: ${problem.message}` }));
  }
  return true;
}
