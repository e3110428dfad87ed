// The cable is pulled and plugged in again while people watch: the viewers learn it at once, and see the camera again
// without any action.

import { ensure, until } from "../../lib/wait.mjs";
import { Viewer } from "../../lib/watch.mjs";

const ROUNDS = 5;
// In this round another process holds the old node open, so that the webcam comes back with another number.
const ROUND_HELD = 3;
const LINK = "usb-vivid-vm_Fake_Webcam_0001-video-index0";
const VIEWERS = 3;
const SLATE_MS = 1000;
// Two seconds on a real machine.
const LIVE_MS = 5000;

/** How many descriptors and threads the program has. */
async function holdings(vm, pid) {
  const counted = await vm.exec(`ls /proc/${pid}/fd | wc -l; ls /proc/${pid}/task | wc -l`);
  const [descriptors, threads] = counted.trim().split("\n").map(Number);
  return { descriptors, threads };
}

/** By its USB vendor and product numbers, which the kernel reports. */
const byNumbers = (stage) => replug(stage, { source: "v4l2:usb=1209:0001", rounds: ROUNDS });

/** By the link that udev makes once the node exists, as `framecast devices` prints it when udev runs. */
const byLink = (stage) => replug(stage, { source: `v4l2:by-id/${LINK}`, rounds: 1, hasUdev: true });

async function replug(stage, { source, rounds, hasUdev = false }) {
  const { vm, webcam } = await stage.machine();
  if (hasUdev) await vm.exec(`cam-ctl udev-start && readlink -f /dev/v4l/by-id/${LINK}`);
  const framecast = await stage.guestFramecast([`cam=${source}?size=640x480&fps=15&format=mjpeg`]);
  const events = [];
  stage.defer(await vm.watchNodes((event) => events.push(event)));
  const viewers = Array.from({ length: VIEWERS }, () => new Viewer(stage, `${framecast.url}/cameras/cam/stream.mjpg`));
  for (const viewer of viewers) await viewer.more(5);
  const pid = await framecast.pid();
  const before = await holdings(vm, pid);
  let node = webcam;
  const figures = [];
  for (let round = 1; round <= rounds; round += 1) {
    const holder = round === Math.min(rounds, ROUND_HELD) ? await vm.start(`exec sleep 600 <${node}`) : null;
    if (holder !== null) await vm.exec(`until ls -l /proc/[0-9]*/fd/0 2>/dev/null | grep ${node}; do sleep 0.1; done`);
    const figure = await pullAndPlug({ vm, viewers, events, framecast });
    ensure(holder === null || figure.node !== node, `the webcam came back as ${node}, although a process holds that open`);
    node = figure.node;
    figures.push(figure);
    if (holder !== null) await vm.end(holder);
  }
  const isAsBefore = ({ descriptors, threads }) => descriptors <= before.descriptors && threads <= before.threads;
  let after = null;
  await until("no more descriptors and threads than before", async () => {
    after = await holdings(vm, pid);
    return isAsBefore(after);
  }).catch(() => {
    throw new Error(`before ${JSON.stringify(before)}, after ${rounds} rounds ${JSON.stringify(after)}`);
  });
  const worst = (key) => `${(Math.max(...figures.map((figure) => figure[key])) / 1000).toFixed(2)} s`;
  return `slate after ${worst("slateMs")}, live ${worst("liveMs")} after the plug, at worst`;
}

/** One round; returns the new node and the longest times of any viewer. */
async function pullAndPlug({ vm, viewers, events, framecast }) {
  // Measured from before the command, so that the time includes everything.
  const askedAt = Date.now();
  await vm.webcam("unplug");
  for (const viewer of viewers) {
    await viewer.until("the slate", () => viewer.slateAt > askedAt && viewer.slateAt > viewer.pictureAt);
  }
  const firstSlate = ({ parts }) => parts.find(({ at, isSlate }) => isSlate && at > askedAt).at;
  const slateMs = Math.max(...viewers.map(firstSlate)) - askedAt;
  const { state, reason } = await framecast.camera("cam");
  ensure(state === "lost" && reason, `the API reports ${state}, ${reason}`);
  events.length = 0;
  await vm.webcam("plug");
  const pluggedAt = Date.now();
  // The first of its two nodes is the one that captures.
  const added = await until("the node is back", () => events.find(({ action }) => action === "add"), { everyMs: 20 });
  for (const viewer of viewers) {
    await viewer.until("pictures again", () => viewer.pictureAt > added.at && viewer.pictureAt > viewer.slateAt);
  }
  const firstPicture = ({ parts }) => parts.find(({ at, isSlate }) => !isSlate && at > pluggedAt).at;
  const liveAt = Math.max(...viewers.map(firstPicture));
  // The event for the node arrives a little late, so the time counts from the plug, which is before the node.
  const liveMs = liveAt - pluggedAt;
  ensure(slateMs <= SLATE_MS, `the slate came ${slateMs} ms after the command to pull the cable`);
  ensure(liveMs <= LIVE_MS, `pictures came ${liveMs} ms after the plug, ${liveAt - added.at} ms after ${added.node}`);
  return { node: added.node, slateMs, liveMs };
}

export const checks = [
  { name: "vm-replug", run: byNumbers },
  { name: "vm-replug-link", run: byLink },
];
