// Asking the server. Every failure becomes words that say what to do.

export class Problem extends Error {
  constructor(words, status = 0, body = null) {
    super(words);
    this.status = status;
    this.body = body;
  }
}

async function answer(response) {
  if (response.ok) return response.json();
  let body = null;
  try { body = await response.json(); } catch { /* a page, not our JSON: the status says enough */ }
  if (response.status === 403) throw new Problem("You are not let in any more: use a new link.", 403);
  if (response.status === 413) throw new Problem("This is larger than is taken here.", 413);
  const words = body?.problem ? `${body.problem}. ${body.hint ?? ""}` : `The server answered ${response.status}.`;
  throw new Problem(words.trim(), response.status, body);
}

async function ask(address, options) {
  try {
    return await fetch(address, { credentials: "same-origin", ...options });
  } catch {
    throw new Problem("The server is not there any more. Start `digitrec review` again; what was saved is kept.");
  }
}

export const get = async (address) => answer(await ask(address));

export async function post(address, body) {
  const headers = { "Content-Type": "application/json" };
  return answer(await ask(address, { method: "POST", headers, body: JSON.stringify(body) }));
}

export const send = async (address, file) => answer(await ask(address, { method: "POST", body: file }));

/** A picture as an address for <img>, and whether it is the original; kept for as long as the page is open. */
const pictures = new Map();
const MOST = 400;

export function picture(view, { batch, row }) {
  const address = `/picture/${view}/${batch}/${row}`;
  if (!pictures.has(address)) {
    pictures.set(address, load(address));
    if (pictures.size > MOST) {
      const [oldest, old] = pictures.entries().next().value;
      pictures.delete(oldest);
      old.then(({ src }) => URL.revokeObjectURL(src), () => {});
    }
  }
  return pictures.get(address);
}

async function load(address) {
  const response = await ask(address);
  if (!response.ok) return answer(response);
  return { src: URL.createObjectURL(await response.blob()), isOriginal: response.headers.get("X-Original") === "1" };
}
