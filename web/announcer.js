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
    this.#timer = setTimeout(() => {
      this.#element.textContent = visible([...this.#pending.values()].join(" "));
      this.#pending.clear();
    }, GATHER_MS);
  }

  /** Announces `text` now, in response to a person's action; the same text may be announced again later. */
  announce(text) {
    const shown = visible(text);
    this.#element.textContent = shown;
    setTimeout(() => {
      if (this.#element.textContent === shown) this.#element.textContent = "";
    }, READING_MS);
  }
}
