// Waits for conditions, with a message for a condition that never holds.

export const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** Calls `probe` until it returns something truthy, and returns that. Errors of `probe` count as "not yet". */
export async function until(what, probe, { withinMs = 30000, everyMs = 100 } = {}) {
  const end = Date.now() + withinMs;
  let last = "";
  for (;;) {
    try {
      const found = await probe();
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
