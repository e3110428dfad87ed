// The picture on the page of one camera: a stream in an `<img>`, or for coded video what `live_stage.js` gets over a
// WebSocket. That file is loaded only for a camera that sends coded video.

import { address } from "./api.js";
import { sendsVideo, VIDEO_NEEDS_SOCKET } from "./format.js";
import { MjpegImage } from "./mjpeg_image.js";

export class Stage {
  #name;
  #label;
  #mjpegImage;
  #live = null;
  #isLoading = false;
  #mode = "off";
  // The camera's data in the last answer.
  #last = null;

  /** Called with the server's reason when it refuses the picture, and without one when it no longer does. */
  onRefused = () => {};

  /** `element` holds the picture of the camera `name`, whose addresses begin with `path`. */
  constructor(element, name, path) {
    this.element = element;
    this.#name = name;
    this.#label = `Picture of ${name}`;
    this.#mjpegImage = new MjpegImage(element, address(`${path}/stream.mjpg`), this.#label);
    this.#mjpegImage.onRefused = (message) => this.onRefused(message);
  }

  /** As `StreamScheduler` wants: `stream`, `held` (unchanged while the server is away) or `off`. */
  setMode(mode) {
    this.#mode = mode;
    this.#assign();
  }

  /** The API has answered; `isFresh` when the connection may be dead. */
  update(camera, isFresh) {
    const hasMore = camera.frames > (this.#last?.frames ?? 0);
    this.#last = camera;
    this.#mjpegImage.check(camera.frames, camera.viewers);
    if (isFresh) this.#live?.refresh();
    this.#live?.check(hasMore);
    this.#assign();
  }

  /** The server does not know the camera: shows nothing until the next answer. */
  stop() {
    this.#last = null;
    this.#mjpegImage.stop();
    this.#live?.stop();
  }

  /** The age of the visible picture at `nowMs` of the server's clock; null if only the server knows it. */
  ageMs(nowMs) {
    const takenAtMs = this.#isLive ? (this.#live?.takenAtMs ?? null) : null;
    return takenAtMs === null ? null : nowMs - takenAtMs;
  }

  /** How coded video is shown, and why not in a better way; empty for other cameras. */
  get manner() {
    if (!this.#last?.video) return "";
    if (!this.#isLive) return VIDEO_NEEDS_SOCKET;
    return this.#live ? [this.#live.manner, this.#live.stream].filter(Boolean).join("; ") : "";
  }

  /** The number of frames that the server skipped, because the link or this page was too slow. */
  get dropped() {
    return this.#live?.dropped ?? 0;
  }

  get #isLive() {
    return this.#last !== null && sendsVideo(this.#last) && (this.#live?.isUsable ?? true);
  }

  #assign() {
    // Before the first answer, it is not known what the camera sends.
    if (this.#mode === "held" || this.#last === null) return;
    const isOff = this.#mode !== "stream";
    if (isOff || this.#isLive) this.#mjpegImage.stop();
    else this.#mjpegImage.start();
    // While no WebSocket can be opened, the page tries now and then.
    if (isOff || !sendsVideo(this.#last)) this.#live?.stop();
    else if (this.#live) this.#live.start();
    else this.#load();
  }

  async #load() {
    if (this.#isLoading) return;
    this.#isLoading = true;
    try {
      const { LiveStage } = await import("./live_stage.js");
      this.#live = new LiveStage(this.element, this.#name, this.#label);
      this.#live.onRefused = (message) => this.onRefused(message);
      this.#live.onChange = () => this.#assign();
      this.#assign();
    } catch {
      // The next answer of the API is the next attempt.
    }
    this.#isLoading = false;
  }
}
