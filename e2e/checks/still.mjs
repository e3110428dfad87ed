// A scene that stops: the screen must keep showing the last picture sent. Chromium paints a part of a stream only when
// the next one begins, so a server that just sends parts shows the last but one.

import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { open, shot } from "../lib/browser.mjs";
import { ensure, sleep, until } from "../lib/wait.mjs";

const COUNT = 12;
const PACE_MS = 40;
const SIZE = { width: 640, height: 360 };
// Mean difference of a colour value, 0 to 255, that JPEG and scaling may cause.
const ALIKE = 6;

/** `COUNT` very different pictures, as `1.jpg` and so on. */
function makePictures(folder) {
  const pattern = `testsrc2=size=${SIZE.width}x${SIZE.height}:rate=1:duration=${COUNT}`;
  const hue = `hue=h=n*${360 / COUNT}`;
  const to = path.join(folder, "%02d.jpg");
  execFileSync("ffmpeg", ["-v", "error", "-f", "lavfi", "-i", pattern, "-vf", hue, "-q:v", "3", to]);
  return Array.from({ length: COUNT }, (_, n) => path.join(folder, `${String(n + 1).padStart(2, "0")}.jpg`));
}

/** Mean differences between the PNG `screen` and each of `pictures`, found on canvases of a blank page. */
function differences(blank, screen, pictures) {
  const url = (type, bytes) => `data:image/${type};base64,${bytes.toString("base64")}`;
  return blank.evaluate(
    async (sources) => {
      const pixels = [];
      for (const source of sources) {
        // Unlike an element, a bitmap is decoded also in a page behind another one.
        const image = await createImageBitmap(await (await fetch(source)).blob());
        const canvas = Object.assign(document.createElement("canvas"), { width: 160, height: 90 });
        const context = canvas.getContext("2d");
        context.drawImage(image, 0, 0, 160, 90);
        pixels.push(context.getImageData(0, 0, 160, 90).data);
      }
      const [first, ...others] = pixels;
      return others.map((other) => other.reduce((sum, value, n) => sum + Math.abs(value - first[n]), 0) / other.length);
    },
    [url("png", screen), ...pictures.map((file) => url("jpeg", readFileSync(file)))],
  );
}

/** Waits until the picture number `index` is on the screen, and checks that it is the only one like it. */
async function shows({ page, blank, pictures }, index) {
  let found = [];
  // The server repeats a picture after some seconds at most: one that comes much later is a fault.
  await until(
    `picture ${index + 1} of ${COUNT} is on the screen`,
    async () => {
      found = await differences(blank, await shot(page, "#here"), pictures);
      return found[index] < ALIKE;
    },
    { withinMs: 8000 },
  ).catch((error) => {
    throw new Error(`${error.message}; differences: ${found.map((value) => value.toFixed(1)).join(" ")}`);
  });
  const nearest = found.indexOf(Math.min(...found));
  ensure(nearest === index, `picture ${nearest + 1} is on the screen instead of ${index + 1}`);
}

async function screenOf(stage, camera) {
  const framecast = await stage.framecast([camera]);
  const browser = await stage.browser("chromium");
  const blank = await open(browser, "about:blank");
  const { width, height } = SIZE;
  const image = `<img width="${width}" height="${height}" src="${framecast.url}/cameras/still/stream.mjpg">`;
  const here = await stage.page(`<div id="here" style="width:${width}px">${image}</div>`);
  const page = await open(browser, here, { width: 700, height: 400 });
  await page.bringToFront();
  return { page, blank };
}

function folders(stage) {
  const root = mkdtempSync(path.join(tmpdir(), "framecast-still-"));
  stage.defer(() => rmSync(root, { recursive: true, force: true }));
  const made = path.join(root, "made");
  const watched = path.join(root, "watched");
  mkdirSync(made);
  mkdirSync(watched);
  return { root, watched, pictures: makePictures(made) };
}

/** New files in a folder, as printers write them: first exactly one, then more until it stops. */
async function watchedFolder(stage) {
  const { root, watched, pictures } = folders(stage);
  const add = (file) => {
    const half = path.join(root, "half-written");
    copyFileSync(file, half);
    renameSync(half, path.join(watched, path.basename(file)));
  };
  add(pictures[0]);
  const screen = await screenOf(stage, `still=images:${watched}?watch`);
  await shows({ ...screen, pictures }, 0);
  for (const file of pictures.slice(1)) {
    add(file);
    await sleep(PACE_MS);
  }
  await shows({ ...screen, pictures }, COUNT - 1);
}

/** A program that writes its pictures in turn and then falls silent; also with exactly one. */
async function silentProgram(stage) {
  const { pictures } = folders(stage);
  for (const written of [1, COUNT]) {
    const files = pictures.slice(0, written).map((file) => `"${file}"`);
    const script = `for file in ${files.join(" ")}; do cat "$file"; sleep ${PACE_MS / 1000}; done; exec sleep 600`;
    const screen = await screenOf(stage, `still=exec:sh -c '${script}'`);
    await shows({ ...screen, pictures }, written - 1);
  }
}

/** Pictures that come all at once, faster than any bound on a camera's rate: the screen must show the last one. */
async function burst(stage) {
  const { pictures } = folders(stage);
  const files = pictures.map((file) => `"${file}"`);
  const screen = await screenOf(stage, `still=exec:sh -c 'cat ${files.join(" ")}; exec sleep 600'`);
  await shows({ ...screen, pictures }, COUNT - 1);
}

export const checks = [
  { name: "still-scene-folder", needs: ["chromium", "ffmpeg"], run: watchedFolder },
  { name: "still-scene-program", needs: ["chromium", "ffmpeg"], run: silentProgram },
  { name: "still-scene-burst", needs: ["chromium", "ffmpeg"], run: burst },
];
