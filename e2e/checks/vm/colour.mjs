// Raw pictures: each format that the encoder supports, through both of the kernel's interfaces, has the colours of
// vivid's bars.

import { decode, meanColour } from "../../lib/colour.mjs";
import { ensure, until } from "../../lib/wait.mjs";
import { snapshot } from "../../lib/watch.mjs";

const FORMATS = ["yuyv", "uyvy", "nv12", "nv21", "i420", "yv12", "rgb24", "bgr24", "grey"];
const SIZE = { width: 320, height: 180 };
// How far a colour value, 0 to 255, may be off after quantisation and JPEG. Limited range taken for full is off by
// up to 16.
const TOLERANCE = 8;
// From left to right: white, yellow, cyan, green, magenta, red, blue, black.
const BARS = [[1, 1, 1], [1, 1, 0], [0, 1, 1], [0, 1, 0], [1, 0, 1], [1, 0, 0], [0, 0, 1], [0, 0, 0]];
// vivid's control `test_pattern`, and how bright the pattern's colours are.
const PATTERNS = [{ test_pattern: 0, level: 191 }, { test_pattern: 1, level: 255 }];

/** vivid's conversion of a colour to its grey format: luma by Rec. 709. */
const grey = ([red, green, blue]) => 0.2126 * red + 0.7152 * green + 0.0722 * blue;

/** What is wrong with the bars of a picture; empty when all are right. */
function wrongBars(picture, level, isGrey) {
  const width = picture.width / BARS.length;
  const wrong = BARS.map((bar, n) => {
    const colour = bar.map((value) => value * level);
    const expected = isGrey ? colour.map(() => grey(colour)) : colour;
    const [left, right] = [(n + 0.25) * width, (n + 0.75) * width];
    const found = meanColour(picture, { left, right, top: 20, bottom: picture.height - 20 });
    const isRight = found.every((value, channel) => Math.abs(value - expected[channel]) <= TOLERANCE);
    return isRight ? null : `bar ${n + 1} is ${found.map(Math.round)} instead of ${expected.map(Math.round)}`;
  });
  return wrong.filter(Boolean);
}

const config = (nodes) =>
  Object.entries(nodes)
    .flatMap(([kind, node]) =>
      FORMATS.map(
        (format) => `[[camera]]
name = "${kind}-${format}"
source = "v4l2:${node}?format=${format}&size=${SIZE.width}x${SIZE.height}&fps=5&strict"
idle_timeout = "100ms"
`,
      ),
    )
    .join("");

async function showBars(stage) {
  const { vm, single, multi } = await stage.machine();
  const nodes = { single, multi };
  const framecast = await stage.guestFramecast([], { config: config(nodes) });
  const wrong = [];
  for (const { test_pattern, level } of PATTERNS) {
    for (const node of Object.values(nodes)) await vm.set(node, { test_pattern, osd_text_mode: 2 });
    for (const format of FORMATS) {
      for (const kind of Object.keys(nodes)) {
        const camera = `${kind}-${format}`;
        const { status, data } = await snapshot(framecast, camera, "?max_age=0");
        if (status !== 200) {
          wrong.push(`${camera}: ${(await framecast.camera(camera)).reason}`);
          continue;
        }
        const bars = wrongBars(await decode(data, SIZE), level, format === "grey");
        wrong.push(...bars.map((bar) => `${camera} at ${level}: ${bar}`));
        const { capture } = await framecast.camera(camera);
        ensure(capture?.given.format === format, `${camera}: the API reports ${JSON.stringify(capture)}`);
        // The next format needs the same device.
        await until(`${camera} is closed`, async () => (await framecast.camera(camera)).state === "idle");
      }
    }
  }
  ensure(wrong.length === 0, wrong.join("; "));
  return `${FORMATS.length} formats, single- and multi-planar`;
}

export const checks = [{ name: "vm-colours", needs: ["ffmpeg"], run: showBars }];
