// Marks a moment in the history: a button, or the key M anywhere on the page, opens a small dialog for a label; Enter
// saves it, Escape cancels. The result is visible on the button, and the status region announces it to screen readers.

import { address } from "./api.js";
import { Problem } from "./problem.js";
import { make, setText } from "./tile.js";

const KEY = "m";
const MAX_LABEL_LENGTH = 1000;
const TIMEOUT_MS = 8000;
const CONFIRMATION_MS = 2500;
// Elements that accept letters.
const TEXT_INPUTS = "input:not([type=checkbox], [type=range], [type=button]), textarea, select, [contenteditable]";

/** Sends the mark; returns whether it is saved already. Fails with the message to show. */
async function send(mark) {
  let response;
  try {
    response = await fetch(address("api/events"), {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(mark),
      signal: AbortSignal.timeout(TIMEOUT_MS),
    });
  } catch (error) {
    throw new Error(error.name === "TimeoutError" ? `The server did not answer within ${TIMEOUT_MS / 1000} s.` : "Cannot reach the server.");
  }
  if (response.ok) return response.status !== 202;
  const body = await response.json().catch(() => ({}));
  throw new Error(body.error ?? `The server answered ${response.status}.`);
}

export class Marker {
  #button;
  #word;
  #announcer;
  #camera;
  #input = Object.assign(make("input", "text"), { type: "text", maxLength: MAX_LABEL_LENGTH, required: true, autocomplete: "off" });
  #problem = new Problem();
  #save = Object.assign(make("button", "button", "Mark"), { type: "submit" });
  #dialog;
  #timer = 0;
  // Whether the server accepts marks, as far as is known.
  #isOffered = false;

  /**
   * `button` opens the dialog; `announcer` is that of the page; `camera`, if given, is what is marked, otherwise the server.
   */
  constructor({ button, announcer, camera = null }) {
    this.#button = button;
    this.#word = button.textContent;
    this.#announcer = announcer;
    this.#camera = camera;
    this.#build();
    button.onclick = () => this.#open();
    addEventListener("keydown", (event) => this.#onKey(event));
  }

  /** Shows the button, or hides it if the server accepts no marks. */
  setOffered(isOffered) {
    this.#isOffered = isOffered;
    this.#button.hidden = !isOffered;
  }

  #build() {
    const title = make("h2", "", this.#camera === null ? "Mark this moment" : `Mark this moment of ${this.#camera}`);
    title.id = "mark-title";
    const label = make("label", "", "Label");
    this.#input.id = label.htmlFor = "mark-label";
    this.#input.setAttribute("aria-describedby", (this.#problem.element.id = "mark-problem"));
    const cancel = Object.assign(make("button", "button", "Cancel"), { type: "button" });
    const form = make("form", "", title, label, this.#input, this.#problem.element, make("div", "actions", this.#save, cancel));
    this.#dialog = make("dialog", "mark", form);
    this.#dialog.setAttribute("aria-labelledby", title.id);
    cancel.onclick = () => this.#dialog.close();
    form.onsubmit = (event) => {
      event.preventDefault();
      this.#keep();
    };
    document.body.append(this.#dialog);
  }

  #onKey(event) {
    const isPlain = !event.ctrlKey && !event.metaKey && !event.altKey && !event.repeat;
    if (!this.#isOffered || !isPlain || event.key.toLowerCase() !== KEY || this.#dialog.open) return;
    if (event.target instanceof Element && event.target.matches(TEXT_INPUTS)) return;
    // The pressed letter must not become the first one of the label.
    event.preventDefault();
    this.#open();
  }

  #open() {
    // A picture in full screen would cover the dialog.
    if (document.fullscreenElement) document.exitFullscreen();
    this.#problem.clear();
    this.#input.value = "";
    this.#dialog.showModal();
    this.#input.focus();
  }

  async #keep() {
    const label = this.#input.value.trim();
    if (label === "" || this.#save.disabled) return;
    this.#save.disabled = true;
    try {
      const isKept = await send(this.#camera === null ? { label } : { label, camera: this.#camera });
      this.#dialog.close();
      this.#confirm(isKept ? "Marked" : "Marked. The server saves the mark when it reaches the database again.");
    } catch (error) {
      // The label stays, so that the person can retry.
      if (this.#dialog.open) this.#problem.say(error.message);
      else this.#announcer.announce(error.message);
    } finally {
      this.#save.disabled = false;
    }
  }

  #confirm(sentence) {
    this.#announcer.announce(sentence);
    setText(this.#button, "Marked");
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => setText(this.#button, this.#word), CONFIRMATION_MS);
  }
}
