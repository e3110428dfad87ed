// A real film through `exec:ffmpeg`: shown at its own rate, and relayed by a second Framecast byte for byte.

import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { alone } from "../lib/alone.mjs";
import { moves, open } from "../lib/browser.mjs";
import { digest, readStream } from "../lib/multipart.mjs";
import { film, lackingFilm, probe } from "../lib/tool.mjs";
import { ensure, until } from "../lib/wait.mjs";

const WINDOW_MS = 8000;
const RELAYED = 50;

const source = (options = "") => `film=exec:ffmpeg -v error ${options} -re -stream_loop -1 -i '${film()}' -f mjpeg -q:v 5 -`;

async function live(framecast, name) {
  await until(`${name} is live`, async () => (await framecast.camera(name)).state === "live");
}

/**
 * Counts for `windowMs` how often a canvas that copies the `<img>` at each animation frame changes; returns that, and
 * the times of these frames in milliseconds since the epoch.
 */
function countChanges(page, windowMs) {
  return page.evaluate(async (lastMs) => {
    const image = document.querySelector(".picture img");
    const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 36 });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    let before = "";
    let changes = -1;
    const frames = [];
    const start = performance.now();
    while (performance.now() - start < lastMs) {
      const now = await new Promise(requestAnimationFrame);
      if (now - start >= lastMs) break;
      frames.push(performance.timeOrigin + now);
      context.drawImage(image, 0, 0, canvas.width, canvas.height);
      const pixels = context.getImageData(0, 0, canvas.width, canvas.height).data.join();
      if (pixels !== before) changes += 1;
      before = pixels;
    }
    return { changes, frames };
  }, windowMs);
}

/** How many pictures ffmpeg has written, by the file of its progress. */
const written = (file) => Number([...readFileSync(file, "utf8").matchAll(/^frame=(\d+)/gm)].at(-1)?.[1] ?? 0);

/**
 * The film at its own rate. On a machine that is too busy, ffmpeg writes fewer pictures, or the browser draws so rarely
 * that several arrive between two of its frames: the page must show what these two leave.
 */
async function showAtItsOwnRate(stage) {
  const { fps } = probe(film());
  const folder = mkdtempSync(path.join(tmpdir(), "framecast-film-"));
  stage.defer(() => rmSync(folder, { recursive: true, force: true }));
  const progress = path.join(folder, "progress");
  const framecast = await stage.framecast([source(`-progress ${progress} -stats_period 0.1`)]);
  const browser = await stage.browser("chromium");
  const page = await open(browser, framecast.url);
  await moves(page, ".picture", 2);
  await live(framecast, "film");
  const arrivals = [];
  const reader = readStream(`${framecast.url}/cameras/film/stream.mjpg?advance_headers=0`, () => void arrivals.push(Date.now()));
  stage.defer(() => reader.stop());
  await until("another viewer gets the film", () => arrivals.length > fps);
  const [before, arrivedBefore] = [written(progress), arrivals.length];
  const { changes, frames } = await countChanges(page, WINDOW_MS);
  const [sent, arrived] = [written(progress) - before, arrivals.length - arrivedBefore];
  const possible = frames.filter((at, n) => n > 0 && arrivals.some((arrival) => arrival > frames[n - 1] && arrival <= at)).length;
  const measured = `${changes} pictures shown, ${arrived} of ${sent} arrived, between ${possible} of ${frames.length} frames of the screen`;
  ensure(arrived >= 0.9 * sent - fps / 5 && changes >= 0.9 * possible, measured);
  ensure(changes <= (1.1 * fps * WINDOW_MS) / 1000, measured);
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
  const place = "/cameras/film/stream.mjpg?advance_headers=0";
  const first = await stage.framecast([source()]);
  const second = await stage.framecast([`film=${first.url}${place}`]);
  const origin = gather(stage, `${first.url}${place}`);
  await live(first, "film");
  const copy = gather(stage, `${second.url}${place}`);
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
