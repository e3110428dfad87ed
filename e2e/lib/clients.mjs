// Programs with which people read streams: ffmpeg, curl and OpenCV get whole pictures of the right size, and ffmpeg
// decodes MP4.

import { execFile, spawn, spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { meanColour } from "./colour.mjs";
import { jpegSize, Parts } from "./multipart.mjs";
import { frameNumber } from "./number.mjs";
import { pythonWithOpenCv } from "./tool.mjs";
import { ensure, until } from "./wait.mjs";

export const FRAMES = 25;
const OPENCV_SCRIPT = fileURLToPath(new URL("../checks/opencv_client.py", import.meta.url));
const run = promisify(execFile);

/** The first three of the colour bars at the top of the pattern, from the left. */
const BARS = [[191, 191, 191], [191, 191, 0], [0, 191, 191]];

/** ffmpeg reads `feed`, whose pictures show colour bars and rising numbers, which begin again after `period`. */
export async function readWithFfmpeg(feed, size, period = Infinity) {
  const input = ["-v", "error", "-xerror", "-i", feed, "-frames:v", String(FRAMES), "-fps_mode", "passthrough"];
  const { stdout, stderr } = await run("ffmpeg", [...input, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], {
    encoding: "buffer",
    maxBuffer: 1 << 28,
    timeout: 120000,
  });
  ensure(stderr.length === 0, `ffmpeg says: ${stderr}`);
  const each = size.width * size.height * 3;
  ensure(stdout.length === each * FRAMES, `${stdout.length} bytes of pixels instead of ${each * FRAMES}`);
  let last = -1;
  for (let at = 0; at < stdout.length; at += each) {
    const picture = { ...size, rgb: stdout.subarray(at, at + each) };
    const number = frameNumber(picture);
    const isNext = number !== null && (number > last || last - number > period / 2);
    ensure(isNext, `picture ${at / each} has the number ${number} after ${last}`);
    last = number;
    const width = size.width / 7;
    for (const [bar, wanted] of BARS.entries()) {
      const area = { left: Math.ceil(bar * width) + 8, right: Math.floor((bar + 1) * width) - 8, top: 8, bottom: 40 };
      const colour = meanColour(picture, area);
      const isRight = colour.every((value, channel) => Math.abs(value - wanted[channel]) < 12);
      ensure(isRight, `bar ${bar} of picture ${at / each} is ${colour.map(Math.round)} instead of ${wanted}`);
    }
  }
}

/** ffmpeg decodes `bytes`, which are fragmented MP4. Returns the number of frames, and what ffmpeg complains about. */
export function decodeMp4(bytes) {
  const output = ["-fps_mode", "passthrough", "-f", "framecrc", "-"];
  const { stdout, stderr } = spawnSync("ffmpeg", ["-v", "error", "-i", "-", ...output], { input: bytes, encoding: "utf8" });
  const frames = stdout.split("\n").filter((line) => line && !line.startsWith("#")).length;
  return { frames, complaints: stderr };
}

/** curl reads `feed`. */
export async function readWithCurl(stage, feed, size) {
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
  child.kill("SIGKILL");
  ensure(!complaint, complaint);
  const wrong = sizes.find(({ width, height }) => width !== size.width || height !== size.height);
  ensure(!wrong, `a picture of ${wrong?.width}x${wrong?.height}`);
}

/** OpenCV reads `feed`. */
export async function readWithOpenCv(feed, size) {
  const { stdout } = await run(pythonWithOpenCv(), [OPENCV_SCRIPT, feed, String(FRAMES)], { timeout: 120000 });
  const sizes = stdout.trim().split("\n");
  ensure(sizes.length === FRAMES, `${sizes.length} pictures instead of ${FRAMES}`);
  const wrong = sizes.find((each) => each !== `${size.width}x${size.height}`);
  ensure(!wrong, `a picture of ${wrong}`);
}
