// The panel of the controls of a camera's device. It is closed at first, and absent if there are none; while it is open
// the page polls the device every few seconds, because others may set it too. Values set here are sent one control at a
// time, about ten times a second at most, and the last value always.

import { address } from "./api.js";
import { canReset, ControlRow, shapeOf } from "./control.js";
import { Problem } from "./problem.js";
import { make, setText } from "./tile.js";

const POLL_MS = 3000;
const PAUSE_MS = 100;
// The server allows a device five seconds.
const TIMEOUT_MS = 8000;
const JSON_TYPE = { "Content-Type": "application/json" };

const problem = (message, isPassing) => Object.assign(new Error(message), { isPassing });

/** Sends a request and returns the answer. Errors that are not the fault of the request have `isPassing`. */
async function ask(url, request) {
  let response;
  try {
    response = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS), ...request });
  } catch (error) {
    throw problem(error.name === "TimeoutError" ? `The server did not answer within ${TIMEOUT_MS / 1000} s.` : "Cannot reach the server.", true);
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
  #keepLabel = make("label", "keep", this.#keep, make("span", "", "Save across restarts ", this.#kept));
  #isShown = false;
  #controls = [];
  #rows = new Map();
  #shape = "";
  #lookedIn = null;
  #timer = 0;
  /** Values still to be sent, by control. */
  #waiting = new Map();
  /** The control whose value is being sent. */
  #sending = null;
  /** A promise that settles when no value is left to send. */
  #sent = null;
  /** Values set on this page, by control. */
  #touched = new Map();
  /** Whether the saved values are still to be deleted. */
  #isForgetting = false;
  /** Grows when a change is sent and when it is answered: the answer to an earlier poll is outdated. */
  #turns = 0;

  /** `section` contains the panel's `<details>`; `path` is that of the camera's controls in the API. */
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

  /** Called with the camera's state: the device behind it may have changed. */
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
    setText(this.#kept, kept > 0 ? `(${kept} saved)` : "");
    // At first the box is ticked if values are saved; later it stays as the person set it.
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
      // Afterwards the panel must show the device's values.
      await this.#refresh();
      row()?.fail(error);
    }
  }

  /** Sends a change. */
  async #tell(url, request) {
    this.#turns += 1;
    return ask(url, request).finally(() => (this.#turns += 1));
  }

  /** Resets one control after the other: a reset may make others inactive, which then need none. */
  async #resetAll() {
    for (const { id } of [...this.#controls]) {
      const control = this.#find(id);
      if (!control || !canReset(control, this.#keep.checked)) continue;
      this.#set(id, null);
      await this.#sent;
    }
  }

  /** Also saves the values that were set before the box was ticked. */
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
    // If the person ticks the box again, these values are saved again.
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
