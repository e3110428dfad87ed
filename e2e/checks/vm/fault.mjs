// Each fault of the webcam and of vivid: how Framecast handles and counts it, and that the other cameras do not suffer.

import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { open } from "../../lib/browser.mjs";
import { decode } from "../../lib/colour.mjs";
import { pythonWithOpenCv } from "../../lib/tool.mjs";
import { ensure, sleep, until } from "../../lib/wait.mjs";
import { snapshot, Viewer } from "../../lib/watch.mjs";

const run = promisify(execFile);
const SIZE = { width: 640, height: 480 };
const STALL_S = 3;
// While one camera is faulty, the others may pause this long: enough for a slow machine, too short for an opening.
const PAUSE_MS = 2500;
// The requested frames per second of each camera, and the share of them that must arrive.
const RATES = { webcam: 15, vivid: 5, emulated: 5 };
const KEPT = 0.9;

/**
 * Each fault of the webcam: what is set, and the effect on the camera. `counts`: the API's counter that grows; `keeps`:
 * those that do not; `lost`: the camera is lost, with this in the reason.
 */
const WEBCAM = [
  { set: "pad=7", keeps: ["broken"] },
  { set: "truncate=3", counts: "broken" },
  { set: "garbage=3", counts: "broken" },
  { set: "err=3", counts: "lost", keeps: ["broken"] },
  { set: "slow=4", keeps: ["broken"] },
  { set: "freeze=1", lost: /no picture for/ },
];

/** Faults of vivid that leave the camera live, in the same form; `set` are controls. */
const VIVID_LIVE = [
  { set: { inject_v4l2_buf_flag_error: 1 }, counts: "broken" },
  { set: { percentage_of_dropped_buffers: 50 }, counts: "lost", keeps: ["broken"] },
  { set: { percentage_of_dropped_buffers: 0 } },
];

/**
 * Faults of vivid after which the device is opened again, each on a camera of its own, so that each is the first
 * failure of its camera. `reasons`: why it is lost, one after the other.
 */
const VIVID_LOST = {
  streaming: { push: ["inject_fatal_streaming_error"], reasons: [/stopped/] },
  qbuf: { push: ["inject_vidioc_qbuf_error"], reasons: [/VIDIOC_QBUF/] },
  streamon: {
    push: ["inject_vidioc_streamon_error", "inject_fatal_streaming_error"],
    reasons: [/stopped/, /VIDIOC_STREAMON/],
  },
  reqbufs: {
    push: ["inject_vidioc_reqbufs_error", "inject_fatal_streaming_error"],
    reasons: [/stopped/, /VIDIOC_REQBUFS/],
  },
  disconnect: { push: ["disconnect"], reasons: [/unplugged|plugged in/] },
};

const config = (raw) => `
[[camera]]
name = "webcam"
source = "v4l2:usb=1209:0001?format=mjpeg&size=${SIZE.width}x${SIZE.height}&fps=${RATES.webcam}"
stall_timeout = "${STALL_S}s"

[[camera]]
name = "emulated"
source = "test:?size=320x180&fps=${RATES.emulated}"
${["vivid", ...Object.keys(VIVID_LOST)]
  .map(
    (name) => `
[[camera]]
name = "${name}"
source = "v4l2:${raw}?format=yuyv&size=320x180&fps=${RATES.vivid}"
idle_timeout = "100ms"
`,
  )
  .join("")}`;

/** A running Framecast with a viewer of each camera. */
async function cameras(stage, names) {
  const { vm, single } = await stage.machine();
  const framecast = await stage.guestFramecast([], { config: config(single) });
  const viewers = Object.fromEntries(
    names.map((name) => [name, new Viewer(stage, `${framecast.url}/cameras/${name}/stream.mjpg`)]),
  );
  for (const viewer of Object.values(viewers)) await viewer.more(3);
  return { vm, node: single, framecast, viewers };
}

/** Watches the cameras that are not faulty; returns a description of how they fared. */
async function bystanders(framecast, viewers, names) {
  const before = await Promise.all(names.map((name) => framecast.camera(name)));
  const shown = names.map((name) => viewers[name].pictures);
  const startedAt = Date.now();
  const longest = names.map(() => 0);
  const timer = setInterval(() => {
    for (const [n, name] of names.entries()) {
      longest[n] = Math.max(longest[n], Date.now() - viewers[name].pictureAt);
    }
  }, 50);
  return async () => {
    clearInterval(timer);
    const seconds = (Date.now() - startedAt) / 1000;
    const after = await Promise.all(names.map((name) => framecast.camera(name)));
    for (const [n, name] of names.entries()) {
      const fps = (viewers[name].pictures - shown[n]) / seconds;
      ensure(fps > RATES[name] * KEPT, `${name} came at ${fps.toFixed(1)} fps instead of ${RATES[name]}`);
      ensure(viewers[name].ended === null, `${name}: a viewer was disconnected: ${viewers[name].ended}`);
      const opened = after[n].opened - before[n].opened;
      ensure(opened === 0, `${name} was opened ${opened} more times`);
      ensure(after[n].broken === before[n].broken, `${name} has ${after[n].broken - before[n].broken} broken pictures`);
      ensure(longest[n] < PAUSE_MS, `${name} had no picture for ${longest[n]} ms`);
    }
  };
}

