// The panel of what can be adjusted on a camera's device. Closed at first, absent where there is
// nothing; while it is open the device is asked every few seconds, for others may set it too. What
// is set here is sent one control at a time, some ten times a second at most, the last value always.

import { address } from "./api.js";
import { canReset, ControlRow, shapeOf } from "./control.js";
import { Problem } from "./problem.js";
import { make, setText } from "./tile.js";

const POLL_MS = 3000;
const PAUSE_MS = 100;
// The server gives a device five seconds.
const TIMEOUT_MS = 8000;
const JSON_TYPE = { "Content-Type": "application/json" };

const problem = (message, isPassing) => Object.assign(new Error(message), { isPassing });

/** What the server answers. Errors that are no fault of the request have `isPassing`. */
async function ask(url, request) {
  let response;
  try {
    response = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS), ...request });
  } catch (error) {
    throw problem(error.name === "TimeoutError" ? "The server has not answered." : "The server cannot be reached.", true);
  }
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw problem(body.error ?? `The server answered ${response.status}.`, response.status > 501);
  return body;
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));

export class Controls {
  #section;
  #url;
  #details;
  #groups = make("div", "groups");
  #status = new Problem();
  #keep = Object.assign(make("input", ""), { type: "checkbox" });
  #kept = make("span", "hint");
  #keepLabel = make("label", "keep", this.#keep, make("span", "", "Keep after restart ", this.#kept));
  #isShown = false;
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
  /** Whether what is kept is still to be forgotten. */
  #isForgetting = false;
  /** Counts when a change is sent and when it is answered: what was asked before tells of the time before. */
  #turns = 0;

  /** `section` holds the panel's `<details>`; `path` is that of the camera's controls in the API. */
  constructor(section, path) {
    this.#section = section;
    this.#url = address(path);
    this.#details = section.querySelector("details");
    const reset = Object.assign(make("button", "button small", "Reset all"), { type: "button" });
    reset.onclick = () => this.#resetAll();
    this.#keep.onchange = () => (this.#keep.checked ? this.#keepAll() : this.#forgetAll());
    this.#details.append(make("div", "panel-bar", reset, this.#keepLabel), this.#status.element, this.#groups);
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
    const turn = this.#turns;
    try {
      const answer = await ask(this.#url);
      if (turn === this.#turns) this.#show(answer);
    } catch (error) {
      if (turn === this.#turns) this.#status.say(error.message, true);
    }
  }

  #show({ controls, can_persist: canPersist }) {
    this.#controls = controls;
    this.#section.hidden = controls.length === 0;
    this.#status.settle();
    this.#keepLabel.hidden = !canPersist;
    const kept = controls.filter((control) => control.kept !== undefined).length;
    setText(this.#kept, kept > 0 ? `(${kept} kept)` : "");
    // Who kept something goes on keeping; later it is as the person has it.
    if (!this.#isShown) this.#keep.checked = kept > 0;
    this.#isShown ||= controls.length > 0;
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
    while (this.#waiting.size > 0 || this.#isForgetting) {
      const rested = pause(PAUSE_MS);
      if (this.#isForgetting) await this.#forget();
      else await this.#sendNext();
      await rested;
    }
    this.#sent = null;
  }

  async #sendNext() {
    const [id, value] = this.#waiting.entries().next().value;
    this.#waiting.delete(id);
    this.#sending = id;
    await this.#send(id, value);
  }

  async #send(id, value) {
    const row = () => this.#rows.get(id);
    try {
      const url = this.#keep.checked ? `${this.#url}?persist` : this.#url;
      const answer = await this.#tell(url, { method: "PATCH", headers: JSON_TYPE, body: JSON.stringify({ [id]: value }) });
      this.#sending = null;
      this.#show(answer);
      row()?.succeed();
    } catch (error) {
      this.#sending = null;
      // What is shown is to be what the device has.
      await this.#refresh();
      row()?.fail(error);
    }
  }

  /** Asks for a change. */
  async #tell(url, request) {
    this.#turns += 1;
    return ask(url, request).finally(() => (this.#turns += 1));
  }

  /** One after the other: a reset may make others inactive, which need none then. */
  async #resetAll() {
    for (const { id } of [...this.#controls]) {
      const control = this.#find(id);
      if (!control || !canReset(control, this.#keep.checked)) continue;
      this.#set(id, null);
      await this.#sent;
    }
  }

  /** What was set before it was to be kept is kept, too. */
  #keepAll() {
    this.#isForgetting = false;
    for (const [id, value] of this.#touched) this.#set(id, value);
  }

  #forgetAll() {
    this.#isForgetting = true;
    this.#sent ??= this.#sendWaiting();
  }

  async #forget() {
    this.#isForgetting = false;
    // Who ticks the box again keeps these again.
    for (const { id, kept, value } of this.#controls) {
      if (kept !== undefined && !this.#touched.has(id)) this.#touched.set(id, value);
    }
    try {
      await this.#tell(`${this.#url}/kept`, { method: "DELETE" });
      await this.#refresh();
    } catch (error) {
      this.#keep.checked = true;
      this.#status.say(error.message);
    }
  }
}
