// A canvas that shows the newest picture. The browser decodes pictures off the page's own thread; all canvases paint
// together with the next frame of the screen. A picture that a newer one overtakes is not painted at all. `live.js`
// decides where pictures come from. A player shows coded video beneath; a picture, such as a slate, covers it until the
// next frame of the video is shown.

// If the browser paints nothing (a window behind others), the canvas still accepts pictures, slowly.
const UNSEEN_MS = 1000;
// The rate is measured over this time, or over this many pictures if they are rare.
const RATE_MS = 2000;
const RATE_COUNT = 4;
// If the player cannot be loaded, pictures come for this long.
const PLAYER_AGAIN_MS = 10000;
// Without one of these, coded video cannot be shown. The callback tells which frame is visible, and so how old it is.
const HAS_SOURCE = (self.ManagedMediaSource ?? self.MediaSource) !== undefined;
const CAN_PLAY = "VideoDecoder" in self || (HAS_SOURCE && "requestVideoFrameCallback" in HTMLVideoElement.prototype);

/** Loads the players; a camera that sends video will need them soon. */
export const loadPlayer = () => import("./video_ladder.js");

const due = new Set();
let frame = 0;
let timer = 0;

function paintSoon(canvas) {
  due.add(canvas);
  if (frame !== 0) return;
  frame = requestAnimationFrame(paintAll);
  timer = setTimeout(paintAll, UNSEEN_MS);
}

function paintAll() {
  cancelAnimationFrame(frame);
  clearTimeout(timer);
  frame = 0;
  const all = [...due];
  due.clear();
  for (const canvas of all) canvas.paint();
}

// If the browser lacks the codec of a camera's main stream, the server sends the sub stream, if there is one.
const played = new Set();
for (const [name, codec] of [["H.264", "avc1.42E01E"], ["H.265", "hvc1.1.6.L93.B0"]]) {
  if ((self.ManagedMediaSource ?? self.MediaSource)?.isTypeSupported(`video/mp4; codecs="${codec}"`)) played.add(name);
  self.VideoDecoder?.isConfigSupported({ codec }).then(({ supported }) => supported && played.add(name), () => {});
}

export class Canvas {
  #element = document.createElement("canvas");
  #context = this.#element.getContext("bitmaprenderer");
  #holder;
  #isDecoding = false;
  #next = null;
  #ready = null;
  // Counts how often the canvas was cleared: a picture that was being decoded at that time is discarded.
  #turn = 0;

  #paints = [];
  #label = "";

  // A promise of the player of coded video. Pictures and frames of video are counted, because the visible picture
  // covers the video until a frame that came later is shown.
  #player = null;
  #taken = 0;
  #coverPlace = 0;
  #videoAgainAt = CAN_PLAY ? 0 : Infinity;

  /** Capture time of the visible picture, in milliseconds of the server's clock; null when none is visible. */
  takenAtMs = null;
  /** When the last picture was painted, by `performance.now()`. */
  paintedAt = 0;
  /** Called after the first picture was painted. */
  onShown = () => {};
  /** Called with the reason when the server refuses the pictures. */
  onRefused = () => {};
  /** The codec of the video that is shown; empty while pictures are. */
  codec = "";
  /** How that video is decoded, and why not in a better way. */
  means = "";
  /** If the camera sends coded video: why pictures are shown in its place; empty if they are not. */
  note = CAN_PLAY ? "" : "This browser cannot play live video; showing pictures";
  /** The number of frames that the server skipped, because the link or this page was too slow. */
  dropped = 0;
  /** Which stream of the camera the video is, in words; empty for the main stream. */
  stream = "";
  /** Called when `ask` has changed, and when the server should begin again with a keyframe. */
  onAsk = () => {};
  onRestart = () => {};

  /** `holder` is the element to which the canvas is added with its first picture. */
  constructor(holder) {
    this.#holder = holder;
    this.#element.setAttribute("role", "img");
    this.#element.className = "seen";
  }

  /** What belongs into the request for pictures: whether the server may send coded video instead. */
  get ask() {
    return performance.now() < this.#videoAgainAt ? {} : { video: "mp4", codecs: [...played] };
  }

  get isShown() {
    return this.takenAtMs !== null;
  }

  /** Pictures painted per second recently; null when unknown. */
  get fps() {
    const times = this.#paints;
    return times.length < RATE_COUNT ? null : ((times.length - 1) * 1000) / (times.at(-1) - times[0]);
  }

