// The numbers of a page: which are to be reviewed, and all of them as a table, by line and column.

import { answerText, byId, el, judgedAnswer, markedText, percent } from "./text.js";

/** Return whether a page is reviewed number by number. */
export const hasNumbers = (entry) => entry.numbers.length > 1;

/** Return whether a number needs review and has no judgement yet. */
export const isOpen = (number) => number.status === "review" && judgedAnswer(number) === undefined;

/** Return whether a number is one to stop at: open, or marked as not sure before this visit. */
const isDue = (number) => isOpen(number) || (number.status === "review" && judgedAnswer(number) === null && !number.isJudged);

/** Return the index of the next number to review from `from` on, or of the one before it; null without one. */
export function nextDue(entry, from = 0, step = 1) {
  for (let i = from; i >= 0 && i < entry.numbers.length; i += step) if (isDue(entry.numbers[i])) return i;
  return null;
}

/** Return the index of the next number that needs review, judged or not; null without one. */
export function nextStop(entry, from, step) {
  for (let i = from; i >= 0 && i < entry.numbers.length; i += step) if (entry.numbers[i].status === "review") return i;
  return null;
}

export const countDue = (entry) => entry.numbers.filter(isDue).length;

/** Return the judgements [{number, new}] that confirm a page as it stands: the open numbers, or all without a judgement if none is open. */
export function confirmations(entry) {
  const open = entry.numbers.filter(isOpen);
  const chosen = open.length ? open : entry.numbers.filter((number) => judgedAnswer(number) === undefined);
  return chosen.map(({ number, text }) => ({ number, new: text }));
}

/** Return the text of a number as a cell of a spreadsheet shows it. */
function cellText(number) {
  const judged = judgedAnswer(number);
  if (judged === undefined || judged === null) return number.text;
  return judged === "none" || judged === "illegible" ? "" : judged;
}

/** Return the indexes of numbers by line and column, [[[0], [1]], [[], [2, 3]]]. */
function cellsOf({ numbers }) {
  const columns = Math.max(...numbers.map(({ column }) => column));
  const lines = Math.max(...numbers.map(({ line }) => line));
  const cells = Array.from({ length: lines }, () => Array.from({ length: columns }, () => []));
  numbers.forEach(({ line, column }, i) => cells[line - 1][column - 1].push(i));
  return cells;
}

/** Return the table of a page for a spreadsheet: lines of cells separated by tabs. */
export function tableText(entry) {
  return cellsOf(entry).map((cells) => cells.map((indexes) => indexes.map((i) => cellText(entry.numbers[i])).join(" ")).join("\t")).join("\n");
}

let built = null; // {entry, texts} that #sheet shows

function fill(text, number) {
  const judged = judgedAnswer(number);
  const isText = judged !== undefined && judged !== null && judged !== "none" && judged !== "illegible";
  text.replaceChildren(...(judged === undefined ? markedText(number.text, number.doubt?.at) : [isText ? judged : answerText(judged)]));
  text.classList.toggle("open", isOpen(number));
  text.classList.toggle("judged", judged !== undefined);
  text.title = `Line ${number.line}, column ${number.column}: ${judged === undefined ? `${number.status}, ${percent(number.confidence)}` : answerText(judged)}`;
}

/** Show the numbers of a page as a table in #sheet, the current one marked; hide it for a page with at most one. */
export function showTable(entry, current) {
  const sheet = byId("sheet");
  sheet.hidden = !hasNumbers(entry);
  if (sheet.hidden) return;
  if (built?.entry !== entry) {
    const texts = entry.numbers.map((_, i) => el("span", { className: "cell", "data-number": i }));
    const rows = cellsOf(entry).map((cells, line) => el("tr", {},
      el("th", { scope: "row", textContent: line + 1 }), ...cells.map((indexes) => el("td", {}, ...indexes.map((i) => texts[i])))));
    const head = cellsOf(entry)[0].map((_, column) => el("th", { scope: "col", textContent: column + 1 }));
    byId("table").replaceChildren(el("thead", {}, el("tr", {}, el("td"), ...head)), el("tbody", {}, ...rows));
    built = { entry, texts };
  }
  entry.numbers.forEach((number, i) => {
    fill(built.texts[i], number);
    built.texts[i].classList.toggle("current", i === current);
  });
  const box = byId("scroll");
  const cell = built.texts[current];
  if (!cell) return;
  const { top, bottom, left, right } = cell.getBoundingClientRect();
  const outer = box.getBoundingClientRect();
  if (top < outer.top + 32 || bottom > outer.bottom) box.scrollTop += top - outer.top - outer.height / 2;
  if (left < outer.left || right > outer.right) box.scrollLeft += left - outer.left - outer.width / 2;
}
