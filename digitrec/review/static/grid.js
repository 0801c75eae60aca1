// By digit: a hundred answers with the same digit; mark and correct the wrong ones, Enter confirms the rest.
// With `in=numbers`, a tile is a number, and a digit replaces its least certain character.
// A key applies to all marked tiles without a correction, else to those of the key before, else to the current tile.

import { get, picture } from "./api.js";
import { save, undoJudgements } from "./save_queue.js";
import { announce, helpDialog, note, progress, undoNotice } from "./notices.js";
import { drawFrames } from "./page_view.js";
import { answerText, byId, el, judgedAnswer, markedText, percent, saidAnswer, suggestedAnswer } from "./text.js";

const PAGE_SIZE = 100;
const UNSET = "";
const MAX_UNDO = 10;
const WIDE = 1.6; // aspect ratio from which a tile takes two columns
const WIDER = 3.2; // and three
const SIGNS = /^[-+.,/:]$/;
const TYPED = /^[-+.,/:0-9]+$/;

const grid = byId("grid");
const help = helpDialog();
const query = new URLSearchParams(location.search);
const { digit } = grid.dataset; // of a list of numbers
const seen = new Map(); // id of the latest judgement of a page, by batch and row: a page has many numbers

/** Tiles: {entry, tile, new: the correction, undefined if not marked, picture: "loading", "there" or "none"}. */
let tiles = [];
let typing = []; // tiles that the last key changed; the next key continues with them
let anchor = null; // start of a range
let ranged = null; // tiles that the range marked so far; null without a range
const STORE = `undo ${document.querySelector(".who").textContent}`;
const saved = JSON.parse(sessionStorage.getItem(STORE) ?? "[]"); // {query, entries} of each Enter in this tab, the last at the end
let next = "";
let count = { open: 0, unsure: 0, resolved: 0 };
let byYou = 0;
let isBusy = false;
let work = Promise.resolve(); // queue: a second Enter or an undo waits for the first
let ahead = null; // the next page, requested in advance

const trouble = (problem) => note(problem.message, { kind: "warn" });

function ask(after) {
  const params = new URLSearchParams(query);
  params.set("after", after);
  params.set("most", PAGE_SIZE);
  return getList(params);
}

/** Return a page of answers, or of numbers. */
function getList(params) {
  if (digit === undefined) return get(`/api/list?${params}`);
  for (const name of ["text", "in"]) params.delete(name);
  params.set("digit", digit);
  return get(`/api/numbers?${params}`);
}

const pageOf = ({ batch, row }) => `${batch}/${row}`;
const idOf = (entry) => `${pageOf(entry)}/${digit === undefined ? "" : entry.number}`;

async function more(room) {
  if (next === null || room <= 0) return;
  const page = await (ahead ?? ask(next));
  ahead = null;
  next = page.next;
  ({ count, by_you: byYou } = page);
  const loaded = new Set(tiles.map(({ entry }) => idOf(entry)));
  for (const entry of page.entries) if (!loaded.has(idOf(entry))) add(entry);
}

function add(entry) {
  const tile = el("button", { type: "button", className: `tile ${widthOf(entry)}`, tabIndex: -1 });
  const one = { entry, tile, new: undefined, picture: "loading" };
  const place = el("span", { className: "none", textContent: "…" });
  tile.append(place, el("small", {}, el("b"), el("span")));
  entry.seen = Math.max(entry.seen, seen.get(pageOf(entry)) ?? 0);
  thumbnail(entry).then((image) => {
    place.replaceWith(image);
    one.picture = "there";
  }, () => {
    place.textContent = "no picture";
    one.picture = "none";
  }).finally(() => { updateTile(one); updateAll(); });
  tiles.push(one);
  grid.append(tile);
  updateTile(one);
}

const doubtOf = (entry) => (digit === undefined ? (entry.numbers.length === 1 ? entry.numbers[0].doubt : null) : entry.doubt);

/** Return the picture of a tile, the least certain character of a number framed; the tile gets the width it needs. */
async function thumbnail(entry) {
  const { src, isOriginal } = await picture("small", entry, digit === undefined ? 0 : entry.number);
  const doubt = doubtOf(entry);
  const image = el("img", { src, alt: "" });
  if (!doubt || entry.text.length < 2 || !isOriginal || !entry.width) return image;
  return drawFrames(src, { ...entry, frames: [{ box: doubt.box, kind: "doubt" }], label: "" });
}

/** Return the width of a tile by the aspect ratio of its picture. */
function widthOf({ part, width, height }) {
  const ratio = part ? part[2] / part[3] : width && height ? width / height : 1;
  return ratio >= WIDER ? "wider" : ratio >= WIDE ? "wide" : "";
}

