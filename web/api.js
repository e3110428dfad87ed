// Talks to the server's JSON API and says whether it can be reached. Answers and failures go to
// the callbacks of `poll`; nothing here knows what is drawn. Addresses are found from where this
// file was served, so the page also works below a path prefix of a proxy.

const ROOT = new URL("..", import.meta.url);
// Firefox keeps the user and password of http://user:password@host/ here: it would then refuse to
// fetch, and the page would offer addresses for copying with the password in them.
ROOT.username = ROOT.password = "";
const INTERVAL_MS = 1000;
const TIMEOUT_MS = 5000;
// An answer that is so late is worth a look at what is on the page meanwhile.
const LATE_MS = 1500;
const LOOK_MS = 250;
// A gap this long between two polls means that the computer slept: open streams are worth nothing.
const SLEPT_MS = 20000;

/** The full address of a path as the API gives it (`/cameras/front`), or of one without the slash. */
export function address(path) {
  return new URL(path.replace(/^\/+/, ""), ROOT).href;
}

class Missing extends Error {}

async function fetchJson(path, signal) {
  const response = await fetch(address(path), { cache: "no-store", signal });
  if (response.status === 404) {
    const body = await response.json().catch(() => ({}));
    throw new Missing(body.error ?? "not found");
  }
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  return response.json();
}

/**
 * Asks for `path` each second while the page is visible.
 *
 * `onAnswer(data, isFresh)`: `isFresh` when streams opened before are not to be trusted, because the
 * server was away, was restarted, or this computer slept. `onFailure(hasTimedOut)`: no answer.
 * `onWait(sinceMs)`: the answer is late, the last one came so long ago.
 * `onMissing(message)`: the server is there and knows no such thing.
 */
export function poll(path, { onAnswer, onFailure, onMissing, onWait }) {
  let startedAt = null;
  let isReachable = true;
  let failures = 0;
  let lastAt = Date.now();
  let timer = 0;
  let abort = null;

  async function ask() {
    const mine = new AbortController();
    abort = mine;
    let hasTimedOut = false;
    const limit = setTimeout(() => {
      hasTimedOut = true;
      mine.abort();
    }, TIMEOUT_MS);
    try {
      const data = await fetchJson(path, mine.signal);
      if (abort === mine) answered(data);
    } catch (error) {
      if (abort === mine) failed(error, hasTimedOut);
    } finally {
      clearTimeout(limit);
    }
    if (abort === mine) timer = setTimeout(ask, failures === 1 ? INTERVAL_MS / 4 : INTERVAL_MS);
  }

  function answered(data) {
    const now = Date.now();
    const isRestarted = startedAt !== null && startedAt !== data.server.started_at;
    const isFresh = !isReachable || isRestarted || now - lastAt > SLEPT_MS;
    startedAt = data.server.started_at;
    isReachable = true;
    failures = 0;
    lastAt = now;
    onAnswer(data, isFresh);
  }

  function failed(error, hasTimedOut) {
    if (error instanceof Missing) {
      isReachable = true;
      failures = 0;
      onMissing?.(error.message);
      return;
    }
    failures += 1;
    // One refused connection may be chance; a time-out has waited long enough.
    if (failures < 2 && !hasTimedOut) return;
    isReachable = false;
    onFailure(hasTimedOut);
  }

  function pauseOrResume() {
    clearTimeout(timer);
    abort?.abort();
    abort = null;
    lastAt = Date.now();
    if (!document.hidden) ask();
  }

  setInterval(() => {
    const sinceMs = Date.now() - lastAt;
    if (abort && isReachable && startedAt !== null && sinceMs > LATE_MS) onWait?.(sinceMs);
  }, LOOK_MS);
  document.addEventListener("visibilitychange", pauseOrResume);
  pauseOrResume();
}
