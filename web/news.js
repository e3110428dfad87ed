// Tells screen readers what changed, and only that: the first answer and the running figures are
// never read out, and changes that come together are said together.

const GATHER_MS = 1500;

export class News {
  #element;
  #known = new Map();
  #waiting = [];
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
    this.#waiting.push(`${about}: ${text}.`);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => {
      this.#element.textContent = this.#waiting.join(" ");
      this.#waiting = [];
    }, GATHER_MS);
  }
}
