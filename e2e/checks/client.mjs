// Programs with which people read streams: ffmpeg, curl and OpenCV get whole pictures of the right size.

import { execFile, spawn } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { luma, meanColour } from "../lib/colour.mjs";
import { jpegSize, Parts, readStream } from "../lib/multipart.mjs";
import { lackingOpenCv, pythonWithOpenCv } from "../lib/tool.mjs";
import { ensure, until } from "../lib/wait.mjs";

const FRAMES = 25;
// The strip at the lower edge of the test pattern: two guards, 24 bits of the frame's number, two guards.
const CELLS = 28;
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

/** The first three of the colour bars at the top of the pattern, from the left. */
const BARS = [[191, 191, 191], [191, 191, 0], [0, 191, 191]];

/** The number of the frame in the strip at the lower edge of `picture`; `null` if the strip is not whole. */
function frameNumber(picture) {
  const edge = (cell) => Math.floor((cell * SIZE.width) / CELLS);
  const isWhite = (_, cell) => {
    const middle = { left: edge(cell) + 4, right: edge(cell + 1) - 4, top: SIZE.height - 20, bottom: SIZE.height - 10 };
    return luma(meanColour(picture, middle)) > 128;
  };
  const cells = Array.from({ length: CELLS }, isWhite);
  const [white, black, ...bits] = cells;
  const [otherBlack, otherWhite] = bits.splice(-2);
  if (!white || black || otherBlack || !otherWhite) return null;
  return bits.reduce((number, bit) => 2 * number + Number(bit), 0);
}

async function ffmpeg(stage) {
  const feed = await liveFeed(stage);
  const input = ["-v", "error", "-xerror", "-i", feed, "-frames:v", String(FRAMES), "-fps_mode", "passthrough"];
  const { stdout, stderr } = await run("ffmpeg", [...input, "-f", "rawvideo", "-pix_fmt", "rgb24", "-"], {
    encoding: "buffer",
    maxBuffer: 1 << 28,
    timeout: 120000,
  });
  ensure(stderr.length === 0, `ffmpeg says: ${stderr}`);
  const each = SIZE.width * SIZE.height * 3;
  ensure(stdout.length === each * FRAMES, `${stdout.length} bytes of pixels instead of ${each * FRAMES}`);
  let last = -1;
  for (let at = 0; at < stdout.length; at += each) {
    const picture = { ...SIZE, rgb: stdout.subarray(at, at + each) };
    const number = frameNumber(picture);
    ensure(number !== null && number > last, `picture ${at / each} has the number ${number} after ${last}`);
    last = number;
    const width = SIZE.width / 7;
    for (const [bar, wanted] of BARS.entries()) {
      const area = { left: Math.ceil(bar * width) + 8, right: Math.floor((bar + 1) * width) - 8, top: 8, bottom: 40 };
      const colour = meanColour(picture, area);
      const isRight = colour.every((value, channel) => Math.abs(value - wanted[channel]) < 12);
      ensure(isRight, `bar ${bar} of picture ${at / each} is ${colour.map(Math.round)} instead of ${wanted}`);
    }
  }
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
  const { stdout } = await run(python, [script, feed, String(FRAMES)], { timeout: 120000 });
  const sizes = stdout.trim().split("\n");
  ensure(sizes.length === FRAMES, `${sizes.length} pictures instead of ${FRAMES}`);
  const wrong = sizes.find((size) => size !== `${SIZE.width}x${SIZE.height}`);
  ensure(!wrong, `a picture of ${wrong}`);
}

export const checks = [
  { name: "ffmpeg-client", needs: ["ffmpeg"], run: ffmpeg },
  { name: "curl-client", needs: ["curl"], run: curl },
  { name: "opencv-client", needs: ["python3"], lacking: lackingOpenCv, run: openCv },
];
