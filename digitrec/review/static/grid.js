// By digit: a hundred that were read alike; the odd ones are marked and corrected, Enter confirms the rest.
// A key applies to all marked tiles that have no answer yet; where there are none, to those of the key before, else to the current one.

import { get, picture } from "./net.js";
import { save, takeBack } from "./saving.js";
import { announce, helpDialog, note, progress } from "./talk.js";
import { byId, el, held, offered, percent, saying } from "./words.js";

const SCREEN = 100;
const UNSET = "";
const MOST_UNDONE = 10;

const grid = byId("grid");
const help = helpDialog();
const query = new URLSearchParams(location.search);

/** On the screen: {entry, tile, new: undefined while it is taken to be right, picture: "loading", "there" or "none"}. */
let shown = [];
let typing = []; // on the screen: what the last key changed, and the next one goes on with
let anchor = null; // where a range begins
let ranged = null; // what the range marked so far; null if none is being drawn
const STORE = `undo ${document.querySelector(".who").textContent}`;
const saved = JSON.parse(sessionStorage.getItem(STORE) ?? "[]"); // {query, entries} of each Enter in this tab, the last at the end
let next = "";
let count = { open: 0, unsure: 0, resolved: 0 };
let byYou = 0;
let isBusy = false;
let work = Promise.resolve(); // one thing after another: a second Enter, or an undo, waits for the first
let ahead = null; // the piece after this one, asked for while a person looks

const trouble = (problem) => note(problem.message, { kind: "warn" });

function ask(after) {
  const asked = new URLSearchParams(query);
  asked.set("after", after);
  asked.set("most", SCREEN);
  return get(`/api/list?${asked}`);
}

async function more(room) {
  if (next === null || room <= 0) return;
  const found = await (ahead ?? ask(next));
  ahead = null;
  next = found.next;
  ({ count, by_you: byYou } = found);
  const known = new Set(shown.map(({ entry }) => `${entry.batch}/${entry.row}`));
  for (const entry of found.entries) if (!known.has(`${entry.batch}/${entry.row}`)) add(entry);
}

function add(entry) {
  const tile = el("button", { type: "button", className: "tile", tabIndex: -1 });
  const one = { entry, tile, new: undefined, picture: "loading" };
  const place = el("span", { className: "none", textContent: "…" });
  tile.append(place, el("small", {}, el("b"), el("span")));
  picture("small", entry).then(({ src }) => {
    place.replaceWith(el("img", { src, alt: "" }));
    one.picture = "there";
  }, () => {
    place.textContent = "no picture";
    one.picture = "none";
  }).finally(() => { tell(one); tellAll(); });
  shown.push(one);
  grid.append(tile);
  tell(one);
}

const isMarked = (one) => one.new !== undefined;
const isSaid = (one) => isMarked(one) && one.new !== UNSET;

/** What Enter confirms of an entry that is not marked; undefined for nothing. */
const confirmed = (entry) => (entry.status === "rejected" ? undefined : offered(entry));

/** Taken to be right as it was read: it can be seen, nobody has said anything, and there is something to confirm. */
const isRight = (one) => !isMarked(one) && one.picture === "there" && !one.entry.said && confirmed(one.entry) !== undefined;

function tell(one) {
  const { entry, tile } = one;
  tile.setAttribute("aria-pressed", String(isMarked(one)));
  tile.dataset.new = !isMarked(one) ? "" : one.new === UNSET ? "?" : one.new === null ? "unsure" : one.new === "none" ? "×" : one.new;
  const isNoDigit = entry.reason === "not_a_digit";
  const [caption, sure] = tile.querySelectorAll("small > *");
  caption.textContent = saying(held(entry) ?? confirmed(entry) ?? "–");
  sure.textContent = held(entry) ? "said" : isNoDigit ? entry.text && `${entry.text}?` : entry.confidence === null ? "" : percent(entry.confidence);
  const said = entry.said ? `, ${entry.said.who} said ${saying(entry.said.new)}` : "";
  const odd = !isMarked(one) ? "" : one.new === UNSET ? ", marked" : `, marked: ${saying(one.new)}`;
  const unseen = one.picture === "none" ? ", no picture" : "";
  const read = isNoDigit ? `no digit, or else ${entry.text || "nothing"}` : `read as ${entry.text || "nothing"}`;
  tile.ariaLabel = `${entry.file}: ${read}, ${percent(entry.confidence)} sure${said}${unseen}${odd}`;
  tile.title = `${entry.file}${said}`;
}

