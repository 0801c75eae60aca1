// Home: ask for the state of the workspace every two seconds, and put dropped files into the inbox.

import { get, picture } from "./api.js";
import { announce, note } from "./notices.js";
import { byId, el, percent } from "./text.js";
import { watchDrops } from "./upload.js";

const INTERVAL_MS = 2000;
const SILENT_MS = 10000;
const STATUS_WORDS = { accepted: "accepted", review: "needs review", rejected: "rejected" };
let version = "";
let failedSince = 0;

const plural = (count, one, many = `${one}s`) => `${count.toLocaleString()} ${count === 1 ? one : many}`;

function age(since) {
  const seconds = Math.max(0, Date.now() / 1000 - since);
  for (const [unit, length] of [["day", 86400], ["hour", 3600], ["minute", 60]]) {
    if (seconds >= length) return plural(Math.round(seconds / length), unit);
  }
  return "less than a minute";
}

function showHealth({ kind, text, fix }) {
  byId("health").dataset.kind = kind;
  const words = `${text}.`.split("`");  // commands are between backticks
  if (byId("health-text").textContent !== words.join("")) {
    byId("health-text").replaceChildren(...words.map((part, i) => (i % 2 ? el("code", { textContent: part }) : part)));
  }
  byId("health-fix").hidden = !fix;
  byId("health-fix").querySelector("code").textContent = fix;
}

function showInbox({ waiting, reading }) {
  const files = reading.reduce((sum, batch) => sum + batch.files, 0);
  byId("waiting-count").textContent = waiting.count.toLocaleString();
  byId("waiting-words").textContent = waiting.count === 1 ? "file waits in the inbox" : "files wait in the inbox";
  byId("reading-count").textContent = files.toLocaleString();
  byId("reading").replaceChildren(...reading.map((batch) => {
    const names = batch.names.join(", ") + (batch.files > batch.names.length ? " …" : "");
    const state = batch.is_running ? `Worker ${batch.worker} reads` : `Left by worker ${batch.worker}, finished by its next start:`;
    return el("li", {}, el("span", { textContent: `${state} ${plural(batch.files, "file")}` }), el("span", { className: "soft small name", textContent: names }));
  }));
  const more = waiting.count - waiting.files.length;
  byId("waiting").replaceChildren(
    ...waiting.files.map((file) => el("li", {},
      el("span", { className: "name", textContent: file.file }),
      el("span", { className: "soft small", textContent: `waits for ${age(file.since)}${file.why ? `; ${file.why}` : ""}` }))),
    ...(more > 0 ? [el("li", { className: "soft small", textContent: `and ${plural(more, "more file")}` })] : []),
  );
}

function showReview({ open, unsure }) {
  const left = open + unsure;
  byId("review-count").textContent = left.toLocaleString();
  byId("review-words").textContent = left === 1 ? "answer needs review" : "answers need review";
  byId("review-link").hidden = !left;
}

function finalText({ text, said }) {
  return said?.new || text || "–";
}

function answerTile(answer) {
  const image = el("span", { className: "answer-picture" });
  picture("small", answer).then(({ src }) => image.replaceChildren(el("img", { src, alt: "" })), () => {
    image.replaceChildren(el("span", { className: "soft small", textContent: "no picture" }));
  });
  const hasShare = answer.confidence !== null && !answer.said && !answer.text.includes(" ");  // of a whole table it says nothing
  const share = hasShare ? ` ${percent(answer.confidence)}` : "";
  const state = answer.said ? answer.said.verdict : STATUS_WORDS[answer.status];
  return el("li", {}, el("a", { className: "card", href: `/answer/${answer.batch}/${answer.row}`, title: answer.file },
    image,
    el("b", { className: "name", textContent: shorten(finalText(answer)) }),
    el("span", { className: `small status ${answer.said ? "said" : answer.status}`, textContent: `${state}${share}` }),
    el("span", { className: "soft small answer-file", textContent: answer.file })));
}

const shorten = (text) => (text.length > 24 ? plural(text.split(" ").length, "number") : text);

function showAnswers(answers) {
  byId("no-answers").hidden = answers.length > 0;
  byId("answers").replaceChildren(...answers.map(answerTile));
}