const isMarked = (one) => one.new !== undefined;
const isCorrected = (one) => isMarked(one) && one.new !== UNSET;

/** Return the answer that Enter confirms for an unmarked entry; undefined without one. */
const confirmable = (entry) => (entry.status === "rejected" ? undefined : suggestedAnswer(entry));

/** Return whether Enter confirms a tile: its picture is loaded, nobody judged it, and it has an answer. */
const isConfirmed = (one) => !isMarked(one) && one.picture === "there" && !one.entry.said && confirmable(one.entry) !== undefined;

function updateTile(one) {
  const { entry, tile } = one;
  tile.setAttribute("aria-pressed", String(isMarked(one)));
  tile.dataset.new = !isMarked(one) ? "" : one.new === UNSET ? "?" : one.new === null ? "unsure" : one.new === "none" ? "×" : one.new;
  const isNoDigit = entry.reason === "not_a_digit";
  const [caption, sure] = tile.querySelectorAll("small > *");
  const text = answerText(judgedAnswer(entry) ?? confirmable(entry) ?? "–");
  const isRead = text === entry.text && text.length > 1;
  caption.replaceChildren(...(isRead && !text.includes(" ") ? markedText(text, doubtOf(entry)?.at) : [text]));
  if (isRead && entry.numbers?.length > 1) caption.textContent = `${entry.numbers.length} numbers`;
  sure.textContent = judgedAnswer(entry) ? "saved" : isNoDigit ? entry.text && `${entry.text}?` : entry.confidence === null ? "" : percent(entry.confidence);
  const said = entry.said ? `, ${entry.said.who}: ${answerText(saidAnswer(entry.said))}` : "";
  const odd = !isMarked(one) ? "" : one.new === UNSET ? ", marked" : `, marked: ${answerText(one.new)}`;
  const unseen = one.picture === "none" ? ", no picture" : "";
  const read = isNoDigit ? `no digit, runner-up ${entry.text || "nothing"}` : `read as ${entry.text || "nothing"}`;
  tile.ariaLabel = `${entry.file}: ${read}, confidence ${percent(entry.confidence)}${said}${unseen}${odd}`;
  tile.title = `${entry.file}${said}`;
}

function updateAll() {
  progress(count, byYou, digit === undefined ? "answers" : "numbers");
  const isEmpty = tiles.length === 0;
  byId("empty").hidden = !isEmpty;
  byId("bottom").hidden = isEmpty && !saved.length; // the last save can be undone on an empty page, too
  for (const id of ["how", "enter", "skip"]) byId(id).hidden = isEmpty;
  byId("undo").disabled = isBusy || !saved.length;
  if (isEmpty) {
    byId("correct").hidden = true;
    byId("empty").replaceChildren(digit === undefined ? "No answers are left here. Choose another digit above, or go " : "No numbers are left here. Choose another digit above, or go ", el("a", { href: "/review", textContent: "to the overview" }), ".");
    return;
  }
  const loading = tiles.filter((one) => one.picture === "loading").length;
  const right = tiles.filter(isConfirmed);
  const isNone = right.every((one) => confirmable(one.entry) === "none");
  const odd = tiles.filter(isCorrected).length;
  const button = byId("enter");
  const words = [right.length ? `confirm ${right.length}${isNone ? " as no digit" : ""}` : "", odd ? `correct ${odd}` : ""].filter(Boolean).join(", ");
  const label = loading ? `${loading} still loading` : words || "Nothing to save";
  button.replaceChildren(label.charAt(0).toUpperCase() + label.slice(1), el("kbd", { textContent: "Enter" }));
  button.disabled = isBusy || loading > 0 || !words;
  byId("skip").disabled = next === null;
  const ones = targets().filter(isMarked);
  byId("correct").hidden = !ones.length;
  byId("marked").textContent = ones.length > 1 ? `${ones.length} marked, correct to` : ones.length ? `${ones[0].entry.text || "This"}: correct to` : "";
  for (const one of tiles) one.tile.classList.toggle("typing", typing.length > 1 && typing.includes(one));
}

/** Return the tiles that a key applies to. */
function targets() {
  const open = tiles.filter((one) => one.new === UNSET);
  if (open.length) return open;
  const one = current();
  return typing.includes(one) ? typing : one ? [one] : [];
}

function current() {
  return tiles.find(({ tile }) => tile.tabIndex === 0);
}

function focus(one, isQuiet = false) {
  if (!one) return;
  const before = current();
  if (before) before.tile.tabIndex = -1;
  one.tile.tabIndex = 0;
  if (!isQuiet) one.tile.focus();
}

