// One endless multipart stream in an `<img>`. Browsers report little about such an image: Chromium fires `load` once
// and nothing when the connection ends, Firefox fires it for each part. So this class compares the pixels on the screen
// now and then, and reopens the stream when the picture stands still although the camera does not. A server that is
// full answers with a picture that says so, which an image shows like any other; only the timing of the request reveals
// the refusal. `streams.js` decides which streams run.

import { jittered, retryMs } from "./backoff.js";

// Showing this image closes the connection; removing `src` does not in every browser.
const BLANK = "data:image/gif;base64,R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==";
const RETRY_FIRST_MS = 1000;
const RETRY_LAST_MS = 15000;
// The server repeats a picture that stands still each second. A camera with the same pixels for this long may have a
// truly still scene, so each further attempt waits twice as long.
const STILL_FIRST_MS = 4000;
const STILL_LAST_MS = 128000;
const LOOK_MS = 1000;
// The server asks refused viewers to retry after this time.
const REFUSED_PAUSE_MS = 5000;
// A picture that has been there this long belongs to a viewer that the server counts.
const COUNTED_MS = 3000;
const SAMPLE = { width: 32, height: 18 };

let opened = 0;
// The callback for an error of the request with this address.
const onError = new Map();

new PerformanceObserver((list) => {
  for (const { name, responseStatus } of list.getEntries()) if (responseStatus >= 400) onError.get(name)?.();
}).observe({ type: "resource" });

// A page that is being left may load nothing more, not even a blank picture; an empty `src` suffices then.
let isLeaving = false;
addEventListener("pagehide", () => (isLeaving = true));
addEventListener("pageshow", () => (isLeaving = false));

export class MjpegImage {
  #holder;
  #url;
  #alt;
  #image = null;
  // The picture that says why there is none; it stays on the page until the next one arrives.
  #previous = null;
  #refusal = "";
  #address = "";
  #timer = 0;
  #failures = 0;
  #watch = null;
  #stillMs = STILL_FIRST_MS;

  /** Called with the server's reason when it refuses the stream, and without one when it no longer does. */
  onRefused = () => {};

  /** `holder` is the element for the image; `url` the stream. Opens nothing yet. */
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

  /** Closes the connection and removes the picture from the page. */
  stop() {
    this.#close();
    this.#dropPrevious();
    this.#tell("");
    this.#failures = 0;
    this.#stillMs = STILL_FIRST_MS;
  }

  /** Reopens the stream, if it was running. */
  restart() {
    if (!this.isRunning) return;
    this.stop();
    this.#open();
  }

  /**
   * Call this with each answer of the API while the stream runs. `frames` is the camera's count of good pictures: while
   * it grows, the picture on the screen should change too. `viewers` is the camera's count of viewers, which includes
   * this one.
   */
  check(frames, viewers) {
    const image = this.#image;
    if (!image || !this.#watch) return;
    const watch = this.#watch;
    const now = performance.now();
    if (now - watch.lookedAt < LOOK_MS) return;
    watch.lookedAt = now;
    if (now - watch.loadedAt > LOOK_MS) this.#tell("");
    if (viewers === 0 && now - watch.loadedAt > COUNTED_MS) {
      this.#retry(jittered(REFUSED_PAUSE_MS));
      return;
    }
    const fingerprint = watch.loads > 1 ? `load ${watch.loads}` : sample(image);
    if (fingerprint !== watch.fingerprint) {
      if (watch.fingerprint !== null && fingerprint !== null) this.#stillMs = STILL_FIRST_MS;
      Object.assign(watch, { fingerprint, changedAt: now, frames });
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
      // The refusal may be known already.
      if (image === this.#previous) return;
      this.#dropPrevious();
      this.#failures = 0;
      const now = performance.now();
      this.#watch ??= { loads: 0, fingerprint: null, loadedAt: now, changedAt: now, lookedAt: 0, frames: 0 };
      this.#watch.loads += 1;
    };
    image.onerror = () => {
      if (image === this.#previous) {
        this.#dropPrevious();
        return;
      }
      this.#failures += 1;
      this.#retry(retryMs(this.#failures, RETRY_FIRST_MS, RETRY_LAST_MS));
    };
    // A unique number keeps browsers from reusing a cached image.
    opened += 1;
    // With "adapt" the server sends smaller pictures if the link cannot carry the camera's own.
    image.src = `${this.#url}?adapt=1&t=${Date.now()}.${opened}`;
    onError.set(image.src, () => {
      // The picture has arrived completely, and stays visible.
      this.#dropPrevious();
      this.#previous = image;
      this.#image = null;
      this.#retry(jittered(REFUSED_PAUSE_MS));
    });
    this.#image = image;
    this.#address = image.src;
    this.#holder.append(image);
  }

  #close() {
    clearTimeout(this.#timer);
    this.#timer = 0;
    this.#watch = null;
    onError.delete(this.#address);
    if (this.#image) discard(this.#image);
    this.#image = null;
  }

  #dropPrevious() {
    if (this.#previous) discard(this.#previous);
    this.#previous = null;
  }

  /** Reopens the stream after `waitMs`; until then the page shows the server's reason, if it gives one. */
  async #retry(waitMs) {
    this.#close();
    const timer = setTimeout(() => {
      this.#timer = 0;
      this.#open();
    }, waitMs);
    this.#timer = timer;
    const refusal = await fetchRefusal(this.#url);
    if (timer === this.#timer && refusal) this.#tell(refusal);
  }

  #tell(refusal) {
    if (refusal === this.#refusal) return;
    this.#refusal = refusal;
    this.onRefused(refusal);
  }
}

function discard(image) {
  image.onload = null;
  image.onerror = null;
  image.src = isLeaving ? "" : BLANK;
  image.remove();
}

/** The server's reason why there is no stream at `url`; empty if there is a stream, or no answer. */
async function fetchRefusal(url) {
  const abort = new AbortController();
  try {
    const headers = { Accept: "application/json" };
    const response = await fetch(url, { headers, cache: "no-store", signal: abort.signal });
    return response.ok ? "" : ((await response.json()).error ?? "");
  } catch {
    return "";
  } finally {
    // If the stream exists after all, its body would never end.
    abort.abort();
  }
}

let canvas = null;

/** The pixels of `image`, scaled down, as text; null when the browser does not allow access. */
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
