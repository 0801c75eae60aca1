// By digit: a hundred that were read alike; the odd ones are marked and corrected, Enter confirms the rest.

import { get, picture } from "./net.js";
import { save, takeBack } from "./saving.js";
import { announce, helpDialog, note, progress } from "./talk.js";
import { byId, el, percent, saying } from "./words.js";

const SCREEN = 100;
const UNSET = "";

const grid = byId("grid");
const help = helpDialog();
const query = new URLSearchParams(location.search);

/** On the screen: {entry, tile, new: undefined while it is taken to be right, picture: "loading", "there" or "none"}. */
let shown = [];
const saved = []; // lists of entries, the last Enter at the end
let next = "";
let count = { open: 0, unsure: 0, settled: 0 };
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
  tile.append(place, el("small", {}, el("b", { textContent: entry.text || "–" }), el("span", { textContent: entry.confidence === null ? "" : percent(entry.confidence) })));
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

/** Taken to be right as it was read: it can be seen, and there is something to confirm. */
const isRight = (one) => !isMarked(one) && one.picture === "there" && one.entry.text !== "" && !one.entry.said;

function tell(one) {
  const { entry, tile } = one;
  tile.setAttribute("aria-pressed", String(isMarked(one)));
  tile.dataset.new = !isMarked(one) ? "" : one.new === UNSET ? "?" : one.new === null ? "unsure" : one.new === "none" ? "×" : one.new;
  const said = entry.said ? `, ${entry.said.who} said ${saying(entry.said.new)}` : "";
  const odd = !isMarked(one) ? "" : one.new === UNSET ? ", marked" : `, marked: ${saying(one.new)}`;
  const unseen = one.picture === "none" ? ", no picture" : "";
  tile.ariaLabel = `${entry.file}: read as ${entry.text || "nothing"}, ${percent(entry.confidence)} sure${said}${unseen}${odd}`;
  tile.title = `${entry.file}${said}`;
}

function tellAll() {
  progress(count, byYou);
  const isEmpty = shown.length === 0;
  byId("empty").hidden = !isEmpty;
  byId("bottom").hidden = isEmpty;
  byId("how").hidden = isEmpty;
  if (isEmpty) {
    byId("empty").replaceChildren("Nothing is left here. Choose another digit above, or go ", el("a", { href: "/", textContent: "to the overview" }), ".");
    return;
  }
  const loading = shown.filter((one) => one.picture === "loading").length;
  const right = shown.filter(isRight).length;
  const odd = shown.filter(isSaid).length;
  const button = byId("enter");
  const words = [right ? `confirm ${right}` : "", odd ? `correct ${odd}` : ""].filter(Boolean).join(", ");
  const label = loading ? `${loading} still loading` : words || "Nothing to save";
  button.replaceChildren(label.charAt(0).toUpperCase() + label.slice(1), el("kbd", { textContent: "Enter" }));
  button.disabled = isBusy || loading > 0 || !words;
  byId("skip").disabled = next === null;
  const one = current();
  byId("correct").hidden = !(one && isMarked(one));
  if (one && isMarked(one)) byId("marked").textContent = `${one.entry.text || "–"} is really`;
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

function set(one, what) {
  one.new = what;
  tell(one);
  tellAll();
  announce(what === undefined ? "Not marked." : what === UNSET ? "Marked: type what is right." : `Marked: ${saying(what)}.`);
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
  if (shown.some((one) => one.picture === "loading")) { announce("Pictures are still loading."); return; }
  const chosen = shown.filter((one) => isRight(one) || isSaid(one));
  if (!chosen.length) { announce("There is nothing to save: type what the marked ones are."); return; }
  const { done } = await save("grid", chosen.map((one) => ({ entry: one.entry, new: isSaid(one) ? one.new : one.entry.text })));
  if (done.length) saved.push(done);
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

async function undo() {
  const entries = saved.at(-1);
  if (!entries) { announce("There is nothing to undo."); return; }
  const { undone } = await takeBack(entries);
  saved.pop();
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
  shown.forEach(({ tile }) => tile.remove());
  shown = [];
  await fill();
  window.scrollTo({ top: 0 });
  focus(shown[0]);
  announce(`The next ${shown.length}.`);
}

function step(key) {
  const at = shown.indexOf(current());
  const tops = shown.map(({ tile }) => tile.offsetTop);
  const across = Math.max(1, tops.lastIndexOf(tops[0]) + 1);
  const by = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -across, ArrowDown: across, Home: -at, End: shown.length - 1 - at }[key];
  const to = at + by;
  if (to >= 0 && to < shown.length) focus(shown[to]);
  tellAll();
}

function press(key) {
  const one = current();
  if (key === "Enter") inTurn(confirm);
  else if (key === "z") inTurn(undo);
  else if (key === "n") inTurn(skip);
  else if (key === "?") help();
  else if (!one) return false;
  else if (/^(Arrow|Home$|End$)/.test(key)) step(key);
  else if (key === " ") set(one, isMarked(one) ? undefined : UNSET);
  else if (/^[0-9]$/.test(key)) set(one, (/^[0-9]+$/.test(one.new ?? "") ? one.new : "") + key);
  else if (key === "Backspace") set(one, /^[0-9]{2,}$/.test(one.new ?? "") ? one.new.slice(0, -1) : isMarked(one) ? UNSET : undefined);
  else if (key === "x") set(one, "none");
  else if (key === "u") set(one, null);
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
  if (press(event.key.length === 1 ? event.key.toLowerCase() : event.key)) event.preventDefault();
});
grid.addEventListener("click", (event) => {
  const one = shown.find(({ tile }) => tile === event.target.closest(".tile"));
  if (!one) return;
  focus(one);
  set(one, isMarked(one) ? undefined : UNSET);
});
grid.addEventListener("focusin", (event) => {
  const one = shown.find(({ tile }) => tile === event.target);
  if (one && one !== current()) { focus(one, true); tellAll(); }
});
byId("bottom").addEventListener("click", (event) => {
  const key = event.target.closest("[data-key]")?.dataset.key;
  if (key) press(key);
});
for (const [id, job] of [["enter", confirm], ["undo", undo], ["skip", skip]]) {
  byId(id).addEventListener("click", () => inTurn(job));
}

inTurn(fill);
