// The panel of what can be adjusted on a camera's device. Closed at first, absent where there is
// nothing; while it is open the device is asked every few seconds, for others may set it too. What
// is set here is sent one control at a time, some ten times a second at most, the last value always.

import { address } from "./api.js";
import { canReset, ControlRow, shapeOf } from "./control.js";
import { make, setText } from "./tile.js";

const POLL_MS = 3000;
const PAUSE_MS = 100;
// The server gives a device five seconds.
const TIMEOUT_MS = 8000;
const JSON_TYPE = { "Content-Type": "application/json" };

async function ask(url, request) {
  let response;
  try {
    response = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS), ...request });
  } catch (error) {
    throw new Error(error.name === "TimeoutError" ? "The server has not answered." : "The server cannot be reached.");
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.error ?? `The server answered ${response.status}.`);
  return body;
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

export class Controls {
  #section;
  #url;
  #details;
  #groups = make("div", "groups");
  #status = make("p", "problem");
  #keep = Object.assign(make("input", ""), { type: "checkbox" });
  #keepLabel = make("label", "keep", this.#keep, "Keep after restart");
  #controls = [];
  #rows = new Map();
  #shape = "";
  #lookedIn = null;
  #timer = 0;
  /** What is still to be sent, by control. */
  #waiting = new Map();
  /** The control that is being sent. */
  #sending = null;
  /** Settled when nothing is left to be sent. */
  #sent = null;
  /** What was set on this page, by control. */
  #touched = new Map();

  /** `section` holds the panel's `<details>`; `path` is that of the camera's controls in the API. */
  constructor(section, path) {
    this.#section = section;
    this.#url = address(path);
    this.#details = section.querySelector("details");
    this.#status.setAttribute("role", "alert");
    const reset = Object.assign(make("button", "button small", "Reset all"), { type: "button" });
    reset.onclick = () => this.#resetAll();
    this.#keep.onchange = () => this.#keep.checked && this.#sendAgain();
    this.#details.append(make("div", "panel-bar", reset, this.#keepLabel), this.#status, this.#groups);
    this.#details.ontoggle = () => this.#schedule(0);
    document.addEventListener("visibilitychange", () => this.#schedule(0));
  }

  /** The camera is in this state: the device behind it may be another one than before. */
  look(state) {
    if (state === this.#lookedIn || state === "opening") return;
    this.#lookedIn = state;
    this.#refresh();
  }

  #schedule(ms) {
    clearTimeout(this.#timer);
    if (!this.#details.open || document.hidden) return;
    this.#timer = setTimeout(async () => {
      await this.#refresh();
      this.#schedule(POLL_MS);
    }, ms);
  }

  async #refresh() {
    try {
      this.#show(await ask(this.#url));
      setText(this.#status, "");
    } catch (error) {
      setText(this.#status, error.message);
    }
  }

  #show({ controls, can_persist: canPersist }) {
    this.#controls = controls;
    this.#section.hidden = controls.length === 0;
    this.#keepLabel.hidden = !canPersist;
    const shape = controls.map(shapeOf).join();
    if (shape !== this.#shape) this.#build(controls);
    this.#shape = shape;
    for (const control of controls) {
      const isPending = this.#waiting.has(control.id) || this.#sending === control.id;
      this.#rows.get(control.id).update(control, isPending);
    }
  }

  /** Rows in the device's order, in one box for each group. */
  #build(controls) {
    const boxes = new Map();
    this.#rows.clear();
    for (const control of controls) {
      if (!boxes.has(control.group)) boxes.set(control.group, make("fieldset", "group", make("legend", "", control.group)));
      const row = new ControlRow(control, (value) => this.#set(control.id, value));
      this.#rows.set(control.id, row);
      boxes.get(control.group).append(row.element);
    }
    this.#groups.replaceChildren(...boxes.values());
  }

  #find(id) {
    return this.#controls.find((control) => control.id === id);
  }

  #set(id, value) {
    if (this.#find(id)?.type !== "button") this.#touched.set(id, value);
    this.#waiting.delete(id);
    this.#waiting.set(id, value);
    this.#sent ??= this.#sendWaiting();
  }

  async #sendWaiting() {
    while (this.#waiting.size > 0) {
      const [id, value] = this.#waiting.entries().next().value;
      this.#waiting.delete(id);
      this.#sending = id;
      const rested = pause(PAUSE_MS);
      await this.#send(id, value);
      await rested;
    }
    this.#sent = null;
  }

  async #send(id, value) {
    const row = () => this.#rows.get(id);
    try {
      const url = this.#keep.checked ? `${this.#url}?persist` : this.#url;
      const answer = await ask(url, { method: "PATCH", headers: JSON_TYPE, body: JSON.stringify({ [id]: value }) });
      this.#sending = null;
      this.#show(answer);
      row()?.fail("");
    } catch (error) {
      this.#sending = null;
      // What is shown is to be what the device has.
      await this.#refresh();
      row()?.fail(error.message);
    }
  }

  /** One after the other: a reset may make others inactive, which need none then. */
  async #resetAll() {
    for (const { id } of this.#controls.filter(canReset)) {
      const control = this.#find(id);
      if (!control || !canReset(control)) continue;
      this.#set(id, null);
      await this.#sent;
    }
  }

  /** What was set before it was to be kept is kept, too. */
  #sendAgain() {
    for (const [id, value] of this.#touched) this.#set(id, value);
  }
}
