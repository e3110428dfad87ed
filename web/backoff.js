// How long the page waits before it repeats what failed. The server's own rule is in `crates/media/src/backoff.rs`.

/** `ms` with up to a quarter more or less, so that not all pages return to a restarted server at the same moment. */
export const jittered = (ms) => ms * (0.75 + Math.random() / 2);

/** The pause after so many failures in a row, at least one: it doubles from `firstMs` to `lastMs`. */
export const retryMs = (failures, firstMs, lastMs) => jittered(Math.min(firstMs * 2 ** (failures - 1), lastMs));
