// A real film through `exec:ffmpeg`: shown at its own rate, and relayed by a second Framecast byte for byte.

import { alone } from "../lib/alone.mjs";
import { moves, open } from "../lib/browser.mjs";
import { digest, readStream } from "../lib/multipart.mjs";
import { film, lackingFilm, probe } from "../lib/tool.mjs";
import { ensure, until } from "../lib/wait.mjs";

const WINDOW_MS = 8000;
const RELAYED = 50;

const source = () => `film=exec:ffmpeg -v error -re -stream_loop -1 -i '${film()}' -f mjpeg -q:v 5 -`;

async function live(framecast, name) {
  await until(`${name} is live`, async () => (await framecast.camera(name)).state === "live");
}

/** Counts how often a canvas that copies the `<img>` at each animation frame changes; returns changes per second. */
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
  const rate = await countChanges(page, WINDOW_MS);
  const measured = `${rate.toFixed(2)} of ${fps} pictures per second`;
  ensure(Math.abs(rate - fps) <= fps / 10, measured);
  return measured;
}

async function showMoving(stage) {
  const framecast = await stage.framecast([source()]);
  const browser = await stage.browser("firefox");
  const page = await open(browser, framecast.url);
  await live(framecast, "film");
  await moves(page, ".picture", 6);
}

/** Reads a stream into a map from the capture time to the digest of the picture, in order. */
function gather(stage, url) {
  const pictures = new Map();
  const reader = readStream(url, ({ headers, data }) => {
    pictures.set(headers["x-timestamp"], digest(data));
  });
  stage.defer(() => reader.stop());
  const ended = reader.done.then(() => {
    throw new Error(`the stream ${url} ended`);
  });
  ended.catch(() => {});
  return { pictures, ended };
}

async function relay(stage) {
  const path = "/cameras/film/stream.mjpg?advance_headers=0";
  const first = await stage.framecast([source()]);
  const second = await stage.framecast([`film=${first.url}${path}`]);
  const origin = gather(stage, `${first.url}${path}`);
  await live(first, "film");
  const copy = gather(stage, `${second.url}${path}`);
  const relayed = () => [...copy.pictures.keys()].filter((stamp) => origin.pictures.has(stamp));
  const enough = until(`the relay sends ${RELAYED} pictures with their capture time`, () => relayed().length >= RELAYED);
  await Promise.race([origin.ended, copy.ended, enough]);
  const stamps = relayed();
  for (const stamp of stamps) {
    ensure(origin.pictures.get(stamp) === copy.pictures.get(stamp), `the relay changed the picture of ${stamp}`);
  }
  // Each reader may skip a picture that the other got, but not many, and only while it is late.
  const [from, to] = [Number(stamps[0]), Number(stamps.at(-1))];
  const between = [...copy.pictures.keys()].map(Number).filter((stamp) => stamp >= from && stamp <= to);
  const strange = between.length - stamps.length;
  ensure(strange <= between.length / 4, `${strange} of ${between.length} pictures have capture times that the first server never sent`);
  return `${stamps.length} pictures unchanged`;
}

export const checks = [
  alone({ name: "film-chromium", needs: ["chromium", "ffmpeg", "ffprobe", "python3"], lacking: lackingFilm, run: showAtItsOwnRate }),
  { name: "film-firefox", needs: ["firefox-esr", "ffmpeg", "python3"], lacking: lackingFilm, run: showMoving },
  { name: "relay", needs: ["ffmpeg", "python3"], lacking: lackingFilm, run: relay },
];
