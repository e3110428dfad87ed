// Tells screen readers what changed, and only that: the first answer and the running figures are
// never read out, and changes that come together are said together.

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

  /** `about` (a camera, the server) is now in the state that `text` says. */
  tell(about, text) {
    const before = this.#known.get(about);
    this.#known.set(about, text);
    if (before === undefined || before === text) return;
    // Of what changes several times meanwhile, the last is said.
    this.#waiting.delete(about);
    this.#waiting.set(about, `${about}: ${text}.`);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#element.textContent = visible([...this.#waiting.values()].join(" "));
      this.#waiting.clear();
    }, GATHER_MS);
  }

  /** Says `text` now, in answer to something that was done; the same may be said again later. */
  say(text) {
    const shown = visible(text);
    this.#element.textContent = shown;
    setTimeout(() => {
      if (this.#element.textContent === shown) this.#element.textContent = "";
    }, READING_MS);
  }
}
