// A camera's history over a period, computed from events: spans of one state each, and their summary. Pure: no DOM, no
// network, no clock of its own; `timeline.js` draws it.

import { stateAfter } from "./states.js";
import { formatDuration, formatCount } from "./format.js";

/** Events that change the state of a camera, and of the server. */
export const CAMERA_KINDS = ["opened", "live", "lost", "stalled", "closed", "removed"];
export const SERVER_KINDS = ["started", "stopped"];
const SERVER_STATE = { started: "idle", stopped: "off" };
// In the order of the summary.
const LABELS = { live: "live", lost: "lost", opening: "opening", idle: "idle", off: "server off", unknown: "no data for" };
// States that a column shows however short they were.
const FAILURE_STATES = ["lost", "off"];
const MIN_MS = 1000;
const HOUR_MS = 3600000;

export const timeOf = (event) => Date.parse(event.at);
const byTime = (one, other) => timeOf(one) - timeOf(other) || one.id - other.id;
const next = (state, { kind }) => SERVER_STATE[kind] ?? stateAfter(kind, state);

/**
 * Spans `{ state, fromMs, toMs, isCut }` from `fromMs` to `toMs`, without gaps. `events` are those of the camera and of
 * the server in any order. Earlier events decide the state at the beginning, which is otherwise `initial`. `isCut`: the
 * server crashed or lost power at some time within the span, and its end is when the server started again.
 */
export function spansOf(events, fromMs, toMs, initial = "unknown") {
  const spans = [];
  let state = initial;
  let sinceMs = -Infinity;
  const end = (atMs, isCut) => {
    const from = Math.max(sinceMs, fromMs);
    const to = Math.min(atMs, toMs);
    if (to > from) spans.push({ state, fromMs: from, toMs: to, isCut });
    sinceMs = atMs;
  };
  for (const event of [...events].sort(byTime)) {
    const following = next(state, event);
    if (following === state && event.kind !== "started") continue;
    end(timeOf(event), event.kind === "started" && state !== "off" && state !== "unknown");
    state = following;
  }
  end(toMs, false);
  return spans;
}

/** The part of `events` that is still needed when the time before `fromMs` is no longer shown: `[events, initial]`. */
export function trim(events, fromMs, initial) {
  const sorted = [...events].sort(byTime);
  const first = sorted.findIndex((event) => timeOf(event) >= fromMs);
  const old = first < 0 ? sorted : sorted.slice(0, first);
  return [sorted.slice(old.length), old.reduce(next, initial)];
}

/** A summary of the spans, one entry for each state that occurred: `{ state, text }`. */
export function sumUp(spans) {
  return Object.keys(LABELS).flatMap((state) => {
    const those = spans.filter((span) => span.state === state);
    if (those.length === 0) return [];
    const totalMs = those.reduce((sum, { fromMs, toMs }) => sum + toMs - fromMs, 0);
    const total = formatDuration(totalMs);
    // A moment of opening is not worth mentioning.
    if (totalMs < MIN_MS && !FAILURE_STATES.includes(state)) return [];
    if (!FAILURE_STATES.includes(state)) return [{ state, text: `${LABELS[state]} ${total}` }];
    const all = those.length > 1 ? " in all" : "";
    return [{ state, text: `${LABELS[state]} ${formatCount(those.length)}, ${total}${all}` }];
  });
}

/**
 * The spans drawn in `count` columns: `{ state, from, to }` in columns, `to` excluded. Short but serious states stay
 * visible; otherwise a column shows the state that lasted longest in it.
 */
export function columns(spans, count) {
  if (spans.length === 0) return [];
  const fromMs = spans[0].fromMs;
  const widthMs = (spans.at(-1).toMs - fromMs) / count;
  const runs = [];
  let first = 0;
  for (let column = 0; column < count; column += 1) {
    const beginMs = fromMs + column * widthMs;
    while (first < spans.length - 1 && spans[first].toMs <= beginMs) first += 1;
    const shares = new Map();
    for (let n = first; n < spans.length && spans[n].fromMs < beginMs + widthMs; n += 1) {
      const share = Math.min(spans[n].toMs, beginMs + widthMs) - Math.max(spans[n].fromMs, beginMs);
      shares.set(spans[n].state, (shares.get(spans[n].state) ?? 0) + share);
    }
    const longest = [...shares].sort((one, other) => other[1] - one[1])[0]?.[0] ?? "unknown";
    const state = FAILURE_STATES.find((grave) => shares.has(grave)) ?? longest;
    if (runs.at(-1)?.state === state) runs.at(-1).to = column + 1;
    else runs.push({ state, from: column, to: column + 1 });
  }
  return runs;
}

/** Marks in order; marks closer than `apartMs` to the first of a group are grouped. */
export function groupMarks(marks, apartMs) {
  const groups = [];
  for (const mark of [...marks].sort(byTime)) {
    const group = groups.at(-1);
    if (group && timeOf(mark) - timeOf(group[0]) < apartMs) group.push(mark);
    else groups.push([mark]);
  }
  return groups;
}

/** The full hours of local time from `fromMs` to `toMs`, each `{ atMs, hour }`. */
export function hours(fromMs, toMs) {
  const found = [];
  const first = new Date(fromMs);
  first.setMinutes(0, 0, 0);
  for (let atMs = first.getTime(); atMs <= toMs; atMs += HOUR_MS) {
    if (atMs >= fromMs) found.push({ atMs, hour: new Date(atMs).getHours() });
  }
  return found;
}
