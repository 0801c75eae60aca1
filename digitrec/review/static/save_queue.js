// Queue of requests that save or undo judgements, one at a time, while the reviewer continues.

import { Problem, picture, post } from "./api.js";
import { note, resolveConflict } from "./notices.js";
import { answerText, el, saidAnswer } from "./text.js";

const FINISHED_S = 8;

let queue = Promise.resolve();
let waiting = 0;

/** Ids of the batches whose review was finished during this visit. */
export const finishedBatches = new Set();

window.addEventListener("beforeunload", (event) => { if (waiting) event.preventDefault(); });

/** Run a job after all jobs queued before it. */
export function enqueue(job) {
  waiting += 1;
  const result = queue.then(job).finally(() => { waiting -= 1; });
  queue = result.catch(() => {});
  return result;
}

function reportTables({ finished, late }) {
  for (const [batch, path] of Object.entries(finished)) {
    if (finishedBatches.has(batch)) continue;
    finishedBatches.add(batch);
    note(`The review of batch ${batch} is finished: ${path}`, { seconds: FINISHED_S });
  }
  if (late) note(`Saved. The corrected table could not be written: ${late}`, { kind: "warn" });
}

/** Post and return the response; the body of a 409 is a response, too. */
async function postJudgements(address, body) {
  try {
    return await post(address, body);
  } catch (problem) {
    if (!(problem instanceof Problem) || problem.status !== 409) throw problem;
    return problem.body;
  }
}

const keyOf = ({ batch, row }) => `${batch}/${row}`;
const byRow = (rows) => new Map(rows.map((row) => [keyOf(row), row]));

/**
 * Save judgements [{entry, new}] and update their entries; ask where another reviewer was faster.
 * An entry with a `number` is that number of a page; those of one page follow each other, and are not saved over another reviewer.
 * Return {done: entries that hold the saved answer, byYou}.
 */
export function save(how, judgements) {
  return enqueue(async () => {
    let open = judgements;
    const done = [];
    let byYou = 0;
    while (open.length) {
      const items = open.map(({ entry, new: answer }) => ({ batch: entry.batch, row: entry.row, new: answer, seen: entry.seen, ...(entry.number && { number: entry.number }) }));
      const response = await postJudgements("/api/judge", { how, judgements: items });
      byYou = response.by_you;
      reportTables(response);
      const sent = open;
      open = [];
      const conflicts = byRow(response.conflicts);
      const saved = byRow(response.done);
      for (const item of sent) {
        const key = keyOf(item.entry);
        const row = saved.get(key) ?? conflicts.get(key);
        if (row) Object.assign(item.entry, { seen: row.seen, said: row.said });
        if (saved.has(key)) done.push(item.entry);
        else if (item.entry.number && conflicts.has(key)) note(`Not saved: another reviewer has judged ${item.entry.file} meanwhile. Open it to decide.`, { kind: "warn" });
        else if (!conflicts.has(key) || await keepsOwn(item)) open.push(item);
      }
    }
    return { done, byYou };
  });
}

const MAX_ITEMS = 400; // of the 500 that one request may hold

/**
 * Save judgements [{number, new}] on numbers of a page; throw a Problem if another reviewer judged the page meanwhile.
 * Return {done: [entry], byYou}.
 */
export function saveNumbers(how, entry, judgements) {
  return enqueue(async () => {
    let byYou = 0;
    for (let at = 0; at < judgements.length; at += MAX_ITEMS) {
      const items = judgements.slice(at, at + MAX_ITEMS).map((item) => ({ ...item, batch: entry.batch, row: entry.row, seen: entry.seen }));
      const response = await postJudgements("/api/judge", { how, judgements: items });
      byYou = response.by_you;
      const [row] = [...response.conflicts, ...response.done];
      Object.assign(entry, { seen: row.seen, said: row.said });
      if (response.conflicts.length) throw new Problem(`${row.said?.who ?? "Another reviewer"} has judged this page meanwhile: look at it again.`);
      reportTables(response);
    }
    return { done: [entry], byYou };
  });
}

/** Undo the latest judgements of entries, or the `change` that an entry names. Return {undone, byYou}; show a note if another reviewer judged meanwhile. */
export function undoJudgements(entries) {
  return enqueue(async () => {
    const response = await postJudgements("/api/undo", { entries: entries.map(({ batch, row, seen, change }) => ({ batch, row, seen, ...(change && { change }) })) });
    const [first] = response.conflicts;
    if (first) {
      const change = first.said ? `${first.said.who} has changed the answer to “${answerText(saidAnswer(first.said))}”` : "another reviewer has undone it";
      note(`Not undone: ${change} meanwhile.`, { kind: "warn" });
    }
    reportTables(response);
    const rows = byRow([...response.done, ...response.conflicts]);
    for (const entry of entries) {
      const row = rows.get(keyOf(entry));
      if (row) Object.assign(entry, { seen: row.seen, said: row.said });
    }
    return { undone: response.done.length, byYou: response.by_you };
  });
}

async function keepsOwn({ entry, new: answer }) {
  const theirs = entry.said;
  if (!theirs) return true; // the other judgement was undone
  const theirAnswer = saidAnswer(theirs);
  if (theirAnswer === answer) return false;
  let image = null;
  try {
    const { src } = await picture(entry.near ? "near" : "whole", entry);
    image = el("img", { src, alt: "" });
  } catch { /* the dialog works without a picture */ }
  return resolveConflict({ file: entry.file, theirs: answerText(theirAnswer), who: theirs.who, ours: answerText(answer), picture: image });
}
