// One WebSocket that carries the pictures and the coded video of all tiles. Each goes to its `Canvas`. A canvas reports
// when it has painted a picture; this acknowledges the picture to the server, which so never sends more than the page
// can show. Pieces of video are acknowledged as they come, many at once. It reconnects when the connection ends. If
// none can be opened (a proxy does not support upgrades), `isUsable` is false and `streams.js` shows the tiles in
// another way.

import { address } from "./api.js";
import { retryMs } from "./backoff.js";

const VERSION = 1;
const HEADER_BYTES = 16;
const FRAGMENT_FLAG = 2;
const INIT_FLAG = 4;
const KEYFRAME_FLAG = 8;
const TILE_NUMBERS = 65536;
const OPEN_LIMIT_MS = 4000;
const RETRY_FIRST_MS = 300;
const RETRY_LAST_MS = 120000;
// After a working connection is lost, the page waits about four seconds before it opens others in its place.
const MAX_FAILURES = 4;
const REFUSED_PAUSE_MS = 10000;
// If a camera delivers and no picture comes for this long, the connection is dead, even if it is still open.
const SILENT_MS = 8000;
const TRUSTED_MS = 2000;
// Pieces of video are acknowledged together, after this time.
const ACK_PAUSE_MS = 250;

const LIVE = Object.assign(new URL(address("api/live")), {
  protocol: location.protocol === "https:" ? "wss:" : "ws:",
}).href;

export class Live {
  #socket = null;
  #isOpen = false;
  #isWanted = false;
  // Each canvas to serve, with its request and its number at the server.
  #subscriptions = new Map();
  #canvases = new Map();
  // The newest piece of video of each tile that is not acknowledged: its sequence number, and when it came.
  #unacknowledged = new Map();
  #acknowledging = 0;
  #lastNumber = 0;
  #maxTiles = 0;
  #failures = 0;
  #hasWorked = false;
  #hasWarned = false;
  #timer = 0;
  #limit = 0;
  #lastMessageAt = 0;

  /** Called when `isUsable` may have changed. */
  onChange = () => {};

  /** Whether pictures come this way, or soon will. */
  get isUsable() {
    return this.#failures < (this.#hasWorked ? MAX_FAILURES : 1);
  }

