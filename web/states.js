// The state of each camera, from two sources: answers of the API, which are complete but infrequent, and events, which
// come at once. The newer one by the server's clock counts. Pure: no DOM, no network, no clock of its own.

const STATE_AFTER = {
  opened: "opening", live: "live", lost: "lost", stalled: "lost", closed: "idle", removed: "idle",
};

/** The state of a camera that was in `state`, after an event of this `kind`. */
export function stateAfter(kind, state) {
  // A lost camera stays lost until a picture comes, however often its device is opened.
  if (kind === "opened" && state === "lost") return state;
  return STATE_AFTER[kind] ?? state;
}

/** `camera`, as the API describes it, after `event`. */
export function cameraAfter(camera, event) {
  const state = stateAfter(event.kind, camera.state);
  const isLost = state === "lost";
  const reason = isLost ? (event.text ?? camera.reason) : null;
  const since = state === camera.state ? camera.since : event.at;
  const checked = state === "live" || isLost ? event.at : camera.checked;
  // The figures are valid only while the camera is live; the next answer says when a lost one is retried.
  const figures = camera.state === "live" && state === "live" ? {} : { fps: null, age_ms: null };
  return { ...camera, ...figures, state, reason, since, checked, next_try: isLost ? camera.next_try : null };
}

export class CameraStates {
  #cameras = new Map();
  // The server's clock at its last answer.
  #answeredMs = -Infinity;
  // Events that the next answer may not include yet, and when they arrived here.
  #recent = [];

  /** The cameras, in the server's order. */
  get all() {
    return [...this.#cameras.values()];
  }

  /** The API has answered: its cameras, its clock, and when the page sent the request, by the clock of `applyEvent`. */
  applyAnswer(cameras, nowMs, askedAt) {
    this.#answeredMs = nowMs;
    this.#recent = this.#recent.filter(({ heardAt }) => heardAt >= askedAt);
    this.#cameras = new Map(cameras.map((camera) => [camera.name, camera]));
    for (const { event } of this.#recent) this.#apply(event);
  }

  /** An event has arrived; returns the camera's new data if it has changed, else null. */
  applyEvent(event, heardAt) {
    if (!(event.kind in STATE_AFTER)) return null;
    this.#recent.push({ event, heardAt });
    return this.#apply(event);
  }

  #apply(event) {
    const camera = this.#cameras.get(event.camera);
    // The answer is newer than the event.
    if (!camera || Date.parse(event.at) < this.#answeredMs) return null;
    const changed = cameraAfter(camera, event);
    this.#cameras.set(camera.name, changed);
    return changed;
  }
}
