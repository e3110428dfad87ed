// Two slow cameras, as many are: a stream with a picture every ten seconds, and a snapshot that takes seven seconds.
// Neither becomes lost, however long the check watches. `FRAMECAST_SLOW_SECONDS=600` watches for ten minutes.

import { readFileSync } from "node:fs";
import http from "node:http";
import { readStream } from "../lib/multipart.mjs";
import { ensure, sleep } from "../lib/wait.mjs";

const SECONDS = Number(process.env.FRAMECAST_SLOW_SECONDS ?? 45);
const STREAM_INTERVAL_MS = 10000;
const STILL_DELAY_MS = 7000;

// The text after the `#` of both sources.
const OPTIONS = process.env.FRAMECAST_SLOW_OPTIONS ?? "";

const PICTURE = readFileSync(new URL("../../testdata/ffmpeg-mjpeg.jpg", import.meta.url));

/** A server that answers requests by `answer`; `sent` counts the pictures. */
async function camera(stage, answer) {
  const counts = { sent: 0 };
  const port = await stage.listen(http.createServer((_, response) => answer(response, counts)));
  counts.url = `http://127.0.0.1:${port}/${OPTIONS && `#${OPTIONS}`}`;
  return counts;
}

function stream(response, counts) {
  response.writeHead(200, { "Content-Type": "multipart/x-mixed-replace; boundary=frame" });
  const send = () => {
    response.write(`--frame\r\nContent-Type: image/jpeg\r\nContent-Length: ${PICTURE.length}\r\n\r\n`);
    response.write(PICTURE);
    response.write("\r\n");
    counts.sent += 1;
  };
  send();
  const timer = setInterval(send, STREAM_INTERVAL_MS);
  response.on("close", () => clearInterval(timer));
}

function still(response, counts) {
  const timer = setTimeout(() => {
    response.writeHead(200, { "Content-Type": "image/jpeg", "Content-Length": PICTURE.length });
    response.end(PICTURE);
    counts.sent += 1;
  }, STILL_DELAY_MS);
  response.on("close", () => clearTimeout(timer));
}

async function slow(stage) {
  const cameras = { stream: await camera(stage, stream), still: await camera(stage, still) };
  const framecast = await stage.framecast(Object.entries(cameras).map(([name, { url }]) => `${name}=${url}`));
  for (const name of Object.keys(cameras)) {
    const reader = readStream(`${framecast.url}/cameras/${name}/stream.mjpg`, () => false);
    stage.defer(() => reader.stop());
  }
  await sleep(SECONDS * 1000);
  for (const [name, { sent }] of Object.entries(cameras)) {
    const { state, reason, frames } = await framecast.camera(name);
    ensure(state === "live", `${name} is ${state}: ${reason}`);
    // One may be on its way.
    ensure(frames >= sent - 1 && frames > 2, `${name}: ${frames} pictures arrived of ${sent} sent`);
  }
  const events = await framecast.events({ kind: "lost,stalled,opened" });
  const told = events.map(({ camera, kind, text }) => `${camera} ${kind} ${text ?? ""}`.trim());
  ensure(told.toSorted().join() === "still opened,stream opened", `the history has: ${told.join("; ")}`);
  return `${SECONDS} s: ${Object.entries(cameras).map(([name, { sent }]) => `${name} ${sent}`).join(", ")} pictures`;
}

export const checks = [{ name: "slow-cameras", needs: [], limitMs: SECONDS * 1000 + 60000, run: slow }];
