// Requests to the server; a failure becomes one line that says what to do.

const PATIENCE_MS = 30_000;

export class Problem extends Error {
  /** @param {number} status the answer's HTTP status, 0 where there was no answer */
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

/** Post `body` as JSON to `path`, beside this page; resolves to the JSON of the answer, rejects with a Problem. */
export async function post(path, body, key) {
  const headers = { "Content-Type": "application/json" };
  if (key !== undefined) {
    if (!/^[\x21-\x7e]+$/.test(key)) throw new Problem("A key has no blanks and no accents.", 401);
    headers.Authorization = `Bearer ${key}`;
  }
  const signal = AbortSignal.timeout(PATIENCE_MS);
  let response;
  try {
    response = await fetch(path, { method: "POST", headers, body: JSON.stringify(body), signal });
    if (response.ok) return await response.json();
  } catch (error) {
    const late = error.name === "TimeoutError";
    throw new Problem(late ? "No answer in 30 seconds. Try again." : "The server does not answer. Is it still running?");
  }
  throw new Problem(await explain(response), response.status);
}

async function explain(response) {
  const wait = response.headers.get("Retry-After");
  if (response.status === 503 && wait) return `The server is busy. Try again in ${wait} s.`;
  const said = await response.json().catch(() => ({}));
  const why = said.error?.message ? `: ${said.error.message}` : "";
  return `The server ${response.status < 500 ? "refused this" : "failed"} (${response.status})${why}`;
}
