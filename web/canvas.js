// A canvas that shows the newest picture it was given. Pictures are decoded off the page's own
// thread and painted with the next frame of the screen, those of all canvases together; one that was
// overtaken meanwhile is not painted at all. Where pictures come from is decided in `live.js`.

// Where the browser paints nothing (a window behind others) pictures are taken all the same, slowly.
const UNSEEN_MS = 1000;
// The rate is that of so long, or of so many pictures where they come seldom.
const RATE_MS = 2000;
const RATE_COUNT = 4;

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

export class Canvas {
  #element = document.createElement("canvas");
  #context = this.#element.getContext("bitmaprenderer");
  #holder;
  #isDecoding = false;
  #next = null;
  #ready = null;
  // Counts how often it was cleared: what was being decoded then is not wanted any more.
  #turn = 0;

  #paints = [];

  /** When the picture that is seen was taken, in milliseconds of the server's clock; null when none is seen. */
  takenAtMs = null;
  /** When a picture was painted last, by `performance.now()`. */
  paintedAt = 0;
  /** Called after the first picture was painted. */
  onShown = () => {};
  /** Called with the reason when the server does not give the pictures. */
  onRefused = () => {};

  /** `holder` is the element that gets the canvas with its first picture. */
  constructor(holder) {
    this.#holder = holder;
    this.#element.setAttribute("role", "img");
    this.#element.className = "seen";
  }

  get isShown() {
    return this.takenAtMs !== null;
  }

  /** Pictures painted per second, of late; null when not known. */
  get fps() {
    const times = this.#paints;
    return times.length < RATE_COUNT ? null : ((times.length - 1) * 1000) / (times.at(-1) - times[0]);
  }

  /** What screen readers say of the picture. */
  set label(text) {
    if (this.#element.getAttribute("aria-label") !== text) this.#element.setAttribute("aria-label", text);
  }

  /** A new picture: `blob`, `takenAtMs`, and `onPainted` to be called once it, or a newer one, is on the screen. */
  async take(picture) {
    this.#next = picture;
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

  /** Paints what was decoded last. */
  paint() {
    const ready = this.#ready;
    this.#ready = null;
    if (!ready) return;
    // A picture that cannot be decoded leaves the one before, and is answered for like any other.
    if (ready.bitmap) this.#show(ready.bitmap, ready.takenAtMs);
    ready.onPainted();
  }

  #show(bitmap, takenAtMs) {
    const { width, height } = bitmap;
    if (this.#element.width !== width || this.#element.height !== height) Object.assign(this.#element, { width, height });
    this.#context.transferFromImageBitmap(bitmap);
    const now = performance.now();
    this.paintedAt = now;
    this.#paints.push(now);
    while (this.#paints.length > RATE_COUNT && this.#paints[0] < now - RATE_MS) this.#paints.shift();
    const isFirst = !this.isShown;
    this.takenAtMs = takenAtMs;
    if (!isFirst) return;
    this.#holder.append(this.#element);
    this.onShown();
  }

  /** Nothing comes for a while, by no fault of anyone. */
  pause() {
    this.#paints = [];
  }

  refuse(message) {
    this.clear();
    this.onRefused(message);
  }

  /** Takes the picture off the page. */
  clear() {
    this.#turn += 1;
    this.#next = null;
    this.#ready?.bitmap?.close();
    this.#ready = null;
    this.takenAtMs = null;
    this.pause();
    this.#element.remove();
  }
}
