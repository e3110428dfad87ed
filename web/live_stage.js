// The picture on the page of one camera that sends coded video: it comes over the WebSocket of `live.js`. The page
// loads this file only for such a camera; `stage.js` decides when it shows anything.

import { Canvas, loadPlayer } from "./canvas.js";
import { Live } from "./live.js";

export class LiveStage {
  #live = new Live();
  #canvas;
  #name;
  #isRunning = false;

  /** Called with the server's reason when it refuses the pictures, and without one when it no longer does. */
  onRefused = () => {};
  /** Called when `isUsable` may have changed. */
  onChange = () => {};

  /** `holder` is the element for the picture, `name` that of the camera, and `label` the text for screen readers. */
  constructor(holder, name, label) {
    this.#name = name;
    this.#canvas = new Canvas(holder);
    this.#canvas.label = label;
    // If this fails, the canvas tries again.
    if (this.#canvas.ask.video) loadPlayer().catch(() => {});
    this.#canvas.onShown = () => this.onRefused("");
    this.#canvas.onRefused = (message) => this.onRefused(message);
    this.#canvas.onAsk = () => this.#ask();
    this.#canvas.onRestart = () => this.#live.restart(this.#canvas);
    this.#live.onChange = () => this.onChange();
  }

  /** Whether a WebSocket reaches the server, or soon will. */
  get isUsable() {
    return this.#live.isUsable;
  }

  /** The capture time of the visible picture, in milliseconds of the server's clock; null when none is visible. */
  get takenAtMs() {
    return this.#canvas.takenAtMs;
  }

  /** How the camera is shown, in words; empty while nothing is. */
  get manner() {
    const { codec, isShown, means, note } = this.#canvas;
    return codec && isShown ? `${codec} video, as the camera sends it, ${means}` : note;
  }

  /** The number of frames that the server skipped. */
  get dropped() {
    return this.#canvas.dropped;
  }

  /** Which stream of the camera is shown, in words; empty for the main stream, and while pictures are shown. */
  get stream() {
    const { codec, isShown, stream } = this.#canvas;
    return codec && isShown ? stream : "";
  }

  start() {
    this.#isRunning = true;
    this.#live.want(true);
    this.#ask();
  }

  /** Closes the connection and removes the picture from the page. */
  stop() {
    if (!this.#isRunning) return;
    this.#isRunning = false;
    this.#live.hide(this.#canvas);
    this.#live.want(false);
    this.#canvas.clear();
    this.onRefused("");
  }

  /** Opens the connection again, which may be dead. */
  refresh() {
    this.#live.refresh();
  }

  /** Call this with each answer of the API: whether the camera has delivered more since the last one. */
  check(hasMore) {
    if (!this.#isRunning) return;
    if (hasMore) this.#live.check(this.#canvas);
    this.#ask();
  }

  #ask() {
    if (this.#isRunning) this.#live.show(this.#canvas, { camera: this.#name, adapt: true, ...this.#canvas.ask });
  }
}
