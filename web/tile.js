// One camera on the page of all cameras: a link with its picture, name, state, rate and age. Told
// what to show by `app.js` (answers of the API) and how to get its picture by `streams.js`.

import { address } from "./api.js";
import { Feed } from "./feed.js";
import { age, rate, slowRate, stateWord, trouble } from "./words.js";

/** `<tag class=… >` with `children`. */
export function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

/** What is seen until a picture covers it. Screen readers would read it even then; they are told the state. */
export function waiting() {
  const element = make("span", "waiting", "Waiting for a picture");
  element.setAttribute("aria-hidden", "true");
  return element;
}

/** Writes `text` only when it differs, so the page is not laid out again for nothing. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Shows `state` as a colour (by `data-state`) and a word. */
export function setState(element, state) {
  if (element.dataset.state !== state) element.dataset.state = state;
  setText(element, stateWord(state));
}

export class Tile {
  #picture = make("div", "picture");
  #state = make("span", "state");
  #figures = make("span", "figures");
  #reason = make("p", "reason");
  #veil = make("p", "veil");
  #feed;
  #mode = "off";
  #still = null;

  constructor(camera) {
    this.name = camera.name;
    this.snapshotUrl = address(camera.snapshot);
    this.element = make("a", "tile");
    this.element.href = address(camera.page);
    this.#veil.hidden = true;
    this.#picture.append(this.#veil, waiting());
    const name = make("strong", "name", camera.name);
    name.title = camera.name;
    const title = make("p", "title", name, this.#state, this.#figures);
    this.element.append(this.#picture, make("div", "caption", title, this.#reason));
    this.#feed = new Feed(this.#picture, address(camera.stream), `Picture of ${camera.name}`);
  }

  /** `stream`, `snapshots`, `held` (as it is, the server is away) or `off`. */
  setMode(mode) {
    if (mode === this.#mode) return;
    this.#mode = mode;
    if (mode === "held") return;
    if (mode === "stream") {
      this.#dropStill();
      this.#feed.start();
    } else {
      this.#feed.stop();
      if (mode === "off") this.#dropStill();
    }
  }

  /** What the API says of the camera; `nowMs` is the server's clock. */
  update(camera, nowMs) {
    if (this.#mode === "stream") this.#feed.check(camera.frames);
    this.#veil.hidden = true;
    setState(this.#state, camera.state);
    const label = [`${camera.name}: ${stateWord(camera.state)}`, camera.reason].filter(Boolean).join(". ");
    this.element.setAttribute("aria-label", label);
    setText(this.#figures, this.#figuresOf(camera, nowMs));
    const reason = trouble(camera, nowMs);
    this.#reason.hidden = reason === "";
    setText(this.#reason, reason);
    if (this.#reason.title !== reason) this.#reason.title = reason;
  }

  /** The server does not answer: whatever is on the screen is not live. */
  down() {
    setState(this.#state, "unreachable");
    this.element.setAttribute("aria-label", `${this.name}: ${stateWord("unreachable")}`);
    setText(this.#figures, "");
    this.#reason.hidden = true;
    setText(this.#veil, "Server unreachable. Trying again.");
    this.#veil.hidden = false;
  }

  /** A single picture, and when it was taken by the server's clock (null when not known). */
  showSnapshot(blob, takenAtMs) {
    if (this.#mode !== "snapshots") return;
    const now = Date.now();
    const gapMs = this.#still ? now - this.#still.gotAt : null;
    if (!this.#still) {
      const image = make("img", "");
      image.alt = `Picture of ${this.name}`;
      image.draggable = false;
      image.onload = () => URL.revokeObjectURL(image.src);
      this.#picture.append(image);
      this.#still = { image };
    }
    Object.assign(this.#still, { gotAt: now, takenAtMs, gapMs });
    this.#still.image.src = URL.createObjectURL(blob);
  }

  #figuresOf(camera, nowMs) {
    if (camera.state !== "live") return "";
    if (this.#mode !== "snapshots") {
      return [rate(camera.fps), age(camera.age_ms)].filter(Boolean).join(" · ");
    }
    if (!this.#still) return "";
    const { gotAt, takenAtMs, gapMs } = this.#still;
    const ageMs = takenAtMs === null ? Date.now() - gotAt : nowMs - takenAtMs;
    return [gapMs === null ? "" : slowRate(gapMs), age(ageMs)].filter(Boolean).join(" · ");
  }

  #dropStill() {
    this.#still?.image.remove();
    this.#still = null;
  }
}
