// One by one: lowest confidence first.

import { show, leastConfident } from "./page_view.js";
import { get, picture } from "./api.js";
import { firstInput, hasNumbers, isOpen, numberJudgements, showNumbers } from "./numbers.js";
import { enqueue, save, saveNumbers, undoJudgements } from "./save_queue.js";
import { announce, helpDialog, note, progress } from "./notices.js";
import { byId, el, judgedAnswer, saidAnswer, suggestedAnswer, percent, answerText } from "./text.js";

const PAGE_SIZE = 24;
const AHEAD = 6;
const LONG = 9;
const TYPED = /^[-0-9+.,/:]$/; // characters of a number

const work = byId("work");
const typed = byId("typed");
const isAudit = "audit" in work.dataset;
const how = isAudit ? "audit" : "one";
const help = helpDialog();

const entries = [];
const saved = []; // entries that can be undone, the last one at the end
let at = 0;
let next = "";
let isWhole = false;
let count = { open: 0, unsure: 0, resolved: 0 }; // of the server, updated by later saves
const waiting = new Set(); // {before, after} of judgements that are being saved
let changes = 0; // of `count`, finished or in progress
let byYou = 0;
let loading = null;

const query = new URLSearchParams(location.search);
const start = query.get("at");

async function more() {
  if (next === null) return;
  const params = new URLSearchParams(query);
  params.set("after", next);
  params.set("most", PAGE_SIZE);
  const before = changes;
  const page = await get(`${isAudit ? "/api/audit" : "/api/list"}?${params}`);
  next = page.next;
  const loaded = new Set(entries.map(({ batch, row }) => `${batch}/${row}`));
  entries.push(...page.entries.filter(({ batch, row }) => !loaded.has(`${batch}/${row}`)));
  // If a judgement was saved meanwhile, the count of the server may lack it: keep the own count.
  if (before === changes && !waiting.size) ({ count, by_you: byYou } = page);
}

function ensure() {
  if (next !== null && at + PAGE_SIZE / 2 > entries.length && !loading) {
    loading = more().catch(trouble).finally(() => { loading = null; });
  }
  return loading;
}

function trouble(problem) {
  note(problem.message, { kind: "warn" });
}

async function go(to, words = "") {
  if (to < 0) { announce("This is the first answer."); return; }
  // Move at once: a key pressed while more entries load must not judge the entry before.
  at = Math.min(to, entries.length);
  isWhole = false;
  typed.value = "";
  if (at === entries.length && next !== null) {
    const target = at;
    await ensure();
    if (at !== target) return;
  }
  render(words);
  ensure();
  for (const entry of entries.slice(at + 1, at + 1 + AHEAD)) {
    for (const view of entry.near ? ["near", "whole"] : ["whole"]) picture(view, entry).catch(() => {});
  }
}

