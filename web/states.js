// What state each camera is in, from two tellers: answers of the API, which tell all there is but
// come now and then, and events, which come at once. Whichever is newer by the server's clock holds.
// Pure: no DOM, no network, no clock of its own.

const STATE_AFTER = { opened: "opening", live: "live", lost: "lost", stalled: "lost", closed: "idle" };

/** The state of a camera that was in `state`, after an event of this `kind`. */
export function stateAfter(kind, state) {
  // A camera that is lost stays so until a picture comes, however often its device is opened.
  if (kind === "opened" && state === "lost") return state;
  return STATE_AFTER[kind] ?? state;
}

/** `camera`, as the API tells it, after `event`. */
export function after(camera, event) {
  const state = stateAfter(event.kind, camera.state);
  const isLost = state === "lost";
  const reason = isLost ? (event.text ?? camera.reason) : null;
  const since = state === camera.state ? camera.since : event.at;
  // Figures are those of a live camera; when a lost one is tried again, the next answer says.
  const figures = camera.state === "live" && state === "live" ? {} : { fps: null, age_ms: null };
  return { ...camera, ...figures, state, reason, since, next_try: isLost ? camera.next_try : null };
}

export class States {
  #cameras = new Map();
  // The server's clock at its last answer.
  #answeredMs = -Infinity;
  // Events that the next answer may not know yet, and when they came here.
  #recent = [];

  /** The cameras, in the server's order. */
  get all() {
    return [...this.#cameras.values()];
  }

  /** The API has answered: its cameras, its clock, and when it was asked by the clock of `hear`. */
  answer(cameras, nowMs, askedAt) {
    this.#answeredMs = nowMs;
    this.#recent = this.#recent.filter(({ heardAt }) => heardAt >= askedAt);
    this.#cameras = new Map(cameras.map((camera) => [camera.name, camera]));
    for (const { event } of this.#recent) this.#apply(event);
  }

  /** An event has come; returns its camera as it is now where that has changed, else null. */
  hear(event, heardAt) {
    if (!(event.kind in STATE_AFTER)) return null;
    this.#recent.push({ event, heardAt });
    return this.#apply(event);
  }

  #apply(event) {
    const camera = this.#cameras.get(event.camera);
    // The answer tells of the time after it.
    if (!camera || Date.parse(event.at) < this.#answeredMs) return null;
    const changed = after(camera, event);
    this.#cameras.set(camera.name, changed);
    return changed;
  }
}
