// Programs with which people read streams: ffmpeg, curl and OpenCV get whole pictures of the right size.

import { execFile, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { jpegSize, Parts, readStream } from "../lib/multipart.mjs";
import { pythonWithOpenCv } from "../lib/tool.mjs";
import { ensure, until } from "../lib/wait.mjs";

const FRAMES = 25;
const SIZE = { width: 640, height: 360 };
const run = promisify(execFile);

/** A server whose camera is live already, so no client gets the slate that says "opening". */
async function liveFeed(stage) {
  const framecast = await stage.framecast([`front=test:?size=${SIZE.width}x${SIZE.height}&fps=25`]);
  const feed = `${framecast.url}/video_feed`;
  const holder = readStream(feed, () => false);
  stage.defer(() => holder.stop());
  await until("the camera is live", async () => (await framecast.camera("front")).state === "live");
  return feed;
}

async function ffmpeg(stage) {
  const feed = await liveFeed(stage);
  const args = ["-v", "error", "-i", feed, "-frames:v", String(FRAMES), "-fps_mode", "passthrough"];
  const { stdout } = await run("ffmpeg", [...args, "-f", "rawvideo", "-pix_fmt", "gray", "-"], {
    encoding: "buffer",
    maxBuffer: 1 << 28,
    timeout: 60000,
  });
  const expected = SIZE.width * SIZE.height * FRAMES;
  ensure(stdout.length === expected, `${stdout.length} bytes of grey pixels instead of ${expected}`);
}

async function curl(stage) {
  const feed = await liveFeed(stage);
  const child = spawn("curl", ["--silent", "--show-error", "--no-buffer", feed], { stdio: ["ignore", "pipe", "pipe"] });
  stage.defer(() => child.kill("SIGKILL"));
  const sizes = [];
  let complaint = "";
  const parts = new Parts(({ data }) => {
    ensure(data.readUInt16BE(0) === 0xffd8, "a part does not begin as a JPEG");
    ensure(data.readUInt16BE(data.length - 2) === 0xffd9, "a part does not end as a JPEG");
    sizes.push(jpegSize(data));
  });
  child.stderr.on("data", (bytes) => (complaint += bytes));
  child.stdout.on("data", (bytes) => {
    try {
      parts.push(bytes);
    } catch (error) {
      complaint ||= error.message;
    }
  });
  await until(`${FRAMES} pictures`, () => sizes.length >= FRAMES || complaint);
  ensure(!complaint, complaint);
  const wrong = sizes.find(({ width, height }) => width !== SIZE.width || height !== SIZE.height);
  ensure(!wrong, `a picture of ${wrong?.width}x${wrong?.height}`);
}

async function openCv(stage) {
  const python = pythonWithOpenCv();
  const feed = await liveFeed(stage);
  const script = fileURLToPath(new URL("./opencv_client.py", import.meta.url));
  const { stdout } = await run(python, [script, feed, String(FRAMES)], { timeout: 90000 });
  const sizes = stdout.trim().split("\n");
  ensure(sizes.length === FRAMES, `${sizes.length} pictures instead of ${FRAMES}`);
  const wrong = sizes.find((size) => size !== `${SIZE.width}x${SIZE.height}`);
  ensure(!wrong, `a picture of ${wrong}`);
}

export const checks = [
  { name: "ffmpeg-client", needs: ["ffmpeg"], run: ffmpeg },
  { name: "curl-client", needs: ["curl"], run: curl },
  { name: "opencv-client", needs: ["python3"], run: openCv },
];