  /** Opens the connection, or ends it so that the server sends nothing more to this page. */
  want(isWanted) {
    if (isWanted === this.#isWanted) return;
    this.#isWanted = isWanted;
    if (isWanted) this.#open();
    else this.#drop();
  }

  /** `ask` contains the camera and the wanted width, height, fps and priority. */
  show(canvas, ask) {
    const known = this.#subscriptions.get(canvas);
    const text = JSON.stringify(ask);
    if (known?.text === text) return;
    if (known) Object.assign(known, { ask, text });
    else this.#subscriptions.set(canvas, { ask, text, number: null, timer: 0, hasCome: true, owedSince: null });
    this.#subscribe(canvas);
  }

  hide(canvas) {
    const known = this.#subscriptions.get(canvas);
    if (!known) return;
    clearTimeout(known.timer);
    this.#subscriptions.delete(canvas);
    if (known.number === null) return;
    this.#canvases.delete(known.number);
    this.#unacknowledged.delete(known.number);
    if (this.#isOpen) this.#send({ type: "unsubscribe", tile: known.number });
  }

  /** Subscribes anew, so that the server begins with a keyframe. */
  restart(canvas) {
    const ask = this.#subscriptions.get(canvas)?.ask;
    if (!ask) return;
    this.hide(canvas);
    this.show(canvas, ask);
  }

  /** Reconnects after the server came back or was restarted, or this computer slept. */
  refresh() {
    if (!this.#isWanted || (this.#isOpen && Date.now() - this.#lastMessageAt < TRUSTED_MS)) return;
    this.#failures = 0;
    this.#drop();
    this.#open();
  }

  /** Call this whenever the camera of `canvas` has delivered more: its picture has arrived by now, or is overdue. */
  check(canvas) {
    const known = this.#subscriptions.get(canvas);
    if (!this.#isOpen || !known || known.number === null) return;
    const now = Date.now();
    if (known.hasCome) known.owedSince = null;
    else known.owedSince ??= now;
    known.hasCome = false;
    if (known.owedSince === null || now - Math.max(known.owedSince, this.#lastMessageAt) < SILENT_MS) return;
    this.#end(`no picture for ${SILENT_MS / 1000} s, although cameras deliver`);
  }

  #open() {
    this.#drop();
    let socket;
    try {
      socket = new WebSocket(LIVE);
    } catch (error) {
      this.#end(error.message);
      return;
    }
    this.#socket = socket;
    socket.binaryType = "arraybuffer";
    socket.onmessage = ({ data }) => (typeof data === "string" ? this.#onText(JSON.parse(data)) : this.#onBinary(data));
    socket.onclose = ({ code, reason }) => this.#end(reason || `closed with code ${code}`);
    this.#limit = setTimeout(() => this.#end(`no answer for ${OPEN_LIMIT_MS / 1000} s`), OPEN_LIMIT_MS);
  }

  /** Ends the connection without opening another one. */
  #drop() {
    clearTimeout(this.#timer);
    clearTimeout(this.#limit);
    clearTimeout(this.#acknowledging);
    this.#acknowledging = 0;
    this.#unacknowledged.clear();
    const socket = this.#socket;
    this.#socket = null;
    this.#isOpen = false;
    this.#canvases.clear();
    for (const known of this.#subscriptions.values()) {
      clearTimeout(known.timer);
      known.number = null;
    }
    if (!socket) return;
    // Browsers take their time over a closing handshake; messages that arrive meanwhile are useless.
    socket.onmessage = socket.onclose = null;
    socket.close();
  }

  #end(reason) {
    this.#drop();
    this.#failures += 1;
    if (!this.isUsable && !this.#hasWarned) {
      this.#hasWarned = true;
      console.warn(`No WebSocket to ${LIVE}: ${reason}. The page shows streams and snapshots instead, and tries again later.`);
    }
    this.#timer = setTimeout(() => this.#open(), retryMs(this.#failures, RETRY_FIRST_MS, RETRY_LAST_MS));
    this.onChange();
  }

  #onText(message) {
    if (message.type === "hello") this.#onHello(message);
    else if (message.type === "error") this.#onRefusal(message);
    else if (message.type === "video") this.#canvases.get(message.tile)?.beginVideo(message);
    else if (message.type === "dropped") {
      const canvas = this.#canvases.get(message.tile);
      if (canvas) canvas.dropped += message.frames;
      this.#acknowledgeVideo();
    }
  }

  #onHello({ version, max_tiles }) {
    clearTimeout(this.#limit);
    if (version !== VERSION) {
      this.#end(`the server speaks version ${version} of its protocol, this page version ${VERSION}`);
      return;
    }
    this.#isOpen = this.#hasWorked = true;
    this.#maxTiles = max_tiles;
    this.#lastMessageAt = Date.now();
    for (const canvas of this.#subscriptions.keys()) this.#subscribe(canvas);
    if (this.#failures === 0) return;
    this.#failures = 0;
    this.onChange();
  }

  #subscribe(canvas) {
    const known = this.#subscriptions.get(canvas);
    if (!this.#isOpen || !known) return;
    if (known.number === null) {
      if (this.#canvases.size >= this.#maxTiles) return;
      known.number = this.#freeNumber();
      known.hasCome = true;
      this.#canvases.set(known.number, canvas);
    }
    this.#send({ type: "subscribe", tile: known.number, ...known.ask });
  }

  /** A number that was not used recently: pictures on their way are not mistaken for those of another tile. */
  #freeNumber() {
    do this.#lastNumber = (this.#lastNumber + 1) % TILE_NUMBERS;
    while (this.#canvases.has(this.#lastNumber));
    return this.#lastNumber;
  }

  #onRefusal({ tile, message }) {
    const canvas = this.#canvases.get(tile);
    if (!canvas) return;
    this.#canvases.delete(tile);
    const known = this.#subscriptions.get(canvas);
    known.number = null;
    known.timer = setTimeout(() => this.#subscribe(canvas), REFUSED_PAUSE_MS);
    canvas.refuse(message);
  }

  #onBinary(data) {
    const receivedAt = performance.now();
    const header = new DataView(data);
    if (data.byteLength <= HEADER_BYTES || header.getUint8(0) !== VERSION) return;
    this.#lastMessageAt = Date.now();
    const number = header.getUint16(2);
    const sequence = header.getUint32(4);
    const microseconds = header.getUint32(8) * 2 ** 32 + header.getUint32(12);
    const canvas = this.#canvases.get(number);
    if (!canvas) return;
    this.#subscriptions.get(canvas).hasCome = true;
    const flags = header.getUint8(1);
    const takenAtMs = microseconds / 1000;
    const bytes = new Uint8Array(data, HEADER_BYTES);
    if ((flags & (FRAGMENT_FLAG | INIT_FLAG)) !== 0) {
      this.#acknowledgeSoon(number, sequence, receivedAt);
      const [isInit, isKeyframe] = [INIT_FLAG, KEYFRAME_FLAG].map((flag) => (flags & flag) !== 0);
      canvas.takeVideo({ bytes, takenAtMs, isInit, isKeyframe });
      return;
    }
    canvas.take({
      blob: new Blob([bytes], { type: "image/jpeg" }),
      takenAtMs,
      onPainted: () => this.#acknowledge(number, sequence, receivedAt),
    });
  }

  #acknowledgeSoon(tile, sequence, receivedAt) {
    this.#unacknowledged.set(tile, { sequence, receivedAt });
    if (this.#acknowledging === 0) this.#acknowledging = setTimeout(() => this.#acknowledgeVideo(), ACK_PAUSE_MS);
  }

  #acknowledgeVideo() {
    clearTimeout(this.#acknowledging);
    this.#acknowledging = 0;
    for (const [tile, { sequence, receivedAt }] of this.#unacknowledged) this.#acknowledge(tile, sequence, receivedAt);
    this.#unacknowledged.clear();
  }

  #acknowledge(tile, sequence, receivedAt) {
    if (!this.#isOpen || !this.#canvases.has(tile)) return;
    this.#send({ type: "ack", tile, sequence, paint_ms: Math.round(performance.now() - receivedAt) });
  }

  #send(message) {
    this.#socket.send(JSON.stringify(message));
  }
}
