// Observes the video in a page: which frame it shows when, by the numbers in the pictures.

import { CELLS, numberOf, STRIP } from "./number.mjs";
import { sleep } from "./wait.mjs";

/** Runs in the page before its own scripts: reads the strip of each frame that is shown, into `window.frames`. */
function gather(cells, strip) {
  const seen = [];
  window.seenFrames = seen;
  const canvas = document.createElement("canvas");
  const { requestVideoFrameCallback } = HTMLVideoElement.prototype;
  HTMLVideoElement.prototype.requestVideoFrameCallback = function (callback) {
    return requestVideoFrameCallback.call(this, (now, metadata) => {
      // The page notes the frame even if this cannot read it.
      callback(now, metadata);
      const at = Date.now();
      const [width, height] = [this.videoWidth, strip.top - strip.bottom];
      Object.assign(canvas, { width, height });
      const context = canvas.getContext("2d", { willReadFrequently: true });
      context.drawImage(this, 0, this.videoHeight - strip.top, width, height, 0, 0, width, height);
      const { data } = context.getImageData(0, height >> 1, width, 1);
      const whites = Array.from({ length: cells }, (_, cell) => data[4 * Math.floor(((cell + 0.5) * width) / cells)] > 128);
      seen.push({ at, whites });
    });
  };
}

/** Observes the pages that `page` shows from now on. */
export async function watchVideo(page) {
  await page.evaluateOnNewDocument(gather, CELLS, STRIP);
}

/**
 * Observes for `lastMs`; returns how many frames a second were shown, and the ages of all, sorted: from when the camera
 * `fake` sent each.
 */
export async function videoAges(page, fake, lastMs) {
  await page.evaluate(() => (window.seenFrames.length = 0));
  await sleep(lastMs);
  const seen = await page.evaluate(() => window.seenFrames);
  const sent = await fake.sent();
  const ages = seen.map(({ at, whites }) => {
    const number = numberOf(whites);
    if (number === null) throw new Error("a frame has no number: it is broken");
    // The clip repeats.
    const sending = sent.findLast((picture) => picture.place === number && picture.at <= at);
    if (!sending) throw new Error(`the page shows frame ${number}, which was not sent`);
    return at - sending.at;
  });
  return { fps: (ages.length * 1000) / lastMs, ages: ages.sort((a, b) => a - b) };
}

/** Blocks the page for so long: it reads and acknowledges nothing. */
export async function stallPage(page, forMs) {
  await page.evaluate((ms) => {
    const end = performance.now() + ms;
    while (performance.now() < end);
  }, forMs);
}
