// A real film through `exec:ffmpeg`: shown at its own rate, and relayed by a second Framecast byte for byte.

import { moves, open } from "../lib/browser.mjs";
import { digest, readStream } from "../lib/multipart.mjs";
import { film, probe } from "../lib/tool.mjs";
import { ensure, until } from "../lib/wait.mjs";

const WINDOW_MS = 8000;
// Other work on the machine may disturb one window; a wrong rate is wrong in all of them.
const WINDOWS = 3;
const RELAYED = 50;

const source = () => `film=exec:ffmpeg -v error -re -stream_loop -1 -i '${film()}' -f mjpeg -q:v 5 -`;

async function live(framecast, name) {
  await until(`${name} is live`, async () => (await framecast.camera(name)).state === "live");
}

/** Counts the changes of what a canvas gets from the `<img>` at each animation frame; changes per second. */
function countChanges(page, windowMs) {
  return page.evaluate(async (lastMs) => {
    const image = document.querySelector(".picture img");
    const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 36 });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    let before = "";
    let changes = -1;
    const start = performance.now();
    while (performance.now() - start < lastMs) {
      const now = await new Promise(requestAnimationFrame);
      if (now - start >= lastMs) break;
      context.drawImage(image, 0, 0, canvas.width, canvas.height);
      const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data.join();
      if (pixels !== before) changes += 1;
      before = pixels;
    }
    return (changes * 1000) / (performance.now() - start);
  }, windowMs);
}

async function showAtItsOwnRate(stage) {
  const { fps } = probe(film());
  const framecast = await stage.framecast([source()]);
  const browser = await stage.browser("chromium");
  const page = await open(browser, framecast.url);
  await moves(page, ".picture", 2);
  await live(framecast, "film");
  const measured = [];
  while (measured.length < WINDOWS) {
    const rate = await countChanges(page, WINDOW_MS);
    measured.push(rate.toFixed(2));
    if (Math.abs(rate - fps) <= fps / 10) return `${rate.toFixed(2)} of ${fps} pictures per second`;
  }
  throw new Error(`the film has ${fps} pictures per second, the screen ${measured.join(", ")}`);
}

async function showMoving(stage) {
  const framecast = await stage.framecast([source()]);
  const browser = await stage.browser("firefox");
  const page = await open(browser, framecast.url);
  await live(framecast, "film");
  await moves(page, ".picture", 6);
}

async function relay(stage) {
  const first = await stage.framecast([source()]);
  const path = "/cameras/film/stream.mjpg?advance_headers=0";
  const second = await stage.framecast([`film=${first.url}${path}`]);
  const origin = new Map();
  const original = readStream(`${first.url}${path}`, ({ headers, data }) => {
    origin.set(headers["x-timestamp"], digest(data));
  });
  stage.defer(() => original.stop());
  await live(first, "film");
  const seen = new Map();
  const copy = readStream(`${second.url}${path}`, ({ headers, data }) => {
    const stamp = headers["x-timestamp"];
    if (origin.has(stamp)) seen.set(stamp, digest(data));
    else if (seen.size > 0) strangers.push(stamp);
  });
  const strangers = [];
  stage.defer(() => copy.stop());
  const failed = Promise.all([original.done, copy.done]).then(() => {
    throw new Error("a stream ended");
  });
  await Promise.race([failed, until(`${RELAYED} pictures relayed with their time`, () => seen.size >= RELAYED)]);
  for (const [stamp, sum] of seen) {
    ensure(origin.get(stamp) === sum, `the picture of ${stamp} was changed on its way`);
  }
  ensure(strangers.length === 0, `${strangers.length} pictures have times that the first never sent: ${strangers[0]}`);
  return `${seen.size} pictures the same`;
}

export const checks = [
  { name: "film-chromium", needs: ["chromium", "ffmpeg", "ffprobe", "python3"], run: showAtItsOwnRate },
  { name: "film-firefox", needs: ["firefox-esr", "ffmpeg", "python3"], run: showMoving },
  { name: "relay", needs: ["ffmpeg", "python3"], run: relay },
];
