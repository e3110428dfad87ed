// The worker of `decoder_player.js`, for all tiles of a page: decodes coded video by WebCodecs as it comes, and paints
// the newest frame onto the tile's canvas, or hands it to the track of the tile's `<video>`. At first comes all video
// since the last keyframe. Its first frame is painted at once, and then none before the newest ones are decoded.

import { readConfiguration, readFragment } from "./fragment.js";

// The decoder has so many frames to decode at most. The others wait here, where they can be skipped.
const AHEAD = 4;
// A frame that is so far behind the newest that came is decoded, but not painted, unless none was for `STILL_MS`.
const CATCH_UP_S = 0.25;
const STILL_MS = 1000;
// Frames that are not shown in the order of decoding come out two or three at once. Each is painted.
const MAX_READY = 3;
// If frames wait until they are so far behind, they are skipped as soon as there is a newer keyframe.
const LATE_S = 0.5;
const MAX_QUEUE_BYTES = 32 << 20;
// If video comes and none is decoded for this long, something is wrong.
const PATIENCE_MS = 2000;
// After such a pause, the video has only just begun to come.
const PAUSE_MS = 1000;
// After an error, the decoder waits for the next keyframe for so long. A second error within `TRIAL_MS` is final.
const KEYFRAME_WAIT_MS = 5000;
const TRIAL_MS = 10000;
// If what is decoded is late for so long, or frames have to be skipped twice within so long, this machine is too slow.
const TOO_LATE_MS = 5000;
const SKIPS_MS = 15000;
// Times are compared with this tolerance, because of their rounding.
const TOLERANCE_S = 0.002;

// A decoder that works on more frames than this has left out some.
const MAX_IN_DECODER = 64;

// The page lets one tile after the other give up.
const TOO_SLOW = { failed: { kind: "slow" } };

const nextFrame = self.requestAnimationFrame ?? ((paint) => setTimeout(paint));
const tiles = new Map();
const due = new Set();
let isPainting = false;

/** Paints with the next frame of the screen, so that no frame is painted in vain. */
function paintSoon(tile) {
  due.add(tile);
  if (isPainting) return;
  isPainting = true;
  nextFrame(() => {
    isPainting = false;
    const all = [...due];
    due.clear();
    for (const one of all) one.paint();
  });
}

class Tile {
  #canvas = null;
  #context = null;
  #writer = null;
  #report;
  #codec = "";
  #config = null;
  #decoder = null;
  // Counts the decoders: what an earlier one brings is discarded.
  #turn = 0;
  // What is to be decoded: `readFragment`'s result with `{ place, takenAtMs, isKeyframe }`.
  #queue = [];
  #queuedBytes = 0;
  // What the decoder works on, by the timestamp that it hands on.
  #inDecoder = new Map();
  // Decoded frames before which others may be shown; and those to be painted next. Both are in the order of showing.
  #waiting = [];
  #ready = [];
  #maxReady = 1;
  #needsKeyframe = true;
  // Whether the next frame is painted although newer ones have come.
  #isFirst = true;
  // In seconds of the stream: when the newest frame that came is shown, and up to where frames are decoded.
  #newest = -Infinity;
  #decodedAt = -Infinity;
  // By `performance.now()`.
  #cameAt = -Infinity;
  #owedAt = 0;
  #paintedAt = -Infinity;
  #failedAt = -Infinity;
  #lateSince = null;
  #skippedAt = -Infinity;
  #hasDecoded = false;

  /** `sink` is a canvas, or the stream of a track; `report` passes on what the page should know. */
  constructor(sink, report) {
    if (sink instanceof OffscreenCanvas) {
      this.#canvas = sink;
      this.#context = sink.getContext("2d", { alpha: false });
    } else this.#writer = sink.getWriter();
    this.#report = report;
  }

  begin(codec) {
    this.#codec = codec;
  }

