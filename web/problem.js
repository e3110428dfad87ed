// An error message beside the element that it concerns. It disappears once it no longer holds: when an absent device
// answers again, or after a person had time to read a refusal.

import { make, setText } from "./tile.js";

const READING_MS = 10000;

export class Problem {
  element = make("p", "problem");
  #until = 0;

  constructor() {
    this.element.setAttribute("role", "alert");
  }

  /** Shows the message. `isPassing`: the next answer of the device ends it. */
  say(message, isPassing = false) {
    setText(this.element, message);
    this.#until = isPassing ? 0 : Date.now() + READING_MS;
  }

  clear() {
    setText(this.element, "");
  }

  /** The device has answered. */
  settle() {
    if (Date.now() >= this.#until) this.clear();
  }
}
