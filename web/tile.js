// One camera on the page of all cameras: its picture, name, state, rate and age; its name is a link that covers the
// tile. `app.js` tells it what to show, and `streams.js` how to get its picture.

import { address } from "./api.js";
import { Canvas, loadPlayer } from "./canvas.js";
import { MjpegImage } from "./mjpeg_image.js";
import { age, rate, formatSlowRate, shownState, stateLabel, reasonText, sendsVideo, visible, VIDEO_NEEDS_SOCKET } from "./format.js";

// On a wall, a sharper picture looks hardly different, and costs at least four times as much.
const MAX_PIXEL_RATIO = 2;
// If a picture has to be stretched by less than this, the next size is not worth it.
const STRETCH = 1.06;
// Below this share of the camera's rate, a tile shows its own rate instead of the camera's.
const KEEPS_UP = 0.9;
// Standard widths, so that all screens together share few renditions of a camera.
const WIDTHS = [320, 480, 640, 960, 1280, 1920, 2560, 3840];
// A live picture stalls when none comes for this long and for this many of the usual intervals; while its rate is
// unknown, it may be a slow camera.
const STALLED_MS = 2000;
const STALLED_INTERVALS = 3;
const STALLED_UNKNOWN_MS = 5000;
const WAITING = "Waiting for a picture";

let made = 0;

/** `<tag class=… >` with `children`; hidden characters in text among them are made visible. */
export function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children.map((child) => (child instanceof Node ? child : visible(child))));
  return element;
}

/**
 * What is visible until a picture covers it. Screen readers would read it even then, so it is hidden from them; they
 * get the state.
 */
export function waiting() {
  const element = make("span", "waiting", WAITING);
  element.setAttribute("aria-hidden", "true");
  return element;
}

/** Writes `text`, with hidden characters made visible, only when it differs, to avoid a needless layout. */
export function setText(element, text) {
  const shown = visible(text);
  if (element.textContent !== shown) element.textContent = shown;
}

/** Shows `state` as a colour (by `data-state`) and a word. */
export function setState(element, state) {
  if (element.dataset.state !== state) element.dataset.state = state;
  setText(element, stateLabel(state));
}

export class Tile {
  #picture = make("div", "picture");
  #link = make("a", "name");
  // The link's description for screen readers; it must not include the running figures.
  #spoken = make("span", "");
  #state = make("span", "state");
  #figures = make("span", "figures");
  #reason = make("p", "reason");
  #veil = make("p", "veil");
  #waiting = waiting();
  #mjpegImage;
  #live;
  #canvas = new Canvas(this.#picture);
  #mode = "off";
  // What `setMode` wished for the mode `live`.
  #wish = {};
  #still = null;
  #frames = 0;
  // When the page requested pictures, by `performance.now()`.
  #shownAt = 0;
  // When the API last answered, and since when it has reported pictures that are missing here.
  #answeredAt = 0;
  #owedAt = 0;
  // The API's last data, while it answers.
  #said = null;
  // Why the server refuses this page the pictures.
  #refusal = "";
  // The camera's own size, once it is known.
  #own = null;
  #isVideo;