function tellAll() {
  progress(count, byYou);
  const isEmpty = shown.length === 0;
  byId("empty").hidden = !isEmpty;
  byId("bottom").hidden = isEmpty && !saved.length; // what was done last can be undone, also if it was all
  for (const id of ["how", "enter", "skip"]) byId(id).hidden = isEmpty;
  byId("undo").disabled = isBusy || !saved.length;
  if (isEmpty) {
    byId("correct").hidden = true;
    byId("empty").replaceChildren("Nothing is left here. Choose another digit above, or go ", el("a", { href: "/", textContent: "to the overview" }), ".");
    return;
  }
  const loading = shown.filter((one) => one.picture === "loading").length;
  const right = shown.filter(isRight);
  const isNone = right.every((one) => confirmed(one.entry) === "none");
  const odd = shown.filter(isSaid).length;
  const button = byId("enter");
  const words = [right.length ? `confirm ${right.length}${isNone ? " as no digit" : ""}` : "", odd ? `correct ${odd}` : ""].filter(Boolean).join(", ");
  const label = loading ? `${loading} still loading` : words || "Nothing to save";
  button.replaceChildren(label.charAt(0).toUpperCase() + label.slice(1), el("kbd", { textContent: "Enter" }));
  button.disabled = isBusy || loading > 0 || !words;
  byId("skip").disabled = next === null;
  const ones = targets().filter(isMarked);
  byId("correct").hidden = !ones.length;
  byId("marked").textContent = ones.length > 1 ? `${ones.length} marked are really` : ones.length ? `${ones[0].entry.text || "This"} is really` : "";
  for (const one of shown) one.tile.classList.toggle("typing", typing.length > 1 && typing.includes(one));
}

/** What a key applies to. */
function targets() {
  const open = shown.filter((one) => one.new === UNSET);
  if (open.length) return open;
  const one = current();
  return typing.includes(one) ? typing : one ? [one] : [];
}

function current() {
  return shown.find(({ tile }) => tile.tabIndex === 0);
}

function focus(one, isQuiet = false) {
  if (!one) return;
  const before = current();
  if (before) before.tile.tabIndex = -1;
  one.tile.tabIndex = 0;
  if (!isQuiet) one.tile.focus();
}

/** Give some tiles a mark each; `change` makes the new one of the one before. */
function set(ones, change) {
  for (const one of ones) {
    one.new = change(one.new);
    tell(one);
  }
  tellAll();
  if (!ones.length) return;
  const what = ones[0].new;
  const words = what === undefined ? "Not marked." : what === UNSET ? "Marked: type what is right." : `Marked: ${saying(what)}.`;
  announce(ones.length > 1 ? `${ones.length} tiles. ${words}` : words);
}

/** What is right about all that a key applies to. */
function answer(change) {
  const ones = targets();
  set(ones, change);
  typing = ones;
  tellAll();
}

function toggle(one) {
  leave();
  anchor = one;
  set([one], (what) => (what === undefined ? UNSET : undefined));
}

/** Mark all between the anchor and a tile; what this range marked before, and no longer holds, is not marked any more. */
function range(to) {
  if (!shown.includes(anchor)) anchor = current() ?? to;
  const ends = [shown.indexOf(anchor), shown.indexOf(to)];
  const within = shown.slice(Math.min(...ends), Math.max(...ends) + 1);
  const before = ranged ?? [];
  const fresh = within.filter((one) => !isMarked(one));
  for (const one of before) if (!within.includes(one) && one.new === UNSET) set([one], () => undefined);
  typing = [];
  ranged = [...before.filter((one) => within.includes(one)), ...fresh];
  focus(to);
  set(fresh, () => UNSET);
}

/** The next key begins anew. */
function leave() {
  typing = [];
  ranged = null;
}

async function fill() {
  await more(SCREEN - shown.length);
  if (!current() && shown.length) focus(shown[0], document.activeElement !== document.body);
  tellAll();
  if (next !== null && !ahead) {
    ahead = ask(next);
    ahead.then(({ entries }) => entries.forEach((entry) => picture("small", entry).catch(() => {})), () => { ahead = null; });
  }
}

/** Do it when what was asked for before is done. */
function inTurn(job) {
  work = work.then(async () => {
    isBusy = true;
    tellAll();
    try {
      await job();
    } catch (problem) {
      trouble(problem);
    } finally {
      isBusy = false;
      tellAll();
    }
  });
}