/** Change the mark of tiles; `change` maps the old mark to the new one. */
function set(ones, change) {
  for (const one of ones) {
    one.new = change(one.new, one.entry);
    updateTile(one);
  }
  updateAll();
  if (!ones.length) return;
  const what = ones[0].new;
  const words = what === undefined ? "Not marked." : what === UNSET ? "Marked: type the correct digits." : `Marked: ${answerText(what)}.`;
  announce(ones.length > 1 ? `${ones.length} tiles. ${words}` : words);
}

/** Change the correction of the tiles that a key applies to. */
function answer(change) {
  const ones = targets();
  set(ones, change);
  typing = ones;
  updateAll();
}

function toggle(one) {
  leave();
  anchor = one;
  set([one], (what) => (what === undefined ? UNSET : undefined));
}

/** Mark all tiles between the anchor and a tile; unmark those that this range marked before and no longer holds. */
function range(to) {
  if (!tiles.includes(anchor)) anchor = current() ?? to;
  const ends = [tiles.indexOf(anchor), tiles.indexOf(to)];
  const within = tiles.slice(Math.min(...ends), Math.max(...ends) + 1);
  const before = ranged ?? [];
  const fresh = within.filter((one) => !isMarked(one));
  for (const one of before) if (!within.includes(one) && one.new === UNSET) set([one], () => undefined);
  typing = [];
  ranged = [...before.filter((one) => within.includes(one)), ...fresh];
  focus(to);
  set(fresh, () => UNSET);
}

/** End the current range and the current typing. */
function leave() {
  typing = [];
  ranged = null;
}

async function fill() {
  await more(PAGE_SIZE - tiles.length);
  if (!current() && tiles.length) focus(tiles[0], document.activeElement !== document.body);
  updateAll();
  if (next !== null && !ahead) {
    ahead = ask(next);
    ahead.then(({ entries }) => entries.forEach((entry) => picture("small", entry, digit === undefined ? 0 : entry.number).catch(() => {})), () => { ahead = null; });
  }
}

/** Run a job after all jobs queued before it. */
function enqueue(job) {
  work = work.then(async () => {
    isBusy = true;
    updateAll();
    try {
      await job();
    } catch (problem) {
      trouble(problem);
    } finally {
      isBusy = false;
      updateAll();
    }
  });
}

async function confirm() {
  leave();
  if (tiles.some((one) => one.picture === "loading")) { announce("Pictures are still loading."); return; }
  const chosen = tiles.filter((one) => isConfirmed(one) || isCorrected(one));
  if (!chosen.length) { announce("There is nothing to save: type the correct digits of the marked answers."); return; }
  const isOdd = chosen.find((one) => isCorrected(one) && isTyped(one.new) && !/[0-9]/.test(one.new));
  if (isOdd) { note(`“${isOdd.new}” is no number: it needs a digit.`, { kind: "warn", seconds: 8 }); return; }
  const corrected = chosen.filter(isCorrected).length;
  const items = chosen.map((one) => ({ entry: one.entry, new: isCorrected(one) ? one.new : confirmable(one.entry) }));
  if (digit !== undefined) items.sort((one, other) => pageOf(one.entry).localeCompare(pageOf(other.entry))); // the numbers of a page together
  const { done } = await save("grid", items);
  const entries = done.map((entry) => ({ ...entry, change: entry.seen }));
  if (done.length) saved.push({ query: location.search, entries });
  remember();
  refreshSeen(done);
  const counts = [done.length - corrected > 0 ? `${done.length - corrected} confirmed` : "", corrected ? `${corrected} corrected` : ""];
  if (done.length) undoNotice(`Saved: ${counts.filter(Boolean).join(", ")}`, () => enqueue(undo));
  const gone = new Set(chosen);
  chosen.forEach(({ tile }) => tile.remove());
  tiles = tiles.filter((one) => !gone.has(one));
  const left = tiles.length;
  await fill();
  await refresh();
  announce(`${done.length} saved. ${left ? `${left} left here.` : ""}`);
  focus(current() ?? tiles[0]);
  if (!left) window.scrollTo({ top: 0 });
}

/** Reload the counts: those of the page requested in advance are older. */
async function refresh() {
  const params = new URLSearchParams(query);
  params.set("most", 1);
  ({ count, by_you: byYou } = await getList(params));
}

/** Store the undo list: another digit is another page, and undo works across pages. */
function remember() {
  sessionStorage.setItem(STORE, JSON.stringify(saved.slice(-MAX_UNDO)));
}

/** Note the latest judgement of the pages of entries for all tiles of these pages. */
function refreshSeen(changed) {
  for (const entry of changed) seen.set(pageOf(entry), entry.seen);
  for (const { entry } of tiles) entry.seen = Math.max(entry.seen, seen.get(pageOf(entry)) ?? 0);
}

