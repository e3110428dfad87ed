// One camera on the page of all cameras: its picture, name, state, rate and age; its name is a link
// that covers all of it. Told what to show by `app.js` and how to get its picture by `streams.js`.

import { address } from "./api.js";
import { Canvas } from "./canvas.js";
import { Feed } from "./feed.js";
import { age, rate, slowRate, stateWord, trouble, visible } from "./words.js";

// Pictures sharper than this are hardly told apart on a wall, and cost four times as much and more.
const MOST_PIXEL_RATIO = 2;
// A picture that has to be stretched by less than this is not worth the next size.
const STRETCH = 1.06;
// Of a camera's rate, what a tile shows of it to be told as the camera's.
const KEEPS_UP = 0.9;
// The usual widths, so that all screens together share few renditions of a camera.
const WIDTHS = [320, 480, 640, 960, 1280, 1920, 2560, 3840];
// A live picture stalls when none comes for so long and for so many of the usual intervals; while its rate is not known
// it may be a slow one.
const STALLED_MS = 2000;
const STALLED_INTERVALS = 3;
const STALLED_UNKNOWN_MS = 5000;
const WAITING = "Waiting for a picture";

let made = 0;

/** `<tag class=… >` with `children`; text among them is shown with nothing hidden in it. */
export function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children.map((child) => (child instanceof Node ? child : visible(child))));
  return element;
}

/** What is seen until a picture covers it. Screen readers would read it even then; they are told the state. */
export function waiting() {
  const element = make("span", "waiting", WAITING);
  element.setAttribute("aria-hidden", "true");
  return element;
}

/** Writes `text`, with nothing hidden in it, only when it differs, so the page is not laid out again for nothing. */
export function setText(element, text) {
  const shown = visible(text);
  if (element.textContent !== shown) element.textContent = shown;
}

/** Shows `state` as a colour (by `data-state`) and a word. */
export function setState(element, state) {
  if (element.dataset.state !== state) element.dataset.state = state;
  setText(element, stateWord(state));
}

export class Tile {
  #picture = make("div", "picture");
  #link = make("a", "name");
  // What screen readers say of the link besides the name; the running figures are not to be among it.
  #spoken = make("span", "");
  #state = make("span", "state");
  #figures = make("span", "figures");
  #reason = make("p", "reason");
  #veil = make("p", "veil");
  #waiting = waiting();
  #feed;
  #live;
  #canvas = new Canvas(this.#picture);
  #mode = "off";
  #still = null;
  #frames = 0;
  // When pictures were asked for, by `performance.now()`.
  #shownAt = 0;
  // When the API answered last, and since when it knows of pictures that are not here.
  #answeredAt = 0;
  #owedAt = 0;
  // What the API said last, while it answers.
  #said = null;
  // Why the server does not give the picture to this page.
  #refusal = "";
  // The camera's own size, once it is known.
  #own = null;

