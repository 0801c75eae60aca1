// One by one: the least sure first.

import { show, weakest } from "./frame.js";
import { get, picture } from "./net.js";
import { inTurn, save, takeBack } from "./saving.js";
import { announce, helpDialog, note, progress } from "./talk.js";
import { byId, el, held, offered, percent, saying } from "./words.js";

const PIECE = 24;
const AHEAD = 6;
const LONG = 9;

const work = byId("work");
const typed = byId("typed");
const isAudit = "audit" in work.dataset;
const how = isAudit ? "audit" : "one";
const help = helpDialog();

const entries = [];
const saved = []; // what can be undone, the last one at the end
let at = 0;
let next = "";
let isWhole = false;
let count = { open: 0, unsure: 0, resolved: 0 }; // as the server told, and what was saved since
const waiting = new Set(); // {before, after} of what is not saved yet
let changes = 0; // of `count`, or on the way there
let byYou = 0;
let loading = null;

const query = new URLSearchParams(location.search);
const start = query.get("at");

async function more() {
  if (next === null) return;
  const asked = new URLSearchParams(query);
  asked.set("after", next);
  asked.set("most", PIECE);
  const before = changes;
  const found = await get(`${isAudit ? "/api/audit" : "/api/list"}?${asked}`);
  next = found.next;
  const known = new Set(entries.map(({ batch, row }) => `${batch}/${row}`));
  entries.push(...found.entries.filter(({ batch, row }) => !known.has(`${batch}/${row}`)));
  // What was saved meanwhile may be in the server's count or not: then ours is the better one.
  if (before === changes && !waiting.size) ({ count, by_you: byYou } = found);
}

function ensure() {
  if (next !== null && at + PIECE / 2 > entries.length && !loading) {
    loading = more().catch(trouble).finally(() => { loading = null; });
  }
  return loading;
}

function trouble(problem) {
  note(problem.message, { kind: "warn" });
}

async function go(to, words = "") {
  if (to < 0) { announce("This is the first one."); return; }
  // At once: what is pressed while more is on its way must not meet the one before.
  at = Math.min(to, entries.length);
  isWhole = false;
  typed.value = "";
  if (at === entries.length && next !== null) {
    const mine = at;
    await ensure();
    if (at !== mine) return;
  }
  render(words);
  ensure();
  for (const one of entries.slice(at + 1, at + 1 + AHEAD)) {
    for (const view of one.near ? ["near", "whole"] : ["whole"]) picture(view, one).catch(() => {});
  }
}

function render(words = "") {
  tellProgress();
  const entry = entries[at];
  const isOver = entry === undefined;
  byId("empty").hidden = !isOver;
  byId("work").hidden = isOver;
  tellUndo();
  if (isOver) { over(words); return; }
  const reads = byId("reads");
  const doubt = weakest(entry);
  const isDigits = entry.text && entry.reason !== "not_a_digit";
  reads.replaceChildren(...(isDigits
    ? [...entry.text].map((digit, i) => el("span", { className: i === doubt ? "doubt" : "", textContent: digit }))
    : [entry.text ? "No digit" : "Nothing read"]));
  reads.className = isDigits ? (entry.text.length > LONG ? "reads long" : "reads") : "reads words";
  const orElse = entry.runner_up ? `; or else ${entry.runner_up}, ${percent(entry.runner_up_confidence)}` : "";
  const sure = isDigits ? `${percent(entry.confidence)} sure` : `If it is one: ${entry.text}, ${percent(entry.confidence)}`;
  byId("sure").textContent = entry.text && entry.confidence !== null ? `${sure}${orElse}` : "";
  const label = entry.label ? ` Its label says ${saying(entry.label)}.` : "";
  const state = entry.status === "accepted" ? "it was accepted" : entry.why;
  byId("why").textContent = `${state.charAt(0).toUpperCase()}${state.slice(1)}.${label}`;
  const said = byId("said");
  said.hidden = !entry.said;
  if (entry.said) said.textContent = `${entry.said.who}: ${saying(entry.said.new)} (${entry.said.at.slice(0, 16).replace("T", " ")} UTC)`;
  byId("file").textContent = entry.page > 1 ? `${entry.file}, page ${entry.page}` : entry.file;
  const zoom = byId("zoom");
  zoom.hidden = !entry.near;
  zoom.firstChild.textContent = isWhole ? "Only the digits " : "Whole page ";
  tellEnter();
  show(entry, isWhole);
  const read = isDigits ? `Reads ${entry.text}, ${percent(entry.confidence)} sure` : reads.textContent;
  announce(`${words} ${read}. ${state}`.trim());
  if (document.activeElement === document.body || document.activeElement?.closest("#work")) typed.focus({ preventScroll: true });
}

