// Announces changes to screen readers, and nothing else: it never reads out the first answer and the running figures,
// and it announces simultaneous changes together.

import { visible } from "./words.js";

const GATHER_MS = 1500;
const READING_MS = 5000;

export class News {
  #element;
  #known = new Map();
  #waiting = new Map();
  #timer = 0;

  /** `element` is the page's status region. */
  constructor(element) {
    this.#element = element;
  }

  /** `about` (a camera, the server) is now in the state that `text` names. */
  tell(about, text) {
    const before = this.#known.get(about);
    this.#known.set(about, text);
    if (before === undefined || before === text) return;
    // If something changes several times meanwhile, only the last change is announced.
    this.#waiting.delete(about);
    this.#waiting.set(about, `${about}: ${text}.`);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#element.textContent = visible([...this.#waiting.values()].join(" "));
      this.#waiting.clear();
    }, GATHER_MS);
  }

  /** Announces `text` now, in response to a person's action; the same text may be announced again later. */
  say(text) {
    const shown = visible(text);
    this.#element.textContent = shown;
    setTimeout(() => {
      if (this.#element.textContent === shown) this.#element.textContent = "";
    }, READING_MS);
  }
}
