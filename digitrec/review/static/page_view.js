// Draw a page, or its digits enlarged, with a frame around each digit or number.

import { picture } from "./api.js";
import { hasNumbers, isOpen } from "./numbers.js";
import { byId, draw, el } from "./text.js";
import { zoomable } from "./zoom.js";

const COARSE_PX = 240;
const DETAIL_SCALE = 1.3; // from which a zoomed picture is replaced by the full one
const LARGE_PART = 0.45; // share of the page from which its enlarged part needs no overview beside it
const MARGIN = 0.35; // around the number in the panel, as a share of its height

const same = (box, other) => box.every((value, i) => value === other[i]);

/** Return the frames [{box, kind}] of an entry: around its numbers if it has several, else around its digits. */
function framesOf(entry, current = null) {
  if (!hasNumbers(entry)) {
    const doubt = entry.numbers[0]?.doubt;
    return entry.boxes.map((box) => ({ box, kind: doubt && same(doubt.box, box) ? "doubt" : "sure" }));
  }
  const kindOf = (number, i) => (i === current ? "current" : isOpen(number) ? "doubt" : "sure");
  return entry.numbers.map((number, i) => ({ box: number.box, kind: kindOf(number, i) }));
}

/** Return the SVG elements of frames in the part [x, y, width, height] of a page. */
function frameShapes(frames, [x, y, wide, high]) {
  const most = Math.max(2, 0.012 * Math.max(wide, high));
  const inset = most / 4; // keeps frames at the edge of the page visible
  const at = ([left, top, boxWidth, boxHeight]) => {
    const pad = Math.min(most, Math.max(2, 0.25 * boxHeight));
    const from = [Math.max(left - pad, x + inset), Math.max(top - pad, y + inset)];
    const to = [Math.min(left + boxWidth + pad, x + wide - inset), Math.min(top + boxHeight + pad, y + high - inset)];
    return { x: from[0], y: from[1], width: Math.max(1, to[0] - from[0]), height: Math.max(1, to[1] - from[1]), rx: pad };
  };
  const last = [...frames].sort((one, other) => (one.kind === "current") - (other.kind === "current"));
  return last.flatMap(({ box, kind }) => [draw("rect", { ...at(box), class: "halo" }), draw("rect", { ...at(box), class: kind })]);
}

/** Draw a page with frames as SVG; `part` is [x, y, width, height] or null, `frames` replaces `boxes`. */
export function drawFrames(src, { width, height, boxes = [], frames = null, label, part = null, imagePart = part }) {
  const view = part ?? [0, 0, width, height];
  const [x, y, wide, high] = imagePart ?? [0, 0, width, height];
  const drawing = draw("svg", { viewBox: view.join(" "), ...(label ? { role: "img", "aria-label": label } : { "aria-hidden": "true" }) });
  const image = draw("image", { href: src, x, y, width: wide, height: high, preserveAspectRatio: "none" });
  if (Math.max(view[2], view[3]) <= COARSE_PX) image.setAttribute("class", "coarse");
  const shapes = frameShapes(frames ?? boxes.map((box) => ({ box, kind: "sure" })), view);
  drawing.append(image, draw("g", {}, ...shapes));
  return drawing;
}

/** Return the part of a page around a number, [x, y, width, height]. */
function partAround([x, y, width, height], page) {
  const margin = MARGIN * height;
  const [left, top] = [Math.max(0, x - margin), Math.max(0, y - margin)];
  const [right, bottom] = [Math.min(page.width, x + width + margin), Math.min(page.height, y + height + margin)];
  return [left, top, Math.max(1, right - left), Math.max(1, bottom - top)];
}

/** Draw a number of a page, its least certain digit framed; null without a picture. */
export async function drawNumber(entry, number) {
  const { src, isOriginal } = await picture("full", entry);
  if (!isOriginal || !entry.width) return null;
  const frames = number.doubt ? [{ box: number.doubt.box, kind: "doubt" }] : [];
  const label = `Number ${number.number}, enlarged`;
  return drawFrames(src, { ...entry, frames, label, part: partAround(number.box, entry), imagePart: null });
}

let shown = {}; // {entry, isWhole, svg, part, isNear} of the picture in #frame
let lastRequest = 0;
const zoom = byId("frame") && byId("work") ? zoomable(byId("frame"), addDetail) : null;

/** Replace the picture by the full one once it is zoomed. */
async function addDetail(scale) {
  const { entry, svg, isNear } = shown;
  if (!svg || scale < DETAIL_SCALE || svg.dataset.detail) return;
  svg.dataset.detail = "1";
  const { src, isOriginal } = await picture("full", entry).catch(() => ({}));
  if (!src || !isOriginal || shown.svg !== svg) return;
  const image = svg.querySelector("image");
  image.setAttribute("href", src);
  if (isNear) for (const [name, value] of Object.entries({ x: 0, y: 0, width: entry.width, height: entry.height })) image.setAttribute(name, value);
}

function updateFrames(entry, current) {
  const { svg, part } = shown;
  if (!svg) return;
  const view = part ?? [0, 0, entry.width, entry.height];
  svg.querySelector("g").replaceChildren(...frameShapes(framesOf(entry, current), view));
  if (current !== null) zoom.follow(entry.numbers[current].box);
}

/** Draw the whole page beside its enlarged part. */
function showOverview(entry, current, part) {
  const corner = byId("corner");
  corner.hidden = !part || part[2] * part[3] > LARGE_PART * entry.width * entry.height;
  corner.replaceChildren();
  if (corner.hidden) return;
  const request = lastRequest;
  picture("whole", entry).then(({ src }) => {
    if (request === lastRequest) corner.replaceChildren(drawFrames(src, { ...entry, frames: framesOf(entry, current), label: "The whole page" }));
  }, () => {}); // the enlarged part is enough
}

/** Show an entry in #frame, one of its numbers framed; return false if another entry was requested meanwhile. */
export async function show(entry, isWhole, current = null) {
  if (shown.entry === entry && shown.isWhole === isWhole && shown.svg) {
    updateFrames(entry, current);
    return true;
  }
  const request = ++lastRequest;
  const frame = byId("frame");
  const part = isWhole ? null : entry.near;
  shown = {};
  try {
    const { src, isOriginal } = await picture(part ? "near" : "whole", entry);
    if (request !== lastRequest) return false;
    const count = hasNumbers(entry) ? `${entry.numbers.length} numbers` : entry.boxes.length === 1 ? "1 digit" : `${entry.boxes.length} digits`;
    const options = { ...entry, frames: framesOf(entry, current), part: isOriginal ? part : null, label: `Picture of ${entry.file}, ${count} framed` };
    const drawing = entry.width ? drawFrames(src, options) : null;
    frame.replaceChildren(drawing ?? el("img", { src, alt: options.label }));
    frame.classList.remove("zoomed");
    shown = { entry, isWhole, svg: drawing, part: options.part, isNear: Boolean(options.part) };
    showOverview(entry, current, options.part);
    if (!isOriginal) frame.append(el("p", { className: "soft small", textContent: "Preview only: the original is gone." }));
  } catch (problem) {
    if (request !== lastRequest) return false;
    byId("corner").hidden = true;
    frame.replaceChildren(el("p", { className: "soft", textContent: `No picture: ${problem.message}` }));
  }
  return true;
}
