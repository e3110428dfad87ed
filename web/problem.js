// What went wrong, beside where it did. It goes once it no longer holds: a device that was away when
// it answers again, a refusal when it could be read.

import { make, setText } from "./tile.js";

const READING_MS = 10000;

export class Problem {
  element = make("p", "problem");
  #until = 0;

  constructor() {
    this.element.setAttribute("role", "alert");
  }

  /** Says it. `isPassing`: the next answer of the device shows that it is over. */
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
