// A USB webcam's own JPEGs, passed through at its full rate, and the API's data on them.

import { digest } from "../../lib/multipart.mjs";
import { sleep, ensure } from "../../lib/wait.mjs";
import { Viewer } from "../../lib/watch.mjs";

const SECONDS = 10;
const LEAST_FPS = 28;
const MODE = { format: "mjpeg", width: 1280, height: 720, fps: 30 };
const SOURCE = "v4l2:usb=1209:0001?size=1280x720&fps=30&format=mjpeg";

async function passThrough(stage) {
  const { vm } = await stage.machine();
  const framecast = await stage.guestFramecast([`cam=${SOURCE}`]);
  const viewer = new Viewer(stage, `${framecast.url}/cameras/cam/stream.mjpg`, 400);
  await viewer.more(15);
  const [before, startedAt] = [viewer.pictures, Date.now()];
  await sleep(SECONDS * 1000);
  const fps = (viewer.pictures - before) / ((Date.now() - startedAt) / 1000);
  ensure(viewer.ended === null, `the viewer was disconnected: ${viewer.ended}`);
  ensure(fps >= LEAST_FPS, `${fps.toFixed(1)} fps at the viewer, less than ${LEAST_FPS}`);

  const sums = await vm.exec("sha256sum /usr/share/cam-frames/1280x720/*.jpg");
  const sent = new Set(sums.trim().split("\n").map((line) => line.split(" ")[0]));
  const changed = viewer.parts.filter(({ isSlate, data }) => !isSlate && !sent.has(digest(data))).length;
  ensure(changed === 0, `${changed} of ${viewer.parts.length} pictures are not the bytes that the webcam sent`);

  const camera = await framecast.camera("cam");
  for (const side of ["given", "asked"]) {
    const told = camera.capture?.[side] ?? {};
    const wrong = Object.entries(MODE).filter(([key, value]) => told[key] !== value);
    ensure(wrong.length === 0, `the API reports ${side} as ${JSON.stringify(told)}`);
  }
  ensure(/Fake Webcam/.test(camera.capture.device), `the API calls the device ${camera.capture.device}`);
  ensure(camera.broken === 0 && camera.encoded === 0, `the counts are: broken ${camera.broken}, encoded ${camera.encoded}`);
  return `${fps.toFixed(1)} fps`;
}

export const checks = [{ name: "vm-webcam", run: passThrough }];