/** Waits for the effect of a fault that leaves the camera live, and checks it. */
async function staysLive(framecast, name, viewer, { counts, keeps = [] }, before) {
  if (counts) await until(`"${counts}" grows`, async () => (await framecast.camera(name))[counts] > before[counts]);
  await viewer.more(10);
  const after = await framecast.camera(name);
  ensure(after.state === "live" && after.opened === before.opened, `${name} is ${after.state} (${after.reason})`);
  const grown = keeps.filter((key) => after[key] !== before[key]);
  ensure(grown.length === 0, `the counts ${grown} grew: ${JSON.stringify(after)}`);
  for (const { data } of viewer.parts.slice(-10)) {
    ensure(data.readUInt16BE(data.length - 2) === 0xffd9, "a picture does not end as a JPEG");
  }
}

/** Runs `work`, and puts `what` before its error message. */
async function named(what, work) {
  try {
    return await work();
  } catch (error) {
    throw new Error(`${what}: ${error.message}`);
  }
}

async function webcamFaults(stage) {
  const { vm, framecast, viewers } = await cameras(stage, ["webcam", "vivid", "emulated"]);
  const endWatch = await bystanders(framecast, viewers, ["vivid", "emulated"]);
  const viewer = viewers.webcam;
  for (const fault of WEBCAM) {
    await named(fault.set, async () => {
      const before = await framecast.camera("webcam");
      await vm.webcam("set", fault.set);
      if (fault.lost) {
        await viewer.until("the slate", () => viewer.slateAt > viewer.pictureAt);
        const reason = await until("the webcam is lost", async () => (await framecast.camera("webcam")).reason);
        ensure(fault.lost.test(reason), `the reason is ${reason}`);
      } else {
        await staysLive(framecast, "webcam", viewer, fault, before);
      }
      await vm.webcam("set", fault.set.replace(/=.*/, "=0"));
      await viewer.more(5);
      const { opened } = await framecast.camera("webcam");
      ensure(opened > before.opened === Boolean(fault.lost), `the webcam was opened ${opened - before.opened} more times`);
    });
  }
  await endWatch();
  return WEBCAM.map(({ set }) => set).join(", ");
}

async function vividFaults(stage) {
  const { vm, node, framecast, viewers } = await cameras(stage, ["webcam", "vivid", "emulated"]);
  const endWatch = await bystanders(framecast, viewers, ["webcam", "emulated"]);
  for (const fault of VIVID_LIVE) {
    await named(Object.keys(fault.set).join(), async () => {
      const before = await framecast.camera("vivid");
      await vm.set(node, fault.set);
      await staysLive(framecast, "vivid", viewers.vivid, fault, before);
    });
  }
  viewers.vivid.leave();
  let last = "vivid";
  for (const [name, fault] of Object.entries(VIVID_LOST)) {
    const previous = last;
    await until(`${previous} is closed`, async () => (await framecast.camera(previous)).state === "idle");
    await named(name, () => losesAndRecovers(stage, { vm, node, framecast, name, ...fault }));
    last = name;
  }
  await endWatch();
  return [...VIVID_LIVE.map(({ set }) => Object.keys(set).join()), ...Object.keys(VIVID_LOST)].join(", ");
}

/** The camera `name` is lost with each of `reasons`, and then live again. */
async function losesAndRecovers(stage, { vm, node, framecast, name, push, reasons }) {
  const viewer = new Viewer(stage, `${framecast.url}/cameras/${name}/stream.mjpg`);
  await viewer.more(2);
  const { opened } = await framecast.camera(name);
  await vm.set(node, Object.fromEntries(push.map((control) => [control, 1])));
  for (const reason of reasons) {
    const isTold = async () => reason.test((await framecast.camera(name)).reason);
    await until(`the reason matches ${reason}`, isTold, { everyMs: 50 });
    await viewer.until("the slate", () => viewer.slates > 0);
  }
  await viewer.more(2);
  const after = await framecast.camera(name);
  ensure(after.state === "live", `${name} is ${after.state}: ${after.reason}`);
  ensure(after.opened - opened === 1, `${name} was opened ${after.opened - opened} more times`);
  viewer.leave();
}

/** JPEGs without Huffman tables, as many webcams send them, can be decoded at every output. */
async function noTables(stage) {
  const { vm } = await stage.machine();
  await vm.webcam("set", "dht=0");
  const source = `v4l2:usb=1209:0001?format=mjpeg&size=${SIZE.width}x${SIZE.height}&fps=15`;
  const framecast = await stage.guestFramecast([`cam=${source}`]);
  const feed = `${framecast.url}/cameras/cam/stream.mjpg`;
  const viewer = new Viewer(stage, feed);
  await viewer.more(5);
  await decode((await snapshot(framecast, "cam")).data, SIZE);
  const script = fileURLToPath(new URL("../opencv_client.py", import.meta.url));
  const { stdout } = await run(pythonWithOpenCv(), [script, feed, "10"], { timeout: 90000 });
  const sizes = new Set(stdout.trim().split("\n"));
  ensure([...sizes].join() === `${SIZE.width}x${SIZE.height}`, `OpenCV reads pictures of ${[...sizes]}`);
  const browser = await stage.browser("chromium");
  const page = await open(browser, await stage.page(`<img id="here" src="${feed}">`));
  const drawn = () =>
    page.evaluate(() => {
      const image = document.getElementById("here");
      return image.naturalWidth > 0 && `${image.naturalWidth}x${image.naturalHeight}`;
    });
  const size = await until("Chromium shows it", drawn);
  ensure(size === `${SIZE.width}x${SIZE.height}`, `Chromium shows ${size}`);
  await sleep(500);
  const { broken } = await framecast.camera("cam");
  ensure(broken === 0, `${broken} broken pictures`);
  return "Chromium, ffmpeg and OpenCV";
}

export const checks = [
  { name: "vm-faults-webcam", run: webcamFaults },
  { name: "vm-faults-vivid", run: vividFaults },
  { name: "vm-no-tables", needs: ["chromium", "ffmpeg", "python3"], run: noTables },
];
