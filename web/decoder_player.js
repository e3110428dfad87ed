// Coded video, decoded by WebCodecs. `decoder_worker.js` does that for all tiles of the page; this file passes on to it
// what comes, and tells `video_ladder.js` when it cannot. Where the browser has a way to do so (Chromium), a `<video>`
// shows the frames at once: without a GPU, that costs half as much as a canvas, which shows them elsewhere.

// More decoders than this would use up those of the hardware, and much memory.
const MAX_PLAYERS = 16;
// Another way is taken for so long: after a failure, and if the machine is too slow.
const VIDEO_AGAIN_MS = 60000;
const SLOW_AGAIN_MS = 300000;
// If what is decoded is late, one player at a time gives up, because that may be enough for the others.
const TURN_MS = 2000;
const CANNOT_LOAD = "this page cannot load its decoder";

const Generator = self.MediaStreamTrackGenerator;

const players = new Map();
let worker = null;
let lastId = 0;
let gaveUpAt = -Infinity;

function startWorker() {
  if (worker !== null) return;
  worker = new Worker(new URL("./decoder_worker.js", import.meta.url), { type: "module" });
  worker.onmessage = ({ data: { id, ...news } }) => players.get(id)?.hear(news);
  worker.onerror = ({ message }) => {
    const all = [...players.values()];
    endWorker();
    for (const player of all) player.hear({ failed: { kind: "worker", message } });
  };
}

function endWorker() {
  worker?.terminate();
  worker = null;
  players.clear();
}

/** Why this page cannot use WebCodecs; empty if it can. */
export const LACKING = look();

function look() {
  if (!self.isSecureContext) return "this page is not on HTTPS or localhost, and browsers have WebCodecs only there";
  if (!self.VideoDecoder || !self.OffscreenCanvas) return "this browser has no WebCodecs";
  try {
    // It takes a while, and the first video comes soon.
    startWorker();
    return "";
  } catch {
    return CANNOT_LOAD;
  }
}

export class DecoderPlayer {
  #canvas;
  #element = document.createElement(Generator ? "video" : "canvas");
  #id = (lastId += 1);
  #codec = "";
  #type = "";
  #onFailure;

  /** Whether there is room for another one, and what to say if there is not. */
  static get isFree() {
    return players.size < MAX_PLAYERS;
  }

  static FULL = `this page decodes ${MAX_PLAYERS} videos already`;

  /**
   * `canvas` learns of each frame that is shown; `holder` is the element for the video; `onFailure` is called with
   * `{ reason, forMs, lacks, isSlow }`: why, and for how long another way is to be taken; the type of video that the
   * browser lacks; and whether the machine is too slow.
   */
  constructor(canvas, holder, onFailure) {
    this.#canvas = canvas;
    this.#onFailure = onFailure;
    this.#element.className = "video";
    holder.append(this.#element);
    players.set(this.#id, this);
    startWorker();
    const sink = this.#makeSink();
    worker.postMessage({ id: this.#id, sink }, [sink]);
  }

  /** What the worker shows frames with: a canvas, or the track of a `<video>`. */
  #makeSink() {
    const element = this.#element;
    if (!Generator) {
      element.setAttribute("role", "img");
      return element.transferControlToOffscreen();
    }
    const track = new Generator({ kind: "video" });
    Object.assign(element, { muted: true, playsInline: true, disablePictureInPicture: true, tabIndex: -1 });
    element.srcObject = new MediaStream([track]);
    element.play().catch(({ name }) => name === "NotAllowedError" && this.#fail({ kind: "error", message: name }));
    return track.writable;
  }

  set label(text) {
    this.#element.setAttribute("aria-label", text);
  }

  /** The server announces video, or video of another format. */
  begin({ content_type: type, codec }) {
    this.#codec = codec;
    this.#type = type;
    this.#send({ codec: /codecs="([^"]*)"/.exec(type)?.[1] ?? "" });
  }

  /** An init segment or a fragment: `{ bytes, place, takenAtMs, isInit, isKeyframe }`. */
  take(piece) {
    this.#send({ piece }, [piece.bytes.buffer]);
  }

  /** No video comes for a while. */
  rest() {
    this.#send({ isOver: true });
  }

  /** Removes the video from the page. */
  close() {
    this.#element.srcObject = null;
    this.#element.remove();
    if (!players.delete(this.#id)) return;
    this.#send({ isClosed: true });
    if (players.size === 0) endWorker();
  }

  #send(message, transfer = []) {
    worker?.postMessage({ id: this.#id, ...message }, transfer);
  }

  /** What the worker reports. */
  hear({ shown, skipped, failed }) {
    if (skipped) this.#canvas.dropped += skipped;
    if (failed) this.#fail(failed);
    if (!shown) return;
    this.#element.className = "video seen";
    this.#canvas.showFrame(shown, this.#codec);
  }

  #fail({ kind, message }) {
    const now = performance.now();
    if (kind === "slow" && now - gaveUpAt < TURN_MS) return;
    if (kind === "slow") gaveUpAt = now;
    if (message !== undefined) console.warn(`WebCodecs has stopped with the ${this.#codec} video: ${message}.`);
    this.#onFailure({
      codec: { reason: `WebCodecs of this browser lacks ${this.#codec}`, forMs: 0, lacks: this.#type },
      slow: { reason: `this machine is too slow for all the ${this.#codec} video`, forMs: SLOW_AGAIN_MS, isSlow: true },
      error: { reason: `WebCodecs of this browser has failed with the ${this.#codec} video`, forMs: VIDEO_AGAIN_MS },
      worker: { reason: CANNOT_LOAD, forMs: VIDEO_AGAIN_MS },
    }[kind]);
  }
}
