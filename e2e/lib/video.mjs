// Observes the video in a page: which frame it shows when, by the numbers in the pictures.

import { shot } from "./browser.mjs";
import { SIZE } from "./fake_rtsp.mjs";
import { CELLS, numberOf, STRIP } from "./number.mjs";
import { sleep } from "./wait.mjs";

/**
 * Runs in the page before its own scripts. Reads the strip of each frame that is shown, into `window.seenFrames`: of a
 * `<video>` with a buffer, and, with `readsPainted`, of the element that shows what a worker paints. Otherwise notes
 * when the worker has painted a frame, and when that was taken. Also notes when the page asked for the video.
 */
function gather(cells, strip, readsPainted) {
  const seen = [];
  window.seenFrames = seen;
  const canvas = document.createElement("canvas");
  // Firefox reports the first frame of a video a little before it can be drawn.
  const note = (element, fullWidth, fullHeight, isNew = () => true) => {
    const at = Date.now();
    const [width, height] = [fullWidth, strip.top - strip.bottom];
    Object.assign(canvas, { width, height });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(element, 0, fullHeight - strip.top, width, height, 0, 0, width, height);
    const { data } = context.getImageData(0, height >> 1, width, 1);
    const isDrawn = data[3] > 0;
    const whites = Array.from({ length: cells }, (_, cell) => data[4 * Math.floor(((cell + 0.5) * width) / cells)] > 128);
    if (isDrawn && isNew(whites)) seen.push({ at, whites });
  };
  const { requestVideoFrameCallback } = HTMLVideoElement.prototype;
  HTMLVideoElement.prototype.requestVideoFrameCallback = function (callback) {
    return requestVideoFrameCallback.call(this, (now, metadata) => {
      // The page notes the frame even if this cannot read it.
      callback(now, metadata);
      note(this, this.videoWidth, this.videoHeight);
    });
  };
  let last = "";
  const look = () => {
    requestAnimationFrame(look);
    const painted = document.querySelector("#stage > .video.seen");
    const [width, height] = [painted?.videoWidth ?? painted?.width, painted?.videoHeight ?? painted?.height];
    if (!width) return;
    note(painted, width, height, (whites) => last !== (last = whites.join()));
  };
  if (readsPainted) requestAnimationFrame(look);
  const NativeWorker = window.Worker;
  window.Worker = class extends NativeWorker {
    constructor(...all) {
      super(...all);
      if (readsPainted) return;
      this.addEventListener("message", ({ data: { shown } }) => shown && seen.push({ at: Date.now(), takenAtMs: shown.takenAtMs }));
    }
  };
  const { send } = WebSocket.prototype;
  WebSocket.prototype.send = function (text) {
    if (/"subscribe"/.test(text)) window.askedAt ??= Date.now();
    return send.call(this, text);
  };
}

/** Observes the pages that `page` of the browser `name` shows from now on. */
export async function watchVideo(page, name) {
  // Firefox sometimes blocks a page for ten seconds that reads a canvas on which a worker paints.
  await page.evaluateOnNewDocument(gather, CELLS, STRIP, name === "chromium");
}

/** The ages of `seen` frames, from when the camera `fake` sent each; fails if one is broken. */
async function agesOf(seen, fake) {
  const sent = await fake.sent();
  return seen.map(({ at, whites, takenAtMs }) => {
    if (takenAtMs !== undefined) return at - takenAtMs;
    const number = numberOf(whites);
    if (number === null) throw new Error("a frame has no number: it is broken");
    // The clip repeats.
    const sending = sent.findLast((picture) => picture.place === number && picture.at <= at);
    if (!sending) throw new Error(`the page shows frame ${number}, which was not sent`);
    return at - sending.at;
  });
}

/**
 * Observes for `lastMs`; returns how many frames a second were shown, and the ages of all, sorted: from when the camera
 * `fake` sent each.
 */
export async function videoAges(page, fake, lastMs) {
  await page.evaluate(() => (window.seenFrames.length = 0));
  await sleep(lastMs);
  const ages = await agesOf(await page.evaluate(() => window.seenFrames), fake);
  return { fps: (ages.length * 1000) / lastMs, ages: ages.sort((a, b) => a - b) };
}

/**
 * How long after it had asked for the video the page showed its first frame, and a frame that was at most `youngMs`
 * old; null if it has not yet. Both in milliseconds.
 */
export async function firstFrames(page, fake, youngMs) {
  const { seen, askedAt } = await page.evaluate(() => ({ seen: window.seenFrames, askedAt: window.askedAt }));
  const ages = await agesOf(seen, fake);
  const young = ages.findIndex((age) => age <= youngMs);
  return young < 0 ? null : { first: seen[0].at - askedAt, young: seen[young].at - askedAt };
}

/** How old the frame is that is on the screen of `page`, in milliseconds; fails if it is broken. */
export async function ageOnScreen(page, fake) {
  const png = await shot(page, "#stage");
  const at = Date.now();
  const fromEdge = (STRIP.top + STRIP.bottom) / 2 / SIZE.height;
  const whites = await page.evaluate(
    async (base64, cells, share) => {
      const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
      const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
      const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
      context.drawImage(bitmap, 0, 0);
      const { data, width } = context.getImageData(0, Math.round(bitmap.height * (1 - share)), bitmap.width, 1);
      return Array.from({ length: cells }, (_, cell) => data[4 * Math.floor(((cell + 0.5) * width) / cells)] > 128);
    },
    png.toString("base64"),
    CELLS,
    fromEdge,
  );
  return (await agesOf([{ at, whites }], fake))[0];
}

/** Blocks the page for so long: it reads and acknowledges nothing. */
export async function stallPage(page, forMs) {
  await page.evaluate((ms) => {
    const end = performance.now() + ms;
    while (performance.now() < end);
  }, forMs);
}