  /** `live` is the connection that all tiles share; with `isBare` there is the picture alone, and no link. */
  constructor(camera, live, { isBare = false } = {}) {
    this.#live = live;
    this.name = camera.name;
    this.snapshotUrl = address(camera.snapshot);
    this.#veil.hidden = this.#spoken.hidden = true;
    this.#picture.append(this.#veil, this.#waiting);
    this.#spoken.id = `tile-${(made += 1)}`;
    this.#link.setAttribute("aria-describedby", this.#spoken.id);
    Object.assign(this.#link, { href: address(camera.page), textContent: camera.name, title: camera.name });
    const title = make("p", "title", this.#link, this.#state, this.#figures);
    const caption = make("div", "caption", title, this.#reason, this.#spoken);
    this.element = make("div", "tile", this.#picture, ...(isBare ? [] : [caption]));
    const label = `Picture of ${camera.name}`;
    this.#canvas.label = label;
    this.#feed = new Feed(this.#picture, address(camera.stream), label);
    this.#canvas.onShown = () => this.#dropImages();
    this.#canvas.onRefused = this.#feed.onRefused = (message) => this.#refuse(message);
  }

  /**
   * `live` (over the shared connection, as `wish` says), `paused` (what it shows stays, nothing comes),
   * `stream`, `snapshots`, `held` (as it is, the server is away) or `off`.
   */
  setMode(mode, wish) {
    if (mode === "live") this.#live.show(this.#canvas, { camera: this.name, ...this.#size(), ...wish });
    if (mode === this.#mode) return;
    this.#mode = mode;
    this.#shownAt = performance.now();
    if (mode === "held") return;
    if (mode === "live" || mode === "paused") {
      if (mode === "paused") {
        this.#live.hide(this.#canvas);
        this.#canvas.pause();
      }
      // The canvas covers what was there with its first picture, not before.
      if (this.#canvas.isShown) this.#dropImages();
      return;
    }
    this.#live.hide(this.#canvas);
    this.#canvas.clear();
    this.#refuse("");
    if (mode === "stream") {
      this.#dropStill();
      this.#feed.start();
    } else {
      this.#feed.stop();
      if (mode === "off") this.#dropStill();
    }
  }

  /** The least usual width that fills the picture's place on this screen; nothing where the camera has no more than that. */
  #size() {
    const { clientWidth, clientHeight } = this.#picture;
    const scale = Math.min(devicePixelRatio, MOST_PIXEL_RATIO) / STRETCH;
    // In a place that is too wide for it, the height decides how wide the picture is.
    const shape = this.#own ? this.#own.width / this.#own.height : Infinity;
    const needed = Math.min(clientWidth, clientHeight * shape) * scale;
    const width = WIDTHS.find((usual) => usual >= needed);
    return width === undefined || width >= this.#own?.width ? {} : { width };
  }

  /** What the API says of the camera; `nowMs` is the server's clock. */
  update(camera, nowMs) {
    if (this.#mode === "stream") this.#feed.check(camera.frames, camera.viewers);
    if (this.#mode === "live" && camera.frames > this.#frames) this.#live.check(this.#canvas);
    // Of an answer's pictures some may have been painted before it came, of the next answer's none.
    if (camera.frames > this.#frames) this.#owedAt = this.#answeredAt;
    this.#answeredAt = performance.now();
    this.#frames = camera.frames;
    this.#own = camera.width ? { width: camera.width, height: camera.height } : null;
    this.become(camera, nowMs);
  }

  /** The camera is in another state, and its figures are as they were. */
  become(camera, nowMs) {
    this.#veil.hidden = true;
    this.#said = { camera, nowMs, saidAt: performance.now() };
    this.#tell(camera, nowMs, this.#owedAt > this.#canvas.paintedAt);
  }

  /** Nothing was said of the camera for a while: what is seen grows older, or does not. `isLate`: something should have been. */
  wait(isLate) {
    if (!this.#said) return;
    const { camera, nowMs, saidAt } = this.#said;
    this.#tell(camera, nowMs + performance.now() - saidAt, isLate || this.#owedAt > this.#canvas.paintedAt);
  }

  /** Whether the picture of a live camera has not changed for longer than is usual: worth asking what the server knows. */
  get isStanding() {
    return this.#said?.camera.state === "live" && this.#isStalled(this.#said.camera);
  }

  /** `mayStall`: a picture that stands is not all that the camera has, as far as is known. */
  #tell(camera, nowMs, mayStall) {
    const isStalled = mayStall && camera.state === "live" && this.#isStalled(camera);
    const state = isStalled ? "stalled" : camera.state;
    setState(this.#state, state);
    this.#picture.classList.toggle("stalled", isStalled);
    const spoken = [stateWord(state), camera.reason, this.#refusal].filter(Boolean).join(". ");
    setText(this.#spoken, spoken);
    this.#canvas.label = visible(`Picture of ${camera.name}: ${spoken}`);
    const figures = camera.state === "live" ? this.#measured(camera, nowMs, isStalled) : [];
    setText(this.#figures, figures.filter(Boolean).join(" · "));
    const reason = trouble(camera, nowMs);
    this.#reason.hidden = reason === "";
    setText(this.#reason, reason);
    const shown = visible(reason);
    if (this.#reason.title !== shown) this.#reason.title = shown;
  }

  /** Whether pictures of a live camera do not come to this canvas; of an image nobody can tell so soon. */
  #isStalled(camera) {
    if (this.#mode !== "live" || !this.#canvas.isShown) return false;
    const standsMs = performance.now() - Math.max(this.#canvas.paintedAt, this.#shownAt);
    const fps = Math.min(camera.fps ?? 0, this.#canvas.fps ?? Infinity);
    return standsMs > (fps > 0 ? Math.max(STALLED_MS, (STALLED_INTERVALS * 1000) / fps) : STALLED_UNKNOWN_MS);
  }

  /** The server does not answer: whatever is on the screen is not live. */
  down() {
    this.#said = null;
    this.#picture.classList.remove("stalled");
    setState(this.#state, "unreachable");
    setText(this.#spoken, stateWord("unreachable"));
    this.#canvas.label = `Picture of ${this.name}: ${stateWord("unreachable")}`;
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
      image.onload = () => {
        image.classList.add("seen");
        URL.revokeObjectURL(image.src);
      };
      this.#picture.append(image);
      this.#still = { image };
    }
    Object.assign(this.#still, { gotAt: now, takenAtMs, gapMs });
    this.#still.image.src = URL.createObjectURL(blob);
  }

  /** How often the picture comes, and how old it is, of what is seen here. */
  #measured(camera, nowMs, isStalled) {
    if (this.#mode === "live" && this.#canvas.isShown) {
      const { fps, takenAtMs } = this.#canvas;
      const isBehind = fps !== null && fps < KEEPS_UP * camera.fps;
      return [isStalled ? "" : rate(isBehind ? fps : camera.fps), age(nowMs - takenAtMs)];
    }
    if (this.#mode !== "snapshots") return [rate(camera.fps), age(camera.age_ms)];
    if (!this.#still) return [];
    const { gotAt, takenAtMs, gapMs } = this.#still;
    const ageMs = takenAtMs === null ? Date.now() - gotAt : nowMs - takenAtMs;
    return [gapMs === null ? "" : slowRate(gapMs), age(ageMs)];
  }

  /** Says `message` in place of a picture; nothing takes it back. */
  #refuse(message) {
    this.#refusal = message;
    setText(this.#waiting, message || WAITING);
  }

  #dropImages() {
    this.#refuse("");
    this.#feed.stop();
    this.#dropStill();
  }

  #dropStill() {
    this.#still?.image.remove();
    this.#still = null;
  }
}