async function confirm() {
  leave();
  if (shown.some((one) => one.picture === "loading")) { announce("Pictures are still loading."); return; }
  const chosen = shown.filter((one) => isRight(one) || isSaid(one));
  if (!chosen.length) { announce("There is nothing to save: type what the marked ones are."); return; }
  const { done } = await save("grid", chosen.map((one) => ({ entry: one.entry, new: isSaid(one) ? one.new : confirmed(one.entry) })));
  if (done.length) saved.push({ query: location.search, entries: done });
  remember();
  const gone = new Set(chosen);
  chosen.forEach(({ tile }) => tile.remove());
  shown = shown.filter((one) => !gone.has(one));
  const left = shown.length;
  await fill();
  await refresh();
  announce(`${done.length} saved. ${left ? `${left} left here.` : ""}`);
  focus(current() ?? shown[0]);
  if (!left) window.scrollTo({ top: 0 });
}

/** How far it is now: the piece that was asked for ahead was counted before. */
async function refresh() {
  const asked = new URLSearchParams(query);
  asked.set("most", 1);
  ({ count, by_you: byYou } = await get(`/api/list?${asked}`));
}

/** Another digit is another page: what was done before it can be undone there, too. */
function remember() {
  sessionStorage.setItem(STORE, JSON.stringify(saved.slice(-MOST_UNDONE)));
}

async function undo() {
  const last = saved.pop();
  if (!last) { announce("There is nothing to undo."); return; }
  const { entries, query: where } = last;
  let undone;
  try {
    ({ undone } = await takeBack(entries));
  } catch (problem) {
    if (problem.status !== 400) saved.push(last); // 400: these answers are none of this server's
    throw problem;
  } finally {
    remember();
  }
  if (where !== location.search) { location.assign(`/grid${where}`); return; }
  leave();
  if (undone) {
    const rest = shown;
    rest.forEach(({ tile }) => tile.remove());
    shown = [];
    entries.forEach(add);
    rest.forEach((one) => { shown.push(one); grid.append(one.tile); });
    focus(shown[0]);
    note(`${undone} undone.`, { seconds: 4 });
  }
  await refresh();
}

async function skip() {
  if (next === null) { announce("There are no more."); return; }
  leave();
  shown.forEach(({ tile }) => tile.remove());
  shown = [];
  await fill();
  window.scrollTo({ top: 0 });
  focus(shown[0]);
  announce(`The next ${shown.length}.`);
}

function step(key, isRange) {
  const at = shown.indexOf(current());
  const tops = shown.map(({ tile }) => tile.offsetTop);
  const across = Math.max(1, tops.lastIndexOf(tops[0]) + 1);
  const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across, Home: -at, End: shown.length - 1 - at }[key];
  const to = at + by;
  if (to >= 0 && to < shown.length) {
    if (isRange) {
      if (!ranged) anchor = shown[at];
      range(shown[to]);
    } else {
      leave();
      focus(shown[to]);
    }
  }
  tellAll();
}

const isDigits = (what) => /^[0-9]+$/.test(what ?? "");

function press(key, isShift = false) {
  const one = current();
  if (key === "Enter") inTurn(confirm);
  else if (key === "z") inTurn(undo);
  else if (key === "n") inTurn(skip);
  else if (key === "?") help();
  else if (!one) return false;
  else if (/^(Arrow|Home$|End$)/.test(key)) step(key, isShift);
  else if (key === " ") (isShift ? range : toggle)(one);
  else if (/^[0-9]$/.test(key)) answer((what) => (isDigits(what) ? what : "") + key);
  else if (key === "Backspace") answer((what) => (isDigits(what) && what.length > 1 ? what.slice(0, -1) : what === undefined ? what : UNSET));
  else if (key === "Escape") set(shown.filter((each) => each.new === UNSET), () => undefined);
  else if (key === "x") answer(() => "none");
  else if (key === "u") answer(() => null);
  else if (key === "o") location.assign(`/one?state=any&at=${one.entry.batch}/${one.entry.row}`);
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
  const one = shown.find(({ tile }) => tile === event.target.closest(".tile"));
  if (!one) return;
  if (event.shiftKey) { range(one); return; }
  focus(one);
  toggle(one);
});
grid.addEventListener("focusin", (event) => {
  const one = shown.find(({ tile }) => tile === event.target);
  if (one && one !== current()) { typing = []; focus(one, true); tellAll(); }
});
byId("bottom").addEventListener("click", (event) => {
  const key = event.target.closest("[data-key]")?.dataset.key;
  if (key) press(key);
});
for (const [id, job] of [["enter", confirm], ["undo", undo], ["skip", skip]]) {
  byId(id).addEventListener("click", () => inTurn(job));
}

inTurn(fill);
