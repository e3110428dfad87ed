// Waits for conditions, with a message for a condition that never holds.

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

// So long that only a fault makes a condition miss it, however busy the machine is.
const PATIENCE_MS = 60000;
// For one probe, also after the time is over.
const LEAST_PROBE_MS = 1000;

/** Calls `probe` until it returns something truthy, and returns that. Errors of `probe` count as "not yet". */
export async function until(what, probe, { withinMs = PATIENCE_MS, everyMs = 100 } = {}) {
  const end = Date.now() + withinMs;
  let last = "";
  for (;;) {
    try {
      // A page that never answers must not hide what the check waits for.
      const found = await within("an answer", probe(), Math.max(LEAST_PROBE_MS, end - Date.now()));
      if (found) return found;
    } catch (error) {
      last = ` (${error.message})`;
    }
    if (Date.now() > end) throw new Error(`timed out after ${withinMs / 1000} s, waiting for: ${what}${last}`);
    await sleep(everyMs);
  }
}

/** The result of `promise`, or an error when it takes longer than `ms`. */
export async function within(what, promise, ms) {
  let timer;
  const late = new Promise((_, fail) => {
    timer = setTimeout(() => fail(new Error(`${what} took more than ${ms / 1000} s`)), ms);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Fails with `message` unless `condition` holds. */
export function ensure(condition, message) {
  if (!condition) throw new Error(message);
}
