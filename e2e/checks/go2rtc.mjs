// Clients of go2rtc: the library with which Home Assistant speaks to it, and a player of its WebSocket in a page.

import { execFile } from "node:child_process";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { alone } from "../lib/alone.mjs";
import { goTo, inBoth, isQuiet, open } from "../lib/browser.mjs";
import { decodeMp4 } from "../lib/clients.mjs";
import { FakeRtsp, makeClip, SIZE } from "../lib/fake_rtsp.mjs";
import { asIfNewPython, lackingForNewPython } from "../lib/venv.mjs";
import { videoAges, watchVideo } from "../lib/video.mjs";
import { ensure, until } from "../lib/wait.mjs";
import { quantile } from "../lib/wall.mjs";

const CLIENT = ["go2rtc-client", ["go2rtc-client==0.4.0"], "python3"];

const MEASURE_MS = 3000;
const LEAST_FPS = 8;
// A player of go2rtc plays at a rate that keeps it a second before the end of what it has.
const MOST_AGE_MS = 1200;

async function library(stage) {
  const framecast = await stage.framecast(["front=test:?size=640x360&fps=10"]);
  const script = path.join(path.dirname(fileURLToPath(import.meta.url)), "go2rtc_library.py");
  const { stdout } = await promisify(execFile)(asIfNewPython(...CLIENT), [script, framecast.url], { timeout: 60000 });
  const { version, streams, unknown, picture, offer } = JSON.parse(stdout);
  ensure(JSON.stringify(streams) === '{"front":["test:"]}', `the streams are ${JSON.stringify(streams)}`);
  ensure(unknown === 403, `a stream that is not there is answered with ${unknown}`);
  ensure(picture[0] === 0xff && picture[1] === 0xd8, `the picture begins with ${picture}`);
  ensure(offer.startsWith("webrtc: "), `an offer of WebRTC is answered with ${offer}`);
  return `as go2rtc ${version}`;
}

/** Runs in a page: plays the camera `src` in the mode `mse`, or if that fails `mjpeg`. Everything is in `window.player`. */
function play(src) {
  const video = document.createElement("video");
  Object.assign(video, { muted: true, width: 640 });
  document.body.replaceChildren(video);
  const player = { told: [], bytes: [], pictures: 0, closed: null };
  window.player = player;
  const source = new MediaSource();
  const waiting = [];
  let buffer = null;
  const append = () => {
    // As in go2rtc's own player: all that has come meanwhile is appended at once, and the rate keeps up.
    if (!buffer || buffer.updating) return;
    if (waiting.length > 0) {
      const pieces = waiting.splice(0);
      const all = new Uint8Array(pieces.reduce((length, piece) => length + piece.byteLength, 0));
      pieces.reduce((at, piece) => (all.set(new Uint8Array(piece), at), at + piece.byteLength), 0);
      return buffer.appendBuffer(all);
    }
    if (buffer.buffered.length === 0) return;
    const ahead = buffer.buffered.end(buffer.buffered.length - 1) - video.currentTime;
    if (ahead > 5) video.currentTime += ahead - 5;
    video.playbackRate = Math.max(ahead, 0.1);
  };
  const socket = new WebSocket(`${location.origin.replace(/^http/, "ws")}/api/ws?src=${src}`);
  socket.binaryType = "arraybuffer";
  const ask = (type, value) => socket.send(JSON.stringify({ type, value }));
  const opened = Promise.all([
    new Promise((done) => socket.addEventListener("open", done)),
    new Promise((done) => source.addEventListener("sourceopen", done)),
  ]);
  video.src = URL.createObjectURL(source);
  video.play();
  const codecs = ["avc1.640029", "hvc1.1.6.L153.B0", "mp4a.40.2", "flac", "opus"];
  const playable = codecs.filter((codec) => MediaSource.isTypeSupported(`video/mp4; codecs="${codec}"`));
  opened.then(() => ask("mse", playable.join()));
  socket.onmessage = ({ data }) => {
    if (typeof data === "string") {
      const message = JSON.parse(data);
      player.told.push(message);
      if (message.type === "error" && message.value.startsWith("mse")) ask("mjpeg", "");
      if (message.type !== "mse") return;
      buffer = source.addSourceBuffer(message.value);
      buffer.onupdateend = append;
    } else if (buffer) {
      player.bytes.push(data);
      waiting.push(data);
      append();
    } else {
      createImageBitmap(new Blob([data], { type: "image/jpeg" })).then(() => (player.pictures += 1));
    }
  };
  socket.onclose = ({ code }) => (player.closed = code);
  const look = () => video.requestVideoFrameCallback(look);
  look();
}

