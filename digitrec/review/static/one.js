// One by one: lowest confidence first; a page with several numbers, number by number.

import { drawNumber, show } from "./page_view.js";
import { get, picture } from "./api.js";
import { addDecision, removeDecision } from "./decisions.js";
import { confirmations, countDue, hasNumbers, nextDue, nextStop, showTable, tableText } from "./numbers.js";
import { enqueue, finishedBatches, save, saveNumbers, undoJudgements } from "./save_queue.js";
import { announce, helpDialog, note, progress, undoNotice } from "./notices.js";
import { answerText, byId, el, judgedAnswer, markedText, percent, saidAnswer, suggestedAnswer } from "./text.js";

const PAGE_SIZE = 24;
const AHEAD = 6;
const LONG = 9;
const SHOWN = 12; // characters of an answer in a button
const TYPED = /^[-0-9+.,/:]$/; // characters of a number
const NUMBER = /^[-+.,/:]*[0-9][-+.,/:0-9]*$/;

const work = byId("work");
const typed = byId("typed");
const isAudit = "audit" in work.dataset;
const how = isAudit ? "audit" : "one";
const help = helpDialog();

const entries = [];
const saved = []; // {entry, index, change} that can be undone, the last one at the end
let at = 0;
let current = null; // index of the number of a page with several; null: the whole page
let back = null; // {at, current} to return to after a decision of the list was changed
let next = "";
let total = 0; // of the list, when it was opened
let isWhole = false;
let count = { open: 0, unsure: 0, resolved: 0 }; // of the server, updated by later saves
const waiting = new Set(); // {before, after} of judgements that are being saved
let changes = 0; // of `count`, finished or in progress
let byYou = 0;
let loading = null;

const query = new URLSearchParams(location.search);
const start = query.get("at")?.split("/") ?? [];

/** Return the number of answers of this list. */
function listTotal({ open, unsure, resolved }) {
  const counts = { open, unsure, settled: resolved, any: open + unsure + resolved };
  return counts[query.get("state") || "open"] ?? open;
}

