// Requests to the server; every failure becomes a message that says what to do.

export class Problem extends Error {
  constructor(message, status = 0, body = null) {
    super(message);
    this.status = status;
    this.body = body;
  }
}

async function answer(response) {
  if (response.ok) return response.json();
  let body = null;
  try { body = await response.json(); } catch { /* an HTML page: the status is enough */ }
  if (response.status === 403) throw new Problem("Your session has ended: use a new link.", 403);
  if (response.status === 413) throw new Problem("The file is too large.", 413);
  const message = body?.problem ? `${body.problem}. ${body.hint ?? ""}` : `The server answered ${response.status}.`;
  throw new Problem(message.trim(), response.status, body);
}

async function ask(address, options) {
  try {
    return await fetch(address, { credentials: "same-origin", ...options });
  } catch {
    throw new Problem("The server does not respond. Start `digitrec serve` or `digitrec review` again; everything that was saved is kept.");
  }
}

export const get = async (address) => answer(await ask(address));

export async function post(address, body) {
  const headers = { "Content-Type": "application/json" };
  return answer(await ask(address, { method: "POST", headers, body: JSON.stringify(body) }));
}

export const send = async (address, file) => answer(await ask(address, { method: "POST", body: file }));

/** Post a file and return the picture that the server makes of it, as a URL. */
export async function sendForPicture(address, file) {
  const response = await ask(address, { method: "POST", body: file });
  return response.ok ? URL.createObjectURL(await response.blob()) : answer(response);
}

/** Pictures by address: URL for <img>, and whether it is the original; above the limit the oldest is released. */
const pictures = new Map();
const MAX_PICTURES = 400;

/** Load a view of a page, or of one of its numbers. */
export function picture(view, { batch, row }, number = 0) {
  const address = `/picture/${view}/${batch}/${row}${number ? `/${number}` : ""}`;
  if (!pictures.has(address)) {
    pictures.set(address, load(address));
    if (pictures.size > MAX_PICTURES) {
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