  take({ bytes, place, takenAtMs, isInit, isKeyframe }) {
    if (isInit) {
      this.#configure(readConfiguration(bytes));
      return;
    }
    if (!this.#config || !this.#watch() || (this.#needsKeyframe && !isKeyframe)) return;
    const fragment = readFragment(bytes);
    if (fragment === null) return;
    this.#needsKeyframe = false;
    this.#newest = Math.max(this.#newest, fragment.shownAt);
    if (fragment.shownAt > fragment.decodedAt + TOLERANCE_S) this.#maxReady = MAX_READY;
    if (isKeyframe && this.#queue.length > 0 && fragment.shownAt - this.#queue[0].shownAt > LATE_S) this.#dropQueue();
    this.#queue.push({ ...fragment, place, takenAtMs, isKeyframe });
    this.#queuedBytes += fragment.content.length;
    if (this.#queuedBytes > MAX_QUEUE_BYTES) {
      this.#dropQueue();
      this.#needsKeyframe = true;
    }
    this.#decode();
  }

  /** Stops decoding, and holds no frame any more; the last picture stays. */
  rest() {
    this.#close();
    this.#config = null;
    this.#queue = [];
    this.#queuedBytes = 0;
    for (const { frame } of [...this.#waiting.splice(0), ...this.#ready.splice(0)]) frame.close();
  }

  close() {
    this.rest();
    this.#writer?.close().catch(() => {});
  }

  paint() {
    if (this.#ready.length === 0) return;
    const { frame, piece } = this.#ready.shift();
    // The track closes the frame. It ends with the tile.
    if (this.#writer) this.#writer.write(frame).catch(() => {});
    else this.#draw(frame);
    this.#paintedAt = performance.now();
    this.#report({ shown: { place: piece.place, takenAtMs: piece.takenAtMs } });
    if (this.#ready.length > 0) paintSoon(this);
  }

  #draw(frame) {
    const { displayWidth: width, displayHeight: height } = frame;
    if (this.#canvas.width !== width || this.#canvas.height !== height) Object.assign(this.#canvas, { width, height });
    this.#context.drawImage(frame, 0, 0, width, height);
    frame.close();
  }

  async #configure(description) {
    this.rest();
    if (description === null) return;
    this.#config = { codec: this.#codec, description, optimizeForLatency: true };
    this.#cameAt = this.#newest = this.#decodedAt = -Infinity;
    this.#lateSince = null;
    this.#isFirst = this.#needsKeyframe = true;
    this.#hasDecoded = false;
    this.#maxReady = 1;
    const turn = this.#turn;
    const { supported } = await VideoDecoder.isConfigSupported(this.#config).catch(() => ({ supported: false }));
    if (turn !== this.#turn) return;
    if (supported) this.#open();
    else this.#giveUp({ kind: "codec" });
  }

  #open() {
    const turn = this.#turn;
    this.#decoder = new VideoDecoder({
      output: (frame) => (turn === this.#turn ? this.#accept(frame) : frame.close()),
      error: ({ message }) => turn === this.#turn && this.#fail(message),
    });
    this.#decoder.ondequeue = () => turn === this.#turn && this.#decode();
    this.#decoder.configure(this.#config);
    this.#decode();
  }

  #close() {
    this.#turn += 1;
    if (this.#decoder && this.#decoder.state !== "closed") this.#decoder.close();
    this.#decoder = null;
    this.#inDecoder.clear();
  }

  #dropQueue() {
    const now = performance.now();
    this.#report({ skipped: this.#queue.length, ...(now - this.#skippedAt < SKIPS_MS ? TOO_SLOW : {}) });
    this.#skippedAt = now;
    this.#queue = [];
    this.#queuedBytes = 0;
  }

  #decode() {
    while (this.#decoder && this.#queue.length > 0 && this.#decoder.decodeQueueSize < AHEAD) {
      const piece = this.#queue.shift();
      this.#queuedBytes -= piece.content.length;
      const timestamp = Math.round(piece.shownAt * 1e6);
      this.#inDecoder.set(timestamp, piece);
      if (this.#inDecoder.size > MAX_IN_DECODER) this.#inDecoder.delete(this.#inDecoder.keys().next().value);
      const type = piece.isKeyframe ? "key" : "delta";
      this.#decoder.decode(new EncodedVideoChunk({ type, timestamp, data: piece.content }));
    }
  }

  /** A frame is decoded. It has its turn when all that are shown before it are decoded too. */
  #accept(frame) {
    const piece = this.#inDecoder.get(frame.timestamp);
    this.#inDecoder.delete(frame.timestamp);
    if (!piece) {
      frame.close();
      return;
    }
    this.#owedAt = performance.now();
    this.#hasDecoded = true;
    this.#decodedAt = Math.max(this.#decodedAt, piece.decodedAt);
    this.#waiting.push({ frame, piece });
    this.#waiting.sort((a, b) => a.piece.shownAt - b.piece.shownAt);
    const count = this.#waiting.filter(({ piece: { shownAt } }) => shownAt <= this.#decodedAt + TOLERANCE_S).length;
    for (const ready of this.#waiting.splice(0, count)) this.#offer(ready);
    this.#decode();
  }

  #offer(ready) {
    const behind = this.#newest - ready.piece.shownAt;
    this.#judge(behind);
    const now = performance.now();
    if (!this.#isFirst && behind > CATCH_UP_S && now - this.#paintedAt < STILL_MS) {
      ready.frame.close();
      return;
    }
    this.#isFirst = false;
    this.#ready.push(ready);
    while (this.#ready.length > this.#maxReady) this.#ready.shift().frame.close();
    paintSoon(this);
  }

  #judge(behind) {
    const now = performance.now();
    if (behind < LATE_S) this.#lateSince = null;
    else this.#lateSince ??= now;
    if (now - (this.#lateSince ?? now) > TOO_LATE_MS) this.#report(TOO_SLOW);
  }

  /** A frame has come: returns whether frames are decoded too. */
  #watch() {
    const now = performance.now();
    if (now - this.#cameAt > PAUSE_MS) this.#owedAt = now;
    this.#cameAt = now;
    if (now - this.#owedAt < PATIENCE_MS) return true;
    this.#giveUp({ kind: "error", message: `nothing for ${PATIENCE_MS / 1000} s` });
    return false;
  }

  /** Goes on with the next keyframe, unless that is in vain. */
  #fail(message) {
    const now = performance.now();
    if (!this.#hasDecoded || now - this.#failedAt < TRIAL_MS) {
      this.#giveUp({ kind: "error", message });
      return;
    }
    this.#failedAt = now;
    this.#owedAt = now + KEYFRAME_WAIT_MS - PATIENCE_MS;
    this.#close();
    const keyframe = this.#queue.findIndex(({ isKeyframe }) => isKeyframe);
    const lost = this.#queue.splice(0, keyframe < 0 ? this.#queue.length : keyframe);
    this.#queuedBytes -= lost.reduce((sum, { content }) => sum + content.length, 0);
    this.#needsKeyframe = keyframe < 0;
    this.#open();
  }

  #giveUp(reason) {
    this.rest();
    this.#report({ failed: reason });
  }
}

self.onmessage = ({ data: { id, sink, codec, piece, isOver, isClosed } }) => {
  if (sink) tiles.set(id, new Tile(sink, (news) => self.postMessage({ id, ...news })));
  const tile = tiles.get(id);
  if (codec) tile?.begin(codec);
  if (piece) tile?.take(piece);
  if (isOver) tile?.rest();
  if (!isClosed) return;
  tile?.close();
  tiles.delete(id);
};
