// One endless multipart stream in an `<img>`. Browsers say little about such an image: Chromium
// fires `load` once and nothing when the connection ends, Firefox fires it for each part. So the
// feed looks at what is on the screen now and then, and opens the stream anew when it stands still
// although the camera does not. Which feeds run is decided elsewhere (`streams.js`).

// An image that shows this has closed its connection; removing `src` alone does not in every browser.
const BLANK = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==";
const RETRY_FIRST_MS = 1000;
const RETRY_LAST_MS = 15000;
// The server repeats a still picture each second; a camera that shows the very same pixels for
// this long may be a true still scene, so each further attempt waits twice as long.
const STILL_FIRST_MS = 4000;
const STILL_LAST_MS = 128000;
const LOOK_MS = 1000;
const SAMPLE = { width: 32, height: 18 };

let opened = 0;

// A page that goes away may load nothing more, not even a blank picture; there an empty `src` will do.
let isLeaving = false;
addEventListener("pagehide", () => (isLeaving = true));
addEventListener("pageshow", () => (isLeaving = false));

export class Feed {
  #holder;
  #url;
  #alt;
  #image = null;
  #timer = 0;
  #retryMs = RETRY_FIRST_MS;
  #watch = null;
  #stillMs = STILL_FIRST_MS;

  /** `holder` is the element that gets the image; `url` the stream. Opens nothing yet. */
  constructor(holder, url, alt) {
    this.#holder = holder;
    this.#url = url;
    this.#alt = alt;
  }

  get isRunning() {
    return this.#image !== null || this.#timer !== 0;
  }

  start() {
    if (!this.isRunning) this.#open();
  }

  /** Closes the connection and takes the picture off the page. */
  stop() {
    this.#close();
    this.#retryMs = RETRY_FIRST_MS;
    this.#stillMs = STILL_FIRST_MS;
  }

  /** Opens the stream anew, if it ran. */
  restart() {
    if (!this.isRunning) return;
    this.stop();
    this.#open();
  }

  /**
   * To be called with each answer of the API while the feed runs. `frames` is the camera's count of
   * good pictures: as long as it grows, the picture on the screen should change too.
   */
  check(frames) {
    const image = this.#image;
    if (!image || !this.#watch) return;
    const watch = this.#watch;
    const now = performance.now();
    if (now - watch.lookedAt < LOOK_MS) return;
    watch.lookedAt = now;
    const sign = watch.loads > 1 ? `load ${watch.loads}` : sample(image);
    if (sign !== watch.sign) {
      if (watch.sign !== null && sign !== null) this.#stillMs = STILL_FIRST_MS;
      Object.assign(watch, { sign, changedAt: now, frames });
    } else if (frames === watch.frames) {
      watch.changedAt = now;
    } else if (now - watch.changedAt > this.#stillMs) {
      const next = Math.min(this.#stillMs * 2, STILL_LAST_MS);
      this.#close();
      this.#open();
      this.#stillMs = next;
    }
  }

  #open() {
    const image = document.createElement("img");
    image.alt = this.#alt;
    image.draggable = false;
    image.onload = () => {
      image.classList.add("seen");
      this.#retryMs = RETRY_FIRST_MS;
      this.#watch ??= { loads: 0, sign: null, changedAt: performance.now(), lookedAt: 0, frames: 0 };
      this.#watch.loads += 1;
    };
    image.onerror = () => this.#retry();
    // A number of its own keeps browsers from handing out an image that they still hold.
    opened += 1;
    // With "adapt" the server sends smaller pictures where the line cannot carry the camera's own.
    image.src = `${this.#url}?adapt=1&t=${Date.now()}.${opened}`;
    this.#image = image;
    this.#holder.append(image);
  }

  #close() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#watch = null;
    const image = this.#image;
    this.#image = null;
    if (!image) return;
    image.onload = null;
    image.onerror = null;
    image.src = isLeaving ? "" : BLANK;
    image.remove();
  }

  #retry() {
    this.#close();
    const wait = this.#retryMs * (0.75 + Math.random() / 2);
    this.#retryMs = Math.min(this.#retryMs * 2, RETRY_LAST_MS);
    this.#timer = setTimeout(() => {
      this.#timer = 0;
      this.#open();
    }, wait);
  }
}

let canvas = null;

/** The pixels of `image`, made small, as text; null when the browser does not tell. */
function sample(image) {
  canvas ??= Object.assign(document.createElement("canvas"), SAMPLE).getContext("2d", {
    willReadFrequently: true,
  });
  try {
    canvas.drawImage(image, 0, 0, SAMPLE.width, SAMPLE.height);
    return canvas.getImageData(0, 0, SAMPLE.width, SAMPLE.height).data.join();
  } catch {
    return null;
  }
}