  /** `live` is the connection that all tiles share; with `isBare` there is only the picture, and no link. */
  constructor(camera, live, { isBare = false } = {}) {
    this.#live = live;
    this.name = camera.name;
    this.#isVideo = sendsVideo(camera);
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
    // If this fails, the canvas tries again.
    if (this.#isVideo && this.#canvas.ask.video) loadPlayer().catch(() => {});
    this.#mjpegImage = new MjpegImage(this.#picture, address(camera.stream), label);
    this.#canvas.onShown = () => this.#dropImages();
    this.#canvas.onAsk = () => this.#mode === "live" && this.#live.show(this.#canvas, this.#request());
    this.#canvas.onRestart = () => this.#live.restart(this.#canvas);
    this.#canvas.onRefused = this.#mjpegImage.onRefused = (message) => this.#refuse(message);
  }

  /**
   * `live` (over the shared connection, as `wish` says), `paused` (keeps its picture, gets no new one), `stream`,
   * `snapshots`, `held` (unchanged while the server is away) or `off`.
   */
  setMode(mode, wish) {
    if (mode === "live") {
      this.#wish = wish;
      this.#live.show(this.#canvas, this.#request());
    }
    if (mode === this.#mode) return;
    this.#mode = mode;
    this.#shownAt = performance.now();
    if (mode === "held") return;
    if (mode === "live" || mode === "paused") {
      if (mode === "paused") {
        this.#live.hide(this.#canvas);
        this.#canvas.pause();
      }
      // The canvas covers the previous image with its first picture, not before.
      if (this.#canvas.isShown) this.#dropImages();
      return;
    }
    this.#live.hide(this.#canvas);
    this.#canvas.clear();
    this.#refuse("");
    if (mode === "stream") {
      this.#dropStill();
      this.#mjpegImage.start();
    } else {
      this.#mjpegImage.stop();
      if (mode === "off") this.#dropStill();
    }
  }

  #request() {
    return { camera: this.name, ...this.#size(), ...this.#wish, ...this.#canvas.ask };
  }

  /**
   * The smallest standard width that fills the picture's space on this screen; nothing if the camera has no more than
   * that.
   */
  #size() {
    const { clientWidth, clientHeight } = this.#picture;
    const scale = Math.min(devicePixelRatio, MAX_PIXEL_RATIO) / STRETCH;
    // In a space that is too wide, the height limits the width of the picture.
    const shape = this.#own ? this.#own.width / this.#own.height : Infinity;
    const needed = Math.min(clientWidth, clientHeight * shape) * scale;
    const width = WIDTHS.find((usual) => usual >= needed);
    return width === undefined || width >= this.#own?.width ? {} : { width };
  }

  /** Shows the API's data of the camera; `nowMs` is the server's clock. */
  update(camera, nowMs) {
    if (this.#mode === "stream") this.#mjpegImage.check(camera.frames, camera.viewers);
    if (this.#mode === "live" && camera.frames > this.#frames) this.#live.check(this.#canvas);
    // Some of an answer's pictures may have been painted before it came, but none of the next answer's.
    if (camera.frames > this.#frames) this.#owedAt = this.#answeredAt;
    this.#answeredAt = performance.now();
    this.#frames = camera.frames;
    this.#isVideo = sendsVideo(camera);
    const { width, height } = camera.own ?? camera;
    this.#own = width ? { width, height } : null;
    this.setCamera(camera, nowMs);
  }

  /** Whether the camera sends coded video, for which the tile needs the shared connection. */
  get isVideo() {
    return this.#isVideo;
  }

  /** The state of the camera has changed, and its figures have not. */
  setCamera(camera, nowMs) {
    this.#veil.hidden = true;
    this.#said = { camera, nowMs, saidAt: performance.now() };
    this.#tell(camera, nowMs, this.#owedAt > this.#canvas.paintedAt);
  }

  /** No data has come for a while: the visible picture grows older, or does not. `isLate`: data is overdue. */
  wait(isLate) {
    if (!this.#said) return;
    const { camera, nowMs, saidAt } = this.#said;
    this.#tell(camera, nowMs + performance.now() - saidAt, isLate || this.#owedAt > this.#canvas.paintedAt);
  }

  /**
   * Whether the page should poll the server: a live camera's picture has not changed for longer than usual, or the tile
   * waits for a sub stream, of which no event tells.
   */
  get isStale() {
    const camera = this.#said?.camera;
    if (camera?.sub && camera.state === "idle") return this.#mode === "live";
    return camera?.state === "live" && this.#isStalled(camera);
  }

  /** `mayStall`: the camera may have newer pictures than the visible one. */
  #tell(camera, nowMs, mayStall) {
    const isStalled = mayStall && camera.state === "live" && this.#isStalled(camera);
    const state = isStalled ? "stalled" : shownState(camera);
    setState(this.#state, state);
    this.#picture.classList.toggle("stalled", isStalled);
    const note = camera.video && camera.state === "live" ? this.#note : "";
    const spoken = [stateLabel(state), camera.reason, this.#refusal, note].filter(Boolean).join(". ");
    setText(this.#spoken, spoken);
    this.#canvas.label = visible(`Picture of ${camera.name}: ${spoken}`);
    const figures = camera.state === "live" ? this.#measured(camera, nowMs, isStalled) : [];
    setText(this.#figures, figures.filter(Boolean).join(" · "));
    const reason = reasonText(camera, nowMs) || note;
    this.#reason.hidden = reason === "";
    setText(this.#reason, reason);
    const shown = visible(reason);
    if (this.#reason.title !== shown) this.#reason.title = shown;
  }

  /** Why a camera with coded video is shown as pictures; empty if it is not. */
  get #note() {
    return this.#mode === "live" || this.#mode === "paused" ? this.#canvas.note : VIDEO_NEEDS_SOCKET;
  }

  /** Whether pictures of a live camera fail to reach this canvas; for an image this cannot be known so soon. */
  #isStalled(camera) {
    if (this.#mode !== "live" || !this.#canvas.isShown) return false;
    const standsMs = performance.now() - Math.max(this.#canvas.paintedAt, this.#shownAt);
    const fps = Math.min(camera.fps ?? 0, this.#canvas.fps ?? Infinity);
    return standsMs > (fps > 0 ? Math.max(STALLED_MS, (STALLED_INTERVALS * 1000) / fps) : STALLED_UNKNOWN_MS);
  }

  /** The server does not answer: no picture on the screen is live. */
  down() {
    this.#said = null;
    this.#picture.classList.remove("stalled");
    setState(this.#state, "unreachable");
    setText(this.#spoken, stateLabel("unreachable"));
    this.#canvas.label = `Picture of ${this.name}: ${stateLabel("unreachable")}`;
    setText(this.#figures, "");
    this.#reason.hidden = true;
    setText(this.#veil, "Server unreachable. Trying again.");
    this.#veil.hidden = false;
  }

  /** Shows a snapshot with its capture time by the server's clock (null when unknown). */
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

  /** The rate and the age of the pictures shown here. */
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
    return [gapMs === null ? "" : formatSlowRate(gapMs), age(ageMs)];
  }

  /** Shows `message` instead of a picture, permanently. */
  #refuse(message) {
    this.#refusal = message;
    setText(this.#waiting, message || WAITING);
  }

  #dropImages() {
    this.#refuse("");
    this.#mjpegImage.stop();
    this.#dropStill();
  }

  #dropStill() {
    this.#still?.image.remove();
    this.#still = null;
  }
}
