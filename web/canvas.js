// A canvas that shows the newest picture. The browser decodes pictures off the page's own thread; all canvases paint
// together with the next frame of the screen. A picture that a newer one overtakes is not painted at all. `live.js`
// decides where pictures come from.

// If the browser paints nothing (a window behind others), the canvas still accepts pictures, slowly.
const UNSEEN_MS = 1000;
// The rate is measured over this time, or over this many pictures if they are rare.
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
  // Counts how often the canvas was cleared: a picture that was being decoded at that time is discarded.
  #turn = 0;

  #paints = [];

  /** Capture time of the visible picture, in milliseconds of the server's clock; null when none is visible. */
  takenAtMs = null;
  /** When the last picture was painted, by `performance.now()`. */
  paintedAt = 0;
  /** Called after the first picture was painted. */
  onShown = () => {};
  /** Called with the reason when the server refuses the pictures. */
  onRefused = () => {};

  /** `holder` is the element to which the canvas is added with its first picture. */
  constructor(holder) {
    this.#holder = holder;
    this.#element.setAttribute("role", "img");
    this.#element.className = "seen";
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
    if (this.#element.getAttribute("aria-label") !== text) this.#element.setAttribute("aria-label", text);
  }

  /**
   * Accepts a picture: `blob`, `takenAtMs`, and `onPainted`, which is called once it, or a newer one, is on the screen.
   */
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

  /** Paints the picture that was decoded last. */
  paint() {
    const ready = this.#ready;
    this.#ready = null;
    if (!ready) return;
    // An undecodable picture leaves the previous one visible, and is acknowledged like any other.
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

  /** No pictures will come for a while, which is not a fault. */
  pause() {
    this.#paints = [];
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
    this.pause();
    this.#element.remove();
  }
}
