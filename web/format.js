// Wording of numbers and states. Pure functions: no DOM, no network, no clock of their own.

const STATE_LABELS = {
  idle: "idle",
  unchecked: "not checked",
  opening: "opening",
  live: "live",
  lost: "lost",
  stalled: "frozen",
  unreachable: "server unreachable",
};

// Control characters, those that reorder a line or break it invisibly, and the byte order mark. Tabs and line ends
// stay. The server escapes the same set.
const HIDDEN = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]/g;

/** `text`, which may be from a camera or another person, with each hidden character as its number: `\u{202e}`. */
export function visible(text) {
  return String(text).replace(HIDDEN, (hidden) => `\\u{${hidden.codePointAt(0).toString(16)}}`);
}

/** Why a page without a WebSocket shows pictures of a camera that sends coded video. */
export const VIDEO_NEEDS_SOCKET = "No WebSocket reaches the server, which video needs; showing pictures";

/**
 * Whether a camera sends coded video, as far as is known. Nobody has looked at it yet? Then most that speak RTSP do.
 */
export function sendsVideo(camera) {
  return camera.video || (camera.checked === null && camera.driver.startsWith("rtsp"));
}

/**
 * `camera` with the state and the figures of its sub stream, if that is watched and the main stream is not; `own` is the
 * main stream's size.
 */
export function watched(camera) {
  const { state, sub, width, height } = camera;
  const isSub = state === "idle" && (sub?.state === "live" || sub?.state === "opening");
  return isSub ? { ...camera, ...sub, own: { width, height } } : camera;
}

/** The state of a camera as the page shows it: `unchecked` if nobody has looked yet whether it works. */
export function shownState(camera) {
  return camera.state === "idle" && camera.checked === null ? "unchecked" : camera.state;
}

/**
 * The word for a state of the API, or for `unchecked`, `stalled` (live, but its pictures do not arrive) and
 * `unreachable`.
 */
export function stateLabel(state) {
  return STATE_LABELS[state] ?? String(state);
}

/** A duration in milliseconds, as short as is still accurate: `40 ms`, `1.2 s`, `3 min`. */
export function formatSpan(milliseconds) {
  const ms = Math.max(0, milliseconds);
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  const seconds = ms / 1000;
  if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
  if (seconds < 99.5) return `${Math.round(seconds)} s`;
  if (seconds < 5970) return `${Math.round(seconds / 60)} min`;
  if (seconds < 172800) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86400)} days`;
}

/** Pictures per second: `25 fps`, `0.5 fps`; empty when unknown. */
export function rate(fps) {
  if (fps === null || fps === undefined) return "";
  const digits = fps < 9.95 && Math.abs(fps - Math.round(fps)) > 0.05 ? 1 : 0;
  return `${fps.toFixed(digits)} fps`;
}

/** The rate of a picture that is polled instead of streamed. */
export function formatSlowRate(intervalMs) {
  const seconds = Math.max(1, Math.round(intervalMs / 1000));
  return `1 picture every ${seconds} s`;
}

/** The age of a picture: `40 ms old`; empty when unknown. */
export function age(ageMs) {
  return ageMs === null || ageMs === undefined ? "" : `${formatSpan(ageMs)} old`;
}

/** Why a camera is not live, and when the next attempt is; empty when there is nothing to say. */
export function reasonText(camera, nowMs) {
  if (camera.state === "live" || !camera.reason) return "";
  const wait = camera.next_try ? Date.parse(camera.next_try) - nowMs : NaN;
  if (!(wait > 0)) return camera.reason;
  return `${camera.reason} · next try in ${Math.ceil(wait / 1000)} s`;
}

/** How long something lasted, in at most two units: `22 h 10 min`, `4 min`, `35 s`. */
export function formatDuration(milliseconds) {
  const seconds = Math.round(milliseconds / 1000);
  if (seconds < 1) return "less than 1 s";
  if (seconds < 90) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 60) return `${minutes} min`;
  const rest = minutes % 60;
  return [`${Math.floor(minutes / 60)} h`, rest > 0 ? `${rest} min` : ""].filter(Boolean).join(" ");
}

/** How often: `once`, `twice`, `3 times`. */
export function formatCount(count) {
  return ["never", "once", "twice"][count] ?? `${count} times`;
}
