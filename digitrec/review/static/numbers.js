// Form with the numbers of a page: one line each, corrected by typing.

import { answerText, byId, el, judgedAnswer, percent, saidAnswer } from "./text.js";

const NUMBER = /^[-+.,/:]*[0-9][-+.,/:0-9]*$/;
const KEYS = { "": "none", x: "none", u: null, i: "illegible" };

/** Return whether a page is reviewed number by number. */
export const hasNumbers = (entry) => entry.numbers.length > 1;

/** Return whether a number needs review and has no judgement yet. */
export const isOpen = (number) => number.status === "review" && !number.said;

/** Return the text of a number as the form shows it: the judged one, else the recognised one. */
function shownText(number) {
  const judged = judgedAnswer(number);
  if (judged === undefined) return number.text;
  return judged === null ? "u" : judged === "none" ? "" : judged === "illegible" ? "i" : judged;
}

/** Fill #numbers with a line for each number, unless it shows them already; hide it for a page with at most one. */
export function showNumbers(entry) {
  const form = byId("numbers");
  form.hidden = !hasNumbers(entry);
  const shown = `${entry.batch}/${entry.row}/${entry.seen}`;
  if (form.dataset.shown === shown) return;
  form.dataset.shown = shown;
  const lines = form.hidden ? [] : entry.numbers.map((number) => {
    const name = `Number ${number.number}: line ${number.line}, column ${number.column}`;
    const input = el("input", { value: shownText(number), autocomplete: "off", spellcheck: false, maxLength: 1000, ariaLabel: name });
    const state = number.said ? `${number.said.who}: ${answerText(saidAnswer(number.said))}` : number.status;
    return el("tr", { className: isOpen(number) ? "open" : "" },
      el("td", { textContent: number.line }), el("td", { textContent: number.column }), el("td", {}, input),
      el("td", { textContent: percent(number.confidence) }), el("td", { textContent: state }));
  });
  form.querySelector("tbody").replaceChildren(...lines);
}

/** Return the field of the first number that needs review, else of the first number; null for a page with at most one. */
export function firstInput(entry) {
  if (!hasNumbers(entry)) return null;
  return byId("numbers").querySelector("tr.open input") ?? byId("numbers").querySelector("input");
}

/**
 * Return the judgements of the form, [{number, new}]: what was changed, and what is confirmed as it stands, namely the
 * open numbers, or all without a judgement if none is open. Throw an Error with a message if a text is no number.
 */
export function numberJudgements(entry) {
  const inputs = [...byId("numbers").querySelectorAll("input")];
  const isAnyOpen = entry.numbers.some(isOpen);
  return entry.numbers.flatMap((number, at) => {
    const text = inputs[at].value.trim();
    const isChanged = text !== shownText(number);
    if (!isChanged && (isAnyOpen ? !isOpen(number) : number.said)) return [];
    const key = text.toLowerCase();
    if (key in KEYS) return [{ number: number.number, new: KEYS[key] }];
    if (NUMBER.test(text)) return [{ number: number.number, new: text }];
    inputs[at].focus();
    throw new Error(`“${text}” is no number. Type digits and + - . , / :, or x: no number, u: not sure, i: illegible.`);
  });
}
