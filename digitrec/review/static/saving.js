// What a person says goes to the server one after another, while they look at the next picture.

import { Problem, picture, post } from "./net.js";
import { note, whoseCounts } from "./talk.js";
import { el, saying } from "./words.js";

let chain = Promise.resolve();
let waiting = 0;
const told = new Set();

window.addEventListener("beforeunload", (event) => { if (waiting) event.preventDefault(); });

/** Do one thing after all that were asked for before it. */
export function inTurn(job) {
  waiting += 1;
  const done = chain.then(job).finally(() => { waiting -= 1; });
  chain = done.catch(() => {});
  return done;
}

function tellFinished({ finished, late }) {
  for (const [batch, path] of Object.entries(finished)) {
    if (told.has(batch)) continue;
    told.add(batch);
    note(`The review of batch ${batch} is finished: ${path}`);
  }
  if (late) note(`Saved. The corrected table could not be written now: ${late}`, { kind: "warn" });
}

/**
 * Save judgements [{entry, new}]; the entries are brought up to date. Where somebody else was faster, ask.
 * Gives {done: entries that hold what was said, byYou}.
 */
export function save(how, said) {
  return inTurn(async () => {
    let left = said;
    const done = [];
    let byYou = 0;
    while (left.length) {
      const judgements = left.map(({ entry, new: what }) => ({ batch: entry.batch, row: entry.row, new: what, seen: entry.seen }));
      let answer;
      try {
        answer = await post("/api/judge", { how, judgements });
      } catch (problem) {
        if (!(problem instanceof Problem) || problem.status !== 409) throw problem;
        answer = problem.body;
      }
      byYou = answer.by_you;
      tellFinished(answer);
      const now = left;
      left = [];
      const clashes = new Map(answer.conflicts.map((one) => [`${one.batch}/${one.row}`, one]));
      const held = new Map(answer.done.map((one) => [`${one.batch}/${one.row}`, one]));
      for (const one of now) {
        const key = `${one.entry.batch}/${one.entry.row}`;
        const hold = held.get(key) ?? clashes.get(key);
        if (hold) Object.assign(one.entry, { seen: hold.seen, said: hold.said });
        if (held.has(key)) done.push(one.entry);
        else if (!clashes.has(key) || await keepsOurs(one)) left.push(one);
      }
    }
    return { done, byYou };
  });
}

/** Take back what the entries hold now. Gives {undone, byYou}; tells if somebody else has said more since. */
export function takeBack(entries) {
  return inTurn(async () => {
    let answer;
    try {
      answer = await post("/api/undo", { entries: entries.map(({ batch, row, seen }) => ({ batch, row, seen })) });
    } catch (problem) {
      if (!(problem instanceof Problem) || problem.status !== 409) throw problem;
      answer = problem.body;
      const [first] = answer.conflicts;
      const who = first.said ? `${first.said.who} has said “${saying(first.said.new)}”` : "somebody has taken it back";
      note(`Not undone: ${who} in the meantime.`, { kind: "warn" });
    }
    tellFinished(answer);
    const holds = new Map([...answer.done, ...answer.conflicts].map((one) => [`${one.batch}/${one.row}`, one]));
    for (const entry of entries) {
      const hold = holds.get(`${entry.batch}/${entry.row}`);
      if (hold) Object.assign(entry, { seen: hold.seen, said: hold.said });
    }
    return { undone: answer.done.length, byYou: answer.by_you };
  });
}

async function keepsOurs({ entry, new: what }) {
  const theirs = entry.said;
  if (!theirs) return true; // somebody only took their word back
  const isSame = theirs.new === (what ?? "");
  if (isSame) return false;
  let shown = null;
  try {
    const { src } = await picture(entry.near ? "near" : "whole", entry);
    shown = el("img", { src, alt: "" });
  } catch { /* the words will do */ }
  return whoseCounts({ file: entry.file, theirs: saying(theirs.new), who: theirs.who, ours: saying(what), picture: shown });
}