async function undo() {
  const last = saved.pop();
  if (!last) { announce("There is nothing to undo."); return; }
  const { entries, query: where } = last;
  let undone;
  try {
    const pages = new Map(entries.map((entry) => [pageOf(entry), entry])); // a page with several numbers is undone once
    for (const entry of pages.values()) entry.seen = Math.max(entry.seen, seen.get(pageOf(entry)) ?? 0);
    ({ undone } = await undoJudgements([...pages.values()]));
    refreshSeen(pages.values());
    if (digit !== undefined) for (const entry of entries) entry.said = null;
  } catch (problem) {
    if (problem.status !== 400) saved.push(last); // 400: these answers belong to another server
    throw problem;
  } finally {
    remember();
  }
  if (where !== location.search) { location.assign(`/grid${where}`); return; }
  leave();
  if (undone) {
    const rest = tiles;
    rest.forEach(({ tile }) => tile.remove());
    tiles = [];
    entries.forEach(add);
    rest.forEach((one) => { tiles.push(one); grid.append(one.tile); });
    focus(tiles[0]);
    undoNotice(`${undone} undone`, null);
    announce(`${undone} undone.`);
  }
  await refresh();
}

async function skip() {
  if (next === null) { announce("There are no more answers."); return; }
  leave();
  tiles.forEach(({ tile }) => tile.remove());
  tiles = [];
  await fill();
  window.scrollTo({ top: 0 });
  focus(tiles[0]);
  announce(`The next ${tiles.length}.`);
}

function step(key, isRange) {
  const at = tiles.indexOf(current());
  const tops = tiles.map(({ tile }) => tile.offsetTop);
  const across = Math.max(1, tops.lastIndexOf(tops[0]) + 1);
  const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across, Home: -at, End: tiles.length - 1 - at }[key];
  const to = at + by;
  if (to >= 0 && to < tiles.length) {
    if (isRange) {
      if (!ranged) anchor = tiles[at];
      range(tiles[to]);
    } else {
      leave();
      focus(tiles[to]);
    }
  }
  updateAll();
}

const isTyped = (what) => TYPED.test(what ?? "");

/** Return the mark of a tile after a digit or a sign: appended, or in a number in place of its least certain character. */
function typeInto(what, key, entry) {
  if (digit === undefined) return (isTyped(what) ? what : "") + key;
  const at = entry.doubt?.at;
  return at === undefined || SIGNS.test(key) ? what ?? UNSET : entry.text.slice(0, at) + key + entry.text.slice(at + 1);
}

function press(key, isShift = false) {
  const one = current();
  if (key === "Enter") enqueue(confirm);
  else if (key === "z") enqueue(undo);
  else if (key === "n") enqueue(skip);
  else if (key === "?") help();
  else if (!one) return false;
  else if (/^(Arrow|Home$|End$)/.test(key)) step(key, isShift);
  else if (key === " ") (isShift ? range : toggle)(one);
  else if (/^[0-9]$/.test(key) || SIGNS.test(key)) answer((what, entry) => typeInto(what, key, entry));
  else if (key === "Backspace") answer((what) => (digit === undefined && isTyped(what) && what.length > 1 ? what.slice(0, -1) : what === undefined ? what : UNSET));
  else if (key === "Escape") set(tiles.filter((one) => one.new === UNSET), () => undefined);
  else if (key === "x") answer(() => "none");
  else if (key === "i") answer(() => "illegible");
  else if (key === "u") answer(() => null);
  else if (key === "o") location.assign(`/one?state=any&at=${idOf(one.entry)}`);
  else return false;
  return true;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
  const from = event.target;
  if (/^(INPUT|SELECT|TEXTAREA)$/.test(from.tagName)) return;
  const isOther = /^(BUTTON|A|SUMMARY)$/.test(from.tagName) && !from.closest("#grid");
  if (isOther && (event.key === "Enter" || event.key === " ")) return;
  if (press(event.key.length === 1 ? event.key.toLowerCase() : event.key, event.shiftKey)) event.preventDefault();
});
grid.addEventListener("click", (event) => {
  const one = tiles.find(({ tile }) => tile === event.target.closest(".tile"));
  if (!one) return;
  if (event.shiftKey) { range(one); return; }
  focus(one);
  toggle(one);
});
grid.addEventListener("focusin", (event) => {
  const one = tiles.find(({ tile }) => tile === event.target);
  if (one && one !== current()) { typing = []; focus(one, true); updateAll(); }
});
byId("bottom").addEventListener("click", (event) => {
  const key = event.target.closest("[data-key]")?.dataset.key;
  if (key) press(key);
});
for (const [id, job] of [["enter", confirm], ["undo", undo], ["skip", skip]]) {
  byId(id).addEventListener("click", () => enqueue(job));
}

enqueue(fill);
