// Calls the server's JSON API and reports whether the server can be reached. Answers and failures go to the callbacks
// of `poll`; nothing here knows what the page draws. Addresses are relative to this file's own, so the page also works
// below a path prefix of a proxy.

const ROOT = new URL("..", import.meta.url);
// Firefox keeps the user and password of http://user:password@host/ here: it would then refuse to fetch, and the
// addresses that the page offers for copying would contain the password.
ROOT.username = ROOT.password = "";
const INTERVAL_MS = 1000;
// The shortest interval between two polls after `hurry()`.
const HURRIED_MS = 500;
const TIMEOUT_MS = 5000;
// How long after the last answer the page checks its pictures, and how long after its due time an answer is late.
const LOOK_AFTER_MS = 1500;
const LATE_MS = 500;
const LOOK_MS = 250;
// A gap this long between two polls means that the computer slept: the open streams may be dead.
const SLEPT_MS = 20000;

/** The full address of a path as the API gives it (`/cameras/front`), or of one without the leading slash. */
export function address(path) {
  return new URL(path.replace(/^\/+/, ""), ROOT).href;
}

class NotFound extends Error {}

async function fetchJson(path, signal) {
  const response = await fetch(address(path), { cache: "no-store", signal });
  if (response.status === 404) {
    const body = await response.json().catch(() => ({}));
    throw new NotFound(body.error ?? "not found");
  }
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  return response.json();
}

/**
 * Polls `path` each second while the page is visible.
 *
 * `onAnswer(data, isFresh, askedAt)`: `isFresh` when streams opened before may be dead, because the server was away,
 * was restarted, or this computer slept; `askedAt` by `performance.now()`. `onFailure(hasTimedOut)`: no answer.
 * `onWait(isLate, sinceMs)`: the time since the last answer; `isLate` when the next one is overdue.
 * `onMissing(message)`: the server answers, but does not know `path`.
 *
 * Returns `{ every, hurry }`: `every(ms)` sets the interval, `hurry()` polls at once, or nearly.
 */
export function poll(path, { onAnswer, onFailure, onMissing, onWait }) {
  let intervalMs = INTERVAL_MS;
  let startedAt = null;
  let isReachable = true;
  let failures = 0;
  let lastAt = Date.now();
  let dueAt = lastAt + INTERVAL_MS;
  let askedAt = 0;
  let isAsking = false;
  let isHurried = false;
  let timer = 0;
  let abort = null;

  async function ask() {
    const mine = new AbortController();
    abort = mine;
    isAsking = true;
    isHurried = false;
    askedAt = performance.now();
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
    if (abort !== mine) return;
    isAsking = false;
    if (isHurried) hurry();
    else timer = setTimeout(ask, pauseMs());
  }

  function pauseMs() {
    if (failures > 0) return failures === 1 ? INTERVAL_MS / 4 : INTERVAL_MS;
    return intervalMs;
  }

  function hurry() {
    if (!abort) return;
    // The answer that is on its way may predate the reason to hurry.
    isHurried = true;
    if (isAsking) return;
    const waitMs = Math.max(0, askedAt + HURRIED_MS - performance.now());
    dueAt = Math.min(dueAt, Date.now() + waitMs);
    clearTimeout(timer);
    timer = setTimeout(ask, waitMs);
  }

  function every(ms) {
    if (ms === intervalMs) return;
    const isSooner = ms < intervalMs;
    intervalMs = ms;
    if (isSooner) hurry();
  }

  function answered(data) {
    const now = Date.now();
    const isRestarted = startedAt !== null && startedAt !== data.server.started_at;
    const isFresh = !isReachable || isRestarted || now - lastAt > SLEPT_MS;
    startedAt = data.server.started_at;
    isReachable = true;
    failures = 0;
    lastAt = now;
    dueAt = now + intervalMs;
    onAnswer(data, isFresh, askedAt);
  }

  function failed(error, hasTimedOut) {
    if (error instanceof NotFound) {
      isReachable = true;
      failures = 0;
      onMissing?.(error.message);
      return;
    }
    failures += 1;
    // A single refused connection may be chance; a time-out has waited long enough.
    if (failures < 2 && !hasTimedOut) return;
    isReachable = false;
    onFailure(hasTimedOut);
  }

  function pauseOrResume() {
    clearTimeout(timer);
    abort?.abort();
    abort = null;
    isAsking = false;
    lastAt = Date.now();
    dueAt = lastAt + INTERVAL_MS;
    if (!document.hidden) ask();
  }

  setInterval(() => {
    const now = Date.now();
    const sinceMs = now - lastAt;
    if (abort && isReachable && startedAt !== null && sinceMs > LOOK_AFTER_MS) onWait?.(now - dueAt > LATE_MS, sinceMs);
  }, LOOK_MS);
  document.addEventListener("visibilitychange", pauseOrResume);
  pauseOrResume();
  return { every, hurry };
}