function bar({ accepted, review, rejected }) {
  const parts = [["accepted", accepted], ["review", review], ["rejected", rejected]].filter(([, count]) => count);
  const total = parts.reduce((sum, [, count]) => sum + count, 0);
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 100 4");
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("class", "share");
  svg.setAttribute("aria-hidden", "true");
  let x = 0;
  for (const [kind, count] of parts) {
    const rect = document.createElementNS("http://www.w3.org/2000/svg", "rect");
    const width = (100 * count) / total;
    for (const [name, value] of [["class", kind], ["x", x], ["y", 0], ["width", width], ["height", 4]]) rect.setAttribute(name, value);
    svg.append(rect);
    x += width;
  }
  return svg;
}

const sumOf = (batches, name) => batches.reduce((sum, batch) => sum + batch[name], 0);
const reviewed = ({ reviewed: done, to_review: all }) => (all ? `${done.toLocaleString()} of ${all.toLocaleString()} reviewed` : "");

function counts(batch) {
  const parts = [[batch.accepted, "accepted"], [batch.review, batch.review === 1 ? "needs review" : "need review"], [batch.rejected, "rejected"]];
  return parts.filter(([count]) => count).map(([count, words]) => `${count.toLocaleString()} ${words}`).join(", ") || "no files";
}

function batchLine(batch) {
  const time = new Date(batch.at * 1000);
  const links = [
    [batch.has_report, `/reports/${batch.id}/index.html`, "Report"],
    [batch.has_table, `/outbox/${batch.id}.csv`, "CSV"],
    [batch.has_corrected, `/outbox/corrected/${batch.id}.csv`, "Corrected CSV"],
    [true, `/find?batch=${batch.id}`, "Originals"],
    [batch.to_review > 0, `/one?status=review&state=${batch.reviewed < batch.to_review ? "open" : "any"}&batch=${batch.id}`, "Review"],
  ];
  const clock = time.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" });
  return el("li", {},
    el("span", { className: "batch-time", title: `${time.toISOString()}, batch ${batch.id}`, textContent: batch.worker === "main" ? clock : `${clock} ${batch.worker}` }),
    bar(batch),
    el("span", { className: "batch-counts" }, el("span", { textContent: counts(batch) }), el("span", { className: "soft small", textContent: reviewed(batch) })),
    el("span", { className: "links small" }, ...links.filter(([isShown]) => isShown).map(([, href, textContent]) =>
      el("a", { href, textContent, ariaLabel: `${textContent} of the batch of ${clock}` }))));
}

function dayCard({ day, batches }) {
  const [year, month, date] = day.split("-").map(Number);
  const title = new Date(year, month - 1, date).toLocaleDateString([], { weekday: "long", year: "numeric", month: "long", day: "numeric" });
  const total = { accepted: sumOf(batches, "accepted"), review: sumOf(batches, "review"), rejected: sumOf(batches, "rejected"), reviewed: sumOf(batches, "reviewed"), to_review: sumOf(batches, "to_review") };
  const files = total.accepted + total.review + total.rejected;
  const words = [plural(files, "file"), counts(total), reviewed(total)].filter(Boolean).join(" · ");
  const sum = batches.length > 1 ? [el("p", { className: "soft small", textContent: words })] : [];
  return el("section", { className: "day" }, el("h3", { textContent: title }), ...sum,
    el("ul", { className: "card day-batches" }, ...batches.map(batchLine)));
}

function show(state) {
  showHealth(state.health);
  showInbox(state);
  showReview(state.review);
  showAnswers(state.answers);
  byId("days").replaceChildren(...state.days.map(dayCard));
  byId("no-batches").hidden = state.days.length > 0;
  byId("latest").hidden = !state.has_latest;
  byId("no-latest").hidden = state.has_latest;
  byId("trend").hidden = !state.has_trend;
}

async function ask() {
  try {
    const state = await get(`/api/home?seen=${version}`);
    failedSince = 0;
    if (state.version !== version) {
      version = state.version;
      show(state);
    }
  } catch (problem) {
    failedSince ||= Date.now();
    if (Date.now() - failedSince < SILENT_MS && version) return;
    version = "";
    showHealth({ kind: "bad", text: problem.message.replace(/\.$/, ""), fix: "" });
  }
}

// A page that nobody sees asks nothing.
async function poll() {
  if (!document.hidden) await ask();
  setTimeout(poll, INTERVAL_MS);
}
document.addEventListener("visibilitychange", () => { if (!document.hidden) ask(); });

watchDrops({
  done: (count) => { announce(`${plural(count, "file")} in the inbox.`); ask(); },
  problem: (text) => note(text, { kind: "warn" }),
});
poll();
