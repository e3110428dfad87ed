// Viewers that stay: each reads a stream to the end of its check, and records what it received.

import { jpegSize, readStream } from "./multipart.mjs";
import { until } from "./wait.mjs";

/**
 * One viewer of the stream at `url`. `parts` keeps `{ at, isSlate, data }` of the last `kept` parts; `headers` are
 * those of its request.
 */
export class Viewer {
  parts = [];
  /** Pictures of the camera, and slates. */
  pictures = 0;
  slates = 0;
  /** When the last part of each kind came, in milliseconds since the epoch. */
  pictureAt = 0;
  slateAt = 0;
  /** Why it was disconnected; null while it is connected. */
  ended = null;
  #reader;

  constructor(stage, url, kept = 50, headers = {}) {
    this.#reader = readStream(url, ({ headers, data }) => {
      const at = Date.now();
      const isSlate = "x-framecast-notice" in headers;
      if (isSlate) {
        this.slates += 1;
        this.slateAt = at;
      } else {
        this.pictures += 1;
        this.pictureAt = at;
      }
      this.parts.push({ at, isSlate, data });
      if (this.parts.length > kept) this.parts.shift();
    }, headers);
    this.#reader.done.then(
      () => (this.ended ??= "the stream ended"),
      (error) => (this.ended ??= error.message),
    );
    stage.defer(() => this.#reader.stop());
  }

  leave() {
    this.#reader.stop();
  }

  /** The newest picture of the camera. */
  get picture() {
    return this.parts.findLast(({ isSlate }) => !isSlate)?.data;
  }

  /** Width and height of the newest picture of the camera, as "640x480". */
  get size() {
    const { width, height } = jpegSize(this.picture);
    return `${width}x${height}`;
  }

  /** Waits for `count` more pictures of the camera. */
  async more(count, withinMs = 30000) {
    const goal = this.pictures + count;
    await this.until(`${count} more pictures`, () => this.pictures >= goal, withinMs);
  }

  /** Waits until `probe` holds; fails at once when the viewer is disconnected. */
  async until(what, probe, withinMs = 30000) {
    await until(what, () => this.ended !== null || probe(), { withinMs, everyMs: 20 });
    if (this.ended !== null) throw new Error(`a viewer was disconnected: ${this.ended}`);
  }
}

/** A snapshot: `{ status, data }`. */
export async function snapshot(framecast, camera, query = "") {
  const response = await fetch(`${framecast.url}/cameras/${camera}/snapshot.jpg${query}`);
  return { status: response.status, data: Buffer.from(await response.arrayBuffer()) };
}