function render(words = "") {
  updateProgress();
  const entry = entries[at];
  const isOver = entry === undefined;
  byId("empty").hidden = !isOver;
  byId("work").hidden = isOver;
  updateUndo();
  if (isOver) { showEnd(words); return; }
  const reads = byId("reads");
  const doubt = leastConfident(entry);
  const isDigits = entry.text && entry.reason !== "not_a_digit";
  reads.replaceChildren(...(isDigits
    ? [...entry.text].map((digit, i) => el("span", { className: i === doubt ? "doubt" : "", textContent: digit }))
    : [entry.text ? "No digit" : "Nothing read"]));
  if (hasNumbers(entry)) {
    const open = entry.numbers.filter(isOpen).length;
    reads.replaceChildren(`${entry.numbers.length} numbers${open ? `, ${open} to review` : ""}`);
  }
  reads.className = isDigits && !hasNumbers(entry) ? (entry.text.length > LONG ? "reads long" : "reads") : "reads words";
  const runnerUp = entry.runner_up ? `; runner-up ${entry.runner_up}, ${percent(entry.runner_up_confidence)}` : "";
  const sure = isDigits ? `Confidence ${percent(entry.confidence)}` : `Best guess: ${entry.text}, ${percent(entry.confidence)}`;
  byId("sure").textContent = entry.text && entry.confidence !== null && !hasNumbers(entry) ? `${sure}${runnerUp}` : "";
  const label = entry.label ? ` Label: ${answerText(entry.label)}.` : "";
  const state = entry.status === "accepted" ? "accepted" : entry.why;
  byId("why").textContent = `${state.charAt(0).toUpperCase()}${state.slice(1)}.${label}`;
  const said = byId("said");
  said.hidden = !entry.said;
  if (entry.said) said.textContent = `${entry.said.who}: ${answerText(saidAnswer(entry.said))} (${entry.said.at.slice(0, 16).replace("T", " ")} UTC)`;
  byId("file").textContent = entry.page > 1 ? `${entry.file}, page ${entry.page}` : entry.file;
  byId("original").href = `/answer/${entry.batch}/${entry.row}`;
  byId("report").href = `/reports/${entry.batch}/index.html`;
  const zoom = byId("zoom");
  zoom.hidden = !entry.near;
  zoom.firstChild.textContent = isWhole ? "Digits only " : "Whole page ";
  showNumbers(entry);
  updateEnter();
  show(entry, isWhole);
  const read = isDigits && !hasNumbers(entry) ? `Reads ${entry.text}, confidence ${percent(entry.confidence)}` : reads.textContent;
  announce(`${words} ${read}. ${state}`.trim());
  const from = document.activeElement;
  const isNumber = hasNumbers(entry) && from?.closest("#numbers");
  if (!isNumber && (from === document.body || from?.closest("#work"))) (firstInput(entry) ?? typed).focus({ preventScroll: true });
}

function showEnd(words) {
  const empty = byId("empty");
  const isNone = entries.length === 0;
  empty.textContent = isNone ? "There are no answers to review here. " : "That was the last answer. ";
  if (isNone && !isAudit) empty.append("Change the filter above to see others. ");
  empty.append(el("a", { href: "/review", textContent: "To the overview" }));
  announce(`${words} ${empty.textContent}`);
}

/** Show the undo button on the page without an entry, if something can be undone. */
function updateUndo() {
  byId("undo").hidden = entries[at] !== undefined || saved.length === 0;
}

function updateEnter() {
  const entry = entries[at];
  const what = entry && (typed.value || suggestedAnswer(entry));
  const button = byId("enter");
  button.disabled = what === undefined;
  if (entry && hasNumbers(entry) && !typed.value) {
    button.replaceChildren("Save the numbers", el("kbd", { textContent: "Enter" }));
    button.disabled = false;
    return;
  }
  const shown = what !== undefined && what.length > 12 ? `${what.slice(0, 12)}…` : what;
  button.replaceChildren(
    what === undefined ? "Type the number" : `${typed.value ? "Save" : judgedAnswer(entry) ? "Keep" : "Confirm"}: ${answerText(shown)}`, el("kbd", { textContent: "Enter" }));
}

function stateOf(entry) {
  const what = judgedAnswer(entry);
  return what === undefined ? "open" : what === null ? "unsure" : "resolved";
}

function moveCount(counted, { before, after }) {
  const now = { ...counted };
  now[before] -= 1;
  now[after] += 1;
  return now;
}

function updateProgress() {
  progress([...waiting].reduce(moveCount, count), byYou);
}

function judge(what) {
  const entry = entries[at];
  const move = { before: stateOf(entry), after: what === null ? "unsure" : "resolved" };
  entry.pending = { new: what };
  keep(entry, move, save(how, [{ entry, new: what }]), answerText(what));
}