function over(words) {
  const empty = byId("empty");
  const isNone = entries.length === 0;
  empty.textContent = isNone ? "There is nothing here to look at. " : "That was the last one. ";
  if (isNone && !isAudit) empty.append("Which answers are shown is chosen above. ");
  empty.append(el("a", { href: "/", textContent: "To the overview" }));
  announce(`${words} ${empty.textContent}`);
}

/** The last thing saved can be undone on the page that has no entry, too. */
function tellUndo() {
  byId("undo").hidden = entries[at] !== undefined || saved.length === 0;
}

function tellEnter() {
  const entry = entries[at];
  const what = entry && (typed.value || offered(entry));
  const button = byId("enter");
  button.disabled = what === undefined;
  const shown = what !== undefined && what.length > 12 ? `${what.slice(0, 12)}…` : what;
  button.replaceChildren(
    what === undefined ? "Type what is there" : `${typed.value ? "Save" : held(entry) ? "Keep" : "Agree"}: ${saying(shown)}`, el("kbd", { textContent: "Enter" }));
}

function holding(entry) {
  const what = held(entry);
  return what === undefined ? "open" : what === null ? "unsure" : "resolved";
}

function moved(counted, { before, after }) {
  const now = { ...counted };
  now[before] -= 1;
  now[after] += 1;
  return now;
}

function tellProgress() {
  progress([...waiting].reduce(moved, count), byYou);
}

function judge(what) {
  const entry = entries[at];
  const move = { before: holding(entry), after: what === null ? "unsure" : "resolved" };
  const pending = { new: what };
  entry.pending = pending;
  const settle = () => { if (entry.pending === pending) delete entry.pending; };
  waiting.add(move);
  changes += 1;
  save(how, [{ entry, new: what }]).then(({ done, byYou: number }) => {
    byYou = number;
    if (done.length) saved.push(entry);
    settle();
    waiting.delete(move);
    count = moved(count, { before: move.before, after: holding(entry) });
    if (entries[at] === entry) render();
    else { tellProgress(); tellUndo(); }
  }).catch((problem) => {
    settle();
    waiting.delete(move);
    trouble(problem);
    go(entries.indexOf(entry), "This was not saved.");
  });
  go(at + 1, `Saved: ${saying(what)}.`);
}

async function undo() {
  await inTurn(async () => {}); // what is being saved can be undone, too
  const entry = saved.pop();
  if (!entry) { announce("There is nothing to undo."); return; }
  try {
    const before = holding(entry);
    changes += 1;
    const { undone, byYou: number } = await takeBack([entry]);
    count = moved(count, { before, after: holding(entry) });
    byYou = number;
    await go(entries.indexOf(entry), undone ? "Undone." : "");
  } catch (problem) {
    saved.push(entry);
    trouble(problem);
  }
}

function press(key) {
  const entry = entries[at];
  if (key === "z") { undo(); return true; }
  if (key === "?") { help(); return true; }
  if (key === "ArrowLeft" || key === "ArrowRight") {
    if (typed.value) return false;
    go(at + (key === "ArrowLeft" ? -1 : 1));
    return true;
  }
  if (!entry) return false;
  if (/^[0-9]$/.test(key)) typed.value += key;
  else if (key === "Backspace") typed.value = typed.value.slice(0, -1);
  else if (key === "Escape") typed.value = "";
  else if (key === "x") judge("none");
  else if (key === "u") judge(null);
  else if (key === "f" && entry.near) { isWhole = !isWhole; render(); }
  else if (key === "Enter") {
    const what = typed.value || offered(entry);
    if (what === undefined) announce("Type what is there, or press x.");
    else if (!typed.value && held(entry)) go(at + 1, `Kept: ${saying(what)}.`); // said once is enough, whoever said it
    else judge(what);
  } else return false;
  tellEnter();
  return true;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
  const from = event.target;
  const isField = from !== typed && /^(INPUT|SELECT|TEXTAREA)$/.test(from.tagName);
  if (isField || (event.key === "Enter" && /^(BUTTON|A|SUMMARY)$/.test(from.tagName))) return;
  // In the field itself digits and Backspace work as they do everywhere; a caret may stand in the middle.
  if (from === typed && (/^[0-9]$/.test(event.key) || event.key === "Backspace")) return;
  if (press(event.key.length === 1 ? event.key.toLowerCase() : event.key)) event.preventDefault();
});
typed.addEventListener("input", () => {
  typed.value = typed.value.replace(/[^0-9]/g, "");
  tellEnter();
});
work.addEventListener("click", (event) => {
  const key = event.target.closest("[data-key]")?.dataset.key;
  if (key) press(key);
});
byId("zoom").addEventListener("click", () => press("f"));
byId("undo").addEventListener("click", undo);

async function begin() {
  if (start && /^[^/]+\/[0-9]+$/.test(start)) entries.push(await get(`/api/entry/${start}`));
  await more();
  await go(0);
}

begin().catch(trouble);