async function more() {
  if (next === null) return;
  const params = new URLSearchParams(query);
  params.set("after", next);
  params.set("most", PAGE_SIZE);
  const before = changes;
  const isQuiet = waiting.size === 0; // else the server may answer before it saves, and the count lack that judgement
  const page = await get(`${isAudit ? "/api/audit" : "/api/list"}?${params}`);
  next = page.next;
  const loaded = new Set(entries.map(({ batch, row }) => `${batch}/${row}`));
  entries.push(...page.entries.filter(({ batch, row }) => !loaded.has(`${batch}/${row}`)));
  total ||= listTotal(page.count);
  // If a judgement was saved meanwhile, the count of the server may lack it: keep the own count.
  if (isQuiet && before === changes && !waiting.size) ({ count, by_you: byYou } = page);
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

const firstDue = (entry) => (entry && hasNumbers(entry) ? nextDue(entry) : null);

/** Return what is judged now: a number of the page, or the page. */
const unit = () => (current === null ? entries[at] : entries[at].numbers[current]);

async function go(to, words = "", index = undefined) {
  if (to < 0) { announce("This is the first answer."); return; }
  // Move at once: a key pressed while more entries load must not judge the entry before.
  at = Math.min(to, entries.length);
  current = index === undefined ? firstDue(entries[at]) : index;
  isWhole = false;
  typed.value = "";
  if (at === entries.length && next !== null) {
    const target = at;
    await ensure();
    if (at !== target) return;
    current = firstDue(entries[at]);
  }
  render(words);
  ensure();
  for (const entry of entries.slice(at + 1, at + 1 + AHEAD)) {
    const views = [...(entry.near ? ["near", "whole"] : ["whole"]), ...(hasNumbers(entry) ? ["full"] : [])];
    for (const view of views) picture(view, entry).catch(() => {});
  }
}

/** Show another number of the page; null for the whole page. */
function goToNumber(index, words = "") {
  current = index;
  typed.value = "";
  render(words);
}

function render(words = "") {
  updateProgress();
  const entry = entries[at];
  const isOver = entry === undefined;
  byId("empty").hidden = !isOver;
  byId("work").hidden = isOver;
  updateUndo();
  if (isOver) { showEnd(words); return; }
  const item = unit();
  const isDigits = Boolean(item.text) && item.reason !== "not_a_digit";
  const isPage = hasNumbers(entry) && current === null;
  showReads(entry, item, isDigits, isPage);
  const runnerUp = item.runner_up ? `; runner-up ${item.runner_up}, ${percent(item.runner_up_confidence)}` : "";
  const sure = isDigits ? `Confidence ${percent(item.confidence)}` : `Best guess: ${item.text}, ${percent(item.confidence)}`;
  byId("sure").textContent = item.text && item.confidence !== null && !isPage ? `${sure}${runnerUp}` : "";
  const label = entry.label && current === null ? ` Label: ${answerText(entry.label)}.` : "";
  const state = item.status === "accepted" ? "accepted" : item.why;
  byId("why").textContent = `${state.charAt(0).toUpperCase()}${state.slice(1)}.${label}`;
  const said = byId("said");
  said.hidden = !item.said;
  if (item.said) said.textContent = `${item.said.who}: ${answerText(saidAnswer(item.said))} (${item.said.at.slice(0, 16).replace("T", " ")} UTC)`;
  byId("file").textContent = entry.page > 1 ? `${entry.file}, page ${entry.page}` : entry.file;
  byId("original").href = `/answer/${entry.batch}/${entry.row}`;
  byId("explain").hidden = !entry.width; // nothing was decoded
  byId("explain").href = `/explain/${entry.batch}/${entry.row}`;
  byId("report").href = `/reports/${entry.batch}/index.html`;
  const zoom = byId("zoom");
  zoom.hidden = !entry.near;
  zoom.firstChild.textContent = isWhole ? "Digits only " : "Whole page ";
  work.classList.toggle("several", hasNumbers(entry));
  work.classList.toggle("signed", item.text.length > 1);
  byId("what").textContent = isPage ? "Text of the page" : hasNumbers(entry) ? "Correct number" : "Correct text";
  byId("page").hidden = !hasNumbers(entry) || isPage;
  showTable(entry, current);
  updateEnter();
  show(entry, isWhole, current);
  const read = isPage ? byId("reads").textContent : isDigits ? `Reads ${item.text}, confidence ${percent(item.confidence)}` : byId("reads").textContent;
  announce(`${words} ${byId("place").textContent} ${read}. ${state}`.trim());
  const from = document.activeElement;
  if (from === document.body || (from?.closest("#work") && !from.closest("#scroll"))) typed.focus({ preventScroll: true });
}

/** Show what was read of a page or a number, its least certain character marked, and which number it is. */
function showReads(entry, item, isDigits, isPage) {
  const reads = byId("reads");
  const due = hasNumbers(entry) ? countDue(entry) : 0;
  const doubt = (current === null ? entry.numbers[0]?.doubt : item.doubt)?.at;
  if (isPage) reads.replaceChildren(`${entry.numbers.length} numbers${due ? `, ${due} to review` : ""}`);
  else reads.replaceChildren(...(isDigits ? markedText(item.text, doubt) : [item.text ? "No digit" : "Nothing read"]));
  reads.className = isDigits && !isPage ? (item.text.length > LONG ? "reads long" : "reads") : "reads words";
  const place = byId("place");
  place.hidden = current === null;
  const crop = byId("crop");
  crop.hidden = current === null;
  if (current === null) { place.textContent = ""; return; }
  place.textContent = `Number ${item.number} of ${entry.numbers.length}, line ${item.line}, column ${item.column} · ${due ? `${due} to review` : "none left to review"}`;
  drawNumber(entry, item).then((drawing) => {
    if (unit() !== item) return;
    crop.replaceChildren(...(drawing ? [drawing] : []));
    crop.hidden = !drawing;
  }, () => { crop.hidden = true; });
}

/** Return links to the tables of a reviewed batch. */
function downloads(batch) {
  const csv = el("a", { href: `/outbox/corrected/${batch}.csv`, textContent: "corrected CSV" });
  return [csv, ", ", el("a", { href: `/export/tables.xlsx?batch=${batch}`, textContent: "pages as tables (Excel)" })];
}

function showEnd(words) {
  const empty = byId("empty");
  const isNone = entries.length === 0;
  empty.textContent = isNone ? "There are no answers to review here. " : "That was the last answer. ";
  if (isNone && !isAudit) empty.append("Change the filter above to see others. ");
  empty.append(el("a", { href: "/review", textContent: "To the overview" }));
  for (const batch of finishedBatches) empty.append(el("p", { textContent: `Batch ${batch} is finished: ` }, ...downloads(batch)));
  announce(`${words} ${empty.textContent}`);
}

/** Show the undo button on the page without an entry, if something can be undone. */
function updateUndo() {
  byId("undo").hidden = entries[at] !== undefined || saved.length === 0;
}

const short = (text) => (text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text);

function updateEnter() {
  const entry = entries[at];
  const item = entry && unit();
  const what = item && (typed.value || suggestedAnswer(item));
  const button = byId("enter");
  const key = el("kbd", { textContent: "Enter" });
  button.disabled = what === undefined;
  if (entry && hasNumbers(entry) && current === null && !typed.value) {
    const left = judgedAnswer(entry) ? 0 : confirmations(entry).length;
    button.replaceChildren(left ? `Confirm ${left === 1 ? "1 number" : `${left} numbers`}` : "Keep", key);
    button.disabled = false;
  } else if (what === undefined) button.replaceChildren("Type the number", key);
  else button.replaceChildren(`${typed.value ? "Save" : judgedAnswer(item) ? "Keep" : "Confirm"}: ${answerText(short(what))}`, key);
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
  const all = Math.max(total, entries.length);
  byId("position").textContent = entries[at] ? `${at + 1} of ${all}` : "";
}

/** Move on after a decision: to where the list of decisions was opened, the next number to review, or the next page. */
function advance(words) {
  const entry = entries[at];
  if (back) {
    const to = back;
    back = null;
    go(to.at, words, to.current);
    return;
  }
  const number = current === null || !hasNumbers(entry) ? null : nextDue(entry, current + 1) ?? nextDue(entry);
  if (number === null) go(at + 1, words);
  else goToNumber(number, words);
}

/** Save the answer for the number or the page that is shown. */
function judge(what) {
  const entry = entries[at];
  if (current === null) {
    const move = { before: stateOf(entry), after: what === null ? "unsure" : "resolved" };
    entry.pending = { new: what };
    keep(entry, null, move, save(how, [{ entry, new: what }]), what);
    return;
  }
  const item = entry.numbers[current];
  const before = stateOf(entry);
  item.pending = { new: what };
  item.isJudged = true;
  const judged = entry.numbers.filter(({ status }) => status === "review").map(judgedAnswer);
  const after = judged.includes(undefined) ? before : judged.includes(null) ? "unsure" : "resolved";
  keep(entry, current, { before, after }, saveNumbers(how, entry, [{ number: item.number, new: what }]), what);
}

/** Confirm the numbers of a page as they stand. */
function confirmPage() {
  const entry = entries[at];
  const judgements = judgedAnswer(entry) ? [] : confirmations(entry);
  if (!judgements.length) { advance("Kept."); return; }
  keep(entry, null, { before: stateOf(entry), after: "resolved" }, saveNumbers(how, entry, judgements), `${judgements.length} numbers`);
}

/** Load a page with several numbers again, for the judgements on each of them; those being saved stay. */
async function reload(entry) {
  if (!hasNumbers(entry)) return;
  await enqueue(async () => {
    const fresh = await get(`/api/entry/${entry.batch}/${entry.row}`);
    fresh.numbers.forEach((number, i) => Object.assign(entry.numbers[i], number));
    Object.assign(entry, { seen: fresh.seen, said: fresh.said });
  });
}

const me = () => document.querySelector(".who")?.textContent ?? "you";

/** Move on while a judgement is being saved; come back if that fails. */
function keep(entry, index, move, saving, what) {
  const item = index === null ? entry : entry.numbers[index];
  const { pending } = item;
  const words = answerText(what);
  const settle = () => { if (item.pending === pending) delete item.pending; };
  waiting.add(move);
  changes += 1;
  saving.then(async ({ done, byYou: number }) => {
    byYou = number;
    if (done.length) saved.push({ entry, index, change: entry.seen });
    if (index === null) await reload(entry);
    else item.said = { who: me(), at: new Date().toISOString(), verdict: what === "illegible" ? what : what === null ? "unsure" : "corrected", new: what ?? "" };
    settle();
    waiting.delete(move);
    count = moveCount(count, { before: move.before, after: stateOf(entry) });
    if (entries[at] === entry || !entries[at]) render(); // the end links the tables of a finished batch
    else updateProgress();
  }).catch((problem) => {
    settle();
    waiting.delete(move);
    trouble(problem);
    removeDecision(decisionKey(entry, index));
    reload(entry).catch(() => {}).then(() => go(entries.indexOf(entry), "This was not saved.", index));
  });
  showDecision(entry, index, words);
  undoNotice(`Saved: ${short(words)}`, undo);
  advance(`Saved: ${words}.`);
}

const decisionKey = (entry, index) => `${entry.batch}/${entry.row}/${index ?? ""}`;

function showDecision(entry, index, words) {
  const drawPage = async () => el("img", { src: (await picture(entry.near ? "near" : "whole", entry)).src, alt: "" });
  addDecision({
    key: decisionKey(entry, index),
    words: short(words),
    file: entry.file,
    draw: index === null ? drawPage : () => drawNumber(entry, entry.numbers[index]),
    open: () => {
      back = back ?? { at, current };
      go(entries.indexOf(entry), "", index);
      typed.focus();
    },
  });
}

async function undo() {
  await enqueue(async () => {}); // wait until pending judgements are saved, so that they can be undone
  const last = saved.pop();
  if (!last) { announce("There is nothing to undo."); return; }
  const { entry, index, change } = last;
  try {
    const before = stateOf(entry);
    changes += 1;
    entry.change = change;
    const { undone, byYou: number } = await undoJudgements([entry]);
    count = moveCount(count, { before, after: stateOf(entry) });
    byYou = number;
    await reload(entry);
    back = null;
    if (undone) {
      removeDecision(decisionKey(entry, index));
      undoNotice("Undone", null);
    }
    await go(entries.indexOf(entry), undone ? "Undone." : "", index);
  } catch (problem) {
    saved.push(last);
    trouble(problem);
  }
}

async function copyTable() {
  try {
    await navigator.clipboard.writeText(tableText(entries[at]));
    note("The table is in the clipboard: paste it into a spreadsheet.", { seconds: 5 });
  } catch {
    note("The browser did not allow copying: select the table, then copy it.", { kind: "warn" });
  }
}

/** Move without saving: through the numbers of a page that need review, then to the page before or after. */
function step(by) {
  const entry = entries[at];
  const number = entry && current !== null ? nextStop(entry, current + by, by) : null;
  if (number === null) go(at + by);
  else goToNumber(number);
}

/** Put the text into the field, the least certain character selected. */
function edit() {
  const item = unit();
  const doubt = (current === null ? item.numbers[0]?.doubt : item.doubt)?.at ?? -1;
  typed.value = item.reason === "not_a_digit" ? "" : judgedAnswer(item) ?? item.text;
  typed.focus();
  if (doubt >= 0 && judgedAnswer(item) === undefined) typed.setSelectionRange(doubt, doubt + 1);
}

function enter() {
  const entry = entries[at];
  const item = unit();
  const text = typed.value.trim().replace(/ +/g, " ");
  if (!text && hasNumbers(entry) && current === null) { confirmPage(); return; }
  const what = text || suggestedAnswer(item);
  if (what === undefined) announce("Type the number, or press x.");
  else if (text && !text.split(" ").every((part) => NUMBER.test(part))) note(`“${text}” is no number: it needs a digit.`, { kind: "warn", seconds: 8 });
  else if (text.includes(" ") && current !== null) note("This is one number of the page. Press p to type the text of the whole page.", { kind: "warn", seconds: 8 });
  else if (!text && judgedAnswer(item)) advance(`Kept: ${answerText(what)}.`); // it is saved already
  else judge(what);
}

function press(key) {
  const entry = entries[at];
  if (key === "z") { undo(); return true; }
  if (key === "?") { help(); return true; }
  if (/^Arrow/.test(key) && typed.value) return false;
  if (key === "ArrowLeft" || key === "ArrowRight") {
    step(key === "ArrowLeft" ? -1 : 1);
    return true;
  }
  if (!entry) return false;
  if (key === "ArrowUp" || key === "ArrowDown") {
    const number = (current ?? -1) + (key === "ArrowUp" ? -1 : 1);
    if (!hasNumbers(entry) || number < 0 || number >= entry.numbers.length) return false;
    goToNumber(number);
  } else if (TYPED.test(key)) typed.value += key;
  else if (key === "Backspace") typed.value = typed.value.slice(0, -1);
  else if (key === "Escape") typed.value = "";
  else if (key === "x") judge("none");
  else if (key === "u") judge(null);
  else if (key === "i") judge("illegible");
  else if (key === "e" && unit().text) edit();
  else if (key === "f" && entry.near) { isWhole = !isWhole; render(); }
  else if (key === "p" && hasNumbers(entry)) goToNumber(current === null ? firstDue(entry) : null);
  else if (key === "c" && hasNumbers(entry)) copyTable();
  else if (key === "Enter") enter();
  else return false;
  updateEnter();
  return true;
}

/** Tab: save what is typed, or go to the next number to review; past the last one it moves the focus as usual. */
function tab(isBack) {
  const entry = entries[at];
  if (!entry || current === null) return false;
  if (typed.value && !isBack) { enter(); return true; }
  const number = nextDue(entry, current + (isBack ? -1 : 1), isBack ? -1 : 1);
  if (number === null) return false;
  goToNumber(number);
  return true;
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || document.querySelector("dialog[open]")) return;
  const from = event.target;
  if (event.key === "Tab") {
    if ((from === typed || from === document.body) && tab(event.shiftKey)) event.preventDefault();
    return;
  }
  const isField = from !== typed && /^(INPUT|SELECT|TEXTAREA)$/.test(from.tagName);
  if (isField || (event.key === "Enter" && /^(BUTTON|A|SUMMARY)$/.test(from.tagName))) return;
  // In the text field these keys keep their normal effect at the caret.
  if (from === typed && (TYPED.test(event.key) || event.key === " " || event.key === "Backspace")) return;
  if (from.id === "scroll" && /^Arrow/.test(event.key)) return;
  if (press(event.key.length === 1 ? event.key.toLowerCase() : event.key)) event.preventDefault();
});
typed.addEventListener("input", () => {
  const caret = typed.selectionStart;
  const value = typed.value.replace(/[^-0-9+.,/: ]/g, "");
  if (value !== typed.value) {
    typed.value = value;
    typed.setSelectionRange(caret - 1, caret - 1);
  }
  updateEnter();
});
work.addEventListener("click", (event) => {
  const key = event.target.closest("[data-key]")?.dataset.key;
  if (key) press(key);
  const number = event.target.closest("[data-number]")?.dataset.number;
  if (number !== undefined) {
    goToNumber(Number(number));
    typed.focus({ preventScroll: true });
  }
});
byId("zoom").addEventListener("click", () => press("f"));
byId("corner").addEventListener("click", () => press("f"));
byId("undo").addEventListener("click", undo);

async function begin() {
  const [batch, row, number] = start;
  if (/^[0-9]+$/.test(row ?? "")) entries.push(await get(`/api/entry/${batch}/${row}`));
  await more();
  const index = Number(number) - 1;
  await go(0, "", entries[0]?.numbers[index] && hasNumbers(entries[0]) ? index : undefined);
}

begin().catch(trouble);