/** Save the numbers of the form: what was changed, and what is confirmed as it stands. */
function judgeNumbers() {
  const entry = entries[at];
  let judgements;
  try {
    judgements = numberJudgements(entry);
  } catch (problem) {
    note(problem.message, { kind: "warn" });
    return;
  }
  if (!judgements.length) { go(at + 1, "Kept."); return; }
  const move = { before: stateOf(entry), after: judgements.some((item) => item.new === null) ? "unsure" : "resolved" };
  keep(entry, move, saveNumbers(how, entry, judgements), `${judgements.length} numbers`);
}

/** Load an entry with several numbers again, for the judgements on each of them. */
async function reload(entry) {
  if (hasNumbers(entry)) Object.assign(entry, await get(`/api/entry/${entry.batch}/${entry.row}`));
}

/** Move to the next entry while a judgement is being saved; come back if that fails. */
function keep(entry, move, saving, words) {
  const { pending } = entry;
  const settle = () => { if (entry.pending === pending) delete entry.pending; };
  waiting.add(move);
  changes += 1;
  saving.then(async ({ done, byYou: number }) => {
    byYou = number;
    await reload(entry);
    if (done.length) saved.push(entry);
    settle();
    waiting.delete(move);
    count = moveCount(count, { before: move.before, after: stateOf(entry) });
    if (entries[at] === entry) render();
    else { updateProgress(); updateUndo(); }
  }).catch((problem) => {
    settle();
    waiting.delete(move);
    trouble(problem);
    reload(entry).catch(() => {}).then(() => go(entries.indexOf(entry), "This was not saved."));
  });
  go(at + 1, `Saved: ${words}.`);
}

async function undo() {
  await enqueue(async () => {}); // wait until pending judgements are saved, so that they can be undone
  const entry = saved.pop();
  if (!entry) { announce("There is nothing to undo."); return; }
  try {
    const before = stateOf(entry);
    changes += 1;
    const { undone, byYou: number } = await undoJudgements([entry]);
    count = moveCount(count, { before, after: stateOf(entry) });
    byYou = number;
    await reload(entry);
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
  if (TYPED.test(key)) typed.value += key;
  else if (key === "Backspace") typed.value = typed.value.slice(0, -1);
  else if (key === "Escape") typed.value = "";
  else if (key === "x") judge("none");
  else if (key === "u") judge(null);
  else if (key === "i") judge("illegible");
  else if (key === "f" && entry.near) { isWhole = !isWhole; render(); }
  else if (key === "Enter" && hasNumbers(entry) && !typed.value) judgeNumbers();
  else if (key === "Enter") {
    const what = typed.value.trim().replace(/ +/g, " ") || suggestedAnswer(entry);
    if (what === undefined) announce("Type the number, or press x.");
    else if (!typed.value && judgedAnswer(entry)) go(at + 1, `Kept: ${answerText(what)}.`); // it is saved already
    else judge(what);
  } else return false;
  updateEnter();
  return true;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
  const from = event.target;
  const isField = from !== typed && /^(INPUT|SELECT|TEXTAREA)$/.test(from.tagName);
  if (isField || (event.key === "Enter" && /^(BUTTON|A|SUMMARY)$/.test(from.tagName))) return;
  // In the text field these keys keep their normal effect at the caret.
  if (from === typed && (TYPED.test(event.key) || event.key === " " || event.key === "Backspace")) return;
  if (press(event.key.length === 1 ? event.key.toLowerCase() : event.key)) event.preventDefault();
});
typed.addEventListener("input", () => {
  typed.value = typed.value.replace(/[^-0-9+.,/: ]/g, "");
  updateEnter();
});
work.addEventListener("click", (event) => {
  const key = event.target.closest("[data-key]")?.dataset.key;
  if (key) press(key);
});
byId("numbers").addEventListener("submit", (event) => {
  event.preventDefault();
  judgeNumbers();
});
byId("zoom").addEventListener("click", () => press("f"));
byId("undo").addEventListener("click", undo);

async function begin() {
  if (start && /^[^/]+\/[0-9]+$/.test(start)) entries.push(await get(`/api/entry/${start}`));
  await more();
  await go(0);
}

begin().catch(trouble);