  /** The label of the picture for screen readers. */
  set label(text) {
    if (this.#label === text) return;
    this.#label = text;
    this.#element.setAttribute("aria-label", text);
    this.#player?.then((player) => (player.label = text));
  }

  /**
   * Accepts a picture: `blob`, `takenAtMs`, and `onPainted`, which is called once it, or a newer one, is on the screen.
   */
  async take(picture) {
    this.#next = { ...picture, place: (this.#taken += 1) };
    if (this.#isDecoding) return;
    this.#isDecoding = true;
    while (this.#next) {
      const current = this.#next;
      const turn = this.#turn;
      this.#next = null;
      const bitmap = await createImageBitmap(current.blob).catch(() => null);
      if (turn !== this.#turn) {
        bitmap?.close();
        continue;
      }
      this.#ready?.bitmap?.close();
      this.#ready = { ...current, bitmap };
      paintSoon(this);
    }
    this.#isDecoding = false;
  }

  /** Paints the picture that was decoded last. */
  paint() {
    const ready = this.#ready;
    this.#ready = null;
    if (!ready) return;
    // An undecodable picture leaves the previous one visible, and is acknowledged like any other.
    if (ready.bitmap) this.#show(ready);
    ready.onPainted();
  }

  #show({ bitmap, place, takenAtMs }) {
    const { width, height } = bitmap;
    if (this.#element.width !== width || this.#element.height !== height) Object.assign(this.#element, { width, height });
    this.#context.transferFromImageBitmap(bitmap);
    this.#coverPlace = place;
    this.codec = "";
    if (!this.#element.isConnected) this.#holder.append(this.#element);
    // The last frame of the video stayed until now.
    if (!this.ask.video) this.#closePlayer();
    this.#note(takenAtMs);
  }

  /** Notes that a picture, or a frame of video, taken then has become visible. */
  #note(takenAtMs) {
    const now = performance.now();
    this.paintedAt = now;
    this.#paints.push(now);
    while (this.#paints.length > RATE_COUNT && this.#paints[0] < now - RATE_MS) this.#paints.shift();
    const isFirst = !this.isShown;
    this.takenAtMs = takenAtMs;
    if (isFirst) this.onShown();
  }

  /** Passes an announcement of video to the player; the first one loads it. */
  beginVideo(announcement) {
    if (!this.ask.video) return;
    const { stream, width, height } = announcement;
    this.stream = stream === "sub" ? `sub stream ${width}x${height}` : "";
    // The last player has given up.
    if (this.note !== "") this.#closePlayer();
    this.#player ??= loadPlayer().then(({ VideoLadder }) => new VideoLadder(this, this.#holder));
    const player = this.#player;
    player.then(
      (loaded) => {
        loaded.label = this.#label;
        loaded.begin(announcement);
      },
      () => player === this.#player && this.showPictures("this page cannot load its player", PLAYER_AGAIN_MS),
    );
  }

  /** Passes a piece of video to the player. */
  takeVideo(piece) {
    const place = (this.#taken += 1);
    this.#player?.then((player) => player.take({ ...piece, place }), () => {});
  }

  /** The player shows a frame, as `takeVideo` has passed it on. */
  showFrame({ place, takenAtMs }, codec) {
    if (place < this.#coverPlace) return;
    this.#element.remove();
    this.codec = codec;
    this.note = "";
    this.#note(takenAtMs);
  }

  /** Asks for pictures in place of video, for so long; `reason` says why. */
  showPictures(reason, forMs) {
    this.note = `${reason[0].toUpperCase()}${reason.slice(1)}; showing pictures`;
    this.#videoAgainAt = performance.now() + forMs;
    this.onAsk();
  }

  #closePlayer() {
    this.#player?.then((player) => player.close(), () => {});
    this.#player = null;
  }

  /** No pictures will come for a while, which is not a fault. */
  pause() {
    this.#paints = [];
    this.#player?.then((player) => player.rest(), () => {});
  }

  refuse(message) {
    this.clear();
    this.onRefused(message);
  }

  /** Removes the picture from the page. */
  clear() {
    this.#turn += 1;
    this.#next = null;
    this.#ready?.bitmap?.close();
    this.#ready = null;
    this.takenAtMs = null;
    this.codec = "";
    this.pause();
    this.#closePlayer();
    this.#element.remove();
  }
}
