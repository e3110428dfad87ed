// Announces changes to screen readers, and nothing else: it never reads out the first answer and the running figures,
// and it announces simultaneous changes together.

import { visible } from "./format.js";

const GATHER_MS = 1500;
const READING_MS = 5000;

export class Announcer {
  #element;
  #known = new Map();
  #pending = new Map();
  #timer = 0;
  // Ends the time for which the sentence that `announce` shows stays; 0 while there is none.
  #reading = 0;

  /** `element` is the page's status region. */
  constructor(element) {
    this.#element = element;
  }

  /** `subject` (a camera, the server) is now in the state that `text` names. */
  report(subject, text) {
    const before = this.#known.get(subject);
    this.#known.set(subject, text);
    if (before === undefined || before === text) return;
    // If something changes several times meanwhile, only the last change is announced.
    this.#pending.delete(subject);
    this.#pending.set(subject, `${subject}: ${text}.`);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#tell(), GATHER_MS);
  }

  /** Announces `text` now, in response to a person's action; the same text may be announced again later. */
  announce(text) {
    this.#element.textContent = visible(text);
    clearTimeout(this.#reading);
    this.#reading = setTimeout(() => {
      this.#reading = 0;
      this.#element.textContent = "";
      this.#tell();
    }, READING_MS);
  }

  /** Announces what has changed, but not over the answer to a person's action: that one is heard first. */
  #tell() {
    if (this.#reading !== 0 || this.#pending.size === 0) return;
    this.#element.textContent = visible([...this.#pending.values()].join(" "));
    this.#pending.clear();
  }
}