/** All bytes of video that the player got. */
async function bytesOf(page) {
  const text = await page.evaluate(async () => {
    const reader = new FileReader();
    const read = new Promise((done) => (reader.onload = done));
    reader.readAsDataURL(new Blob(window.player.bytes));
    await read;
    return reader.result.slice(reader.result.indexOf(",") + 1);
  });
  return Buffer.from(text, "base64");
}

/**
 * The video begins at once and in time, although a player of go2rtc plays from the first byte at its own pace; it goes on
 * in the same connection after a loss of the camera; and all of it is whole.
 */
async function mse(stage, name) {
  const fake = await FakeRtsp.start(stage, makeClip(stage));
  const framecast = await stage.framecast([`front=${fake.url}`, "plain=test:?size=320x180&fps=10"]);
  const browser = await stage.browser(name);
  const page = await open(browser, "about:blank");
  await watchVideo(page);
  await goTo(page, `${framecast.url}/api`);
  // Another viewer has opened the camera, so this one begins with frames of the past.
  const holder = new AbortController();
  stage.defer(() => holder.abort());
  const held = await fetch(`${framecast.url}/api/stream.mp4?src=front`, { signal: holder.signal });
  ensure(held.status === 200, `stream.mp4 is answered with ${held.status}`);
  await until("the camera has sent some seconds", async () => (await fake.sent()).length > 70);
  await page.evaluate(play, "front");
  await until("the page shows video", () => page.evaluate(() => window.seenFrames.length > 0));
  // A busy browser is late at first, and plays faster until it is in time.
  await until("the video is in time", () => page.$eval("video", (video) => video.currentTime > 1 && video.playbackRate < 1.2));
  const measure = async () => {
    const { fps, ages } = await videoAges(page, fake, MEASURE_MS);
    const half = Math.round(quantile(ages, 0.5));
    ensure(fps >= LEAST_FPS && half < MOST_AGE_MS, `${fps.toFixed(0)} fps, ${half} ms old in the median`);
    return `${fps.toFixed(0)} fps, ${half} ms old in the median`;
  };
  const figures = await measure();
  const count = () => page.evaluate(() => window.player.bytes.length);
  await fake.kill();
  await until("the camera is lost", async () => (await framecast.camera("front")).state === "lost");
  const before = await count();
  await fake.run();
  await until("the video goes on", async () => (await count()) > before + 25);
  await measure();
  const { told, closed } = await page.evaluate(() => ({ told: window.player.told, closed: window.player.closed }));
  ensure(told.length === 1 && told[0].type === "mse" && closed === null, `the player was told ${JSON.stringify(told)}`);
  const { frames, complaints } = decodeMp4(await bytesOf(page));
  ensure(frames > 50 && complaints === "", `ffmpeg reads ${frames} frames: ${complaints}`);
  await page.evaluate(play, "plain");
  await until("a camera without video shows pictures", () => page.evaluate(() => window.player.pictures > 3));
  const types = await page.evaluate(() => window.player.told.map(({ type }) => type));
  ensure(types.join() === "error,mjpeg", `the player was told ${types}`);
  isQuiet(page);
  return `${figures}; ${SIZE.width}x${SIZE.height}`;
}

export const checks = [
  { name: "go2rtc-client", needs: ["python3"], lacking: () => lackingForNewPython(...CLIENT), run: library },
  ...inBoth("go2rtc-mse", mse, "ffmpeg").map(alone),
];
