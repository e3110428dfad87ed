// A raw camera with many viewers is encoded once, and one without viewers is left to other programs.

import { ensure, until } from "../../lib/wait.mjs";
import { Viewer } from "../../lib/watch.mjs";

const VIEWERS = 10;
const FRAMES = 40;
const ASKED = "format=yuyv&size=320x180&fps=5";
const CAPTURE = "--stream-mmap --stream-count=2 --stream-to=/dev/null";

async function encodeOnce(stage) {
  const { vm, single } = await stage.machine();
  const framecast = await stage.guestFramecast([`raw=v4l2:${single}?${ASKED}`]);
  const viewers = Array.from({ length: VIEWERS }, () => new Viewer(stage, `${framecast.url}/cameras/raw/stream.mjpg`));
  for (const viewer of viewers) await viewer.more(2);

  const before = await framecast.camera("raw");
  const seen = viewers.map(({ pictures }) => pictures);
  await viewers[0].more(FRAMES);
  const after = await framecast.camera("raw");
  const encoded = after.encoded - before.encoded;
  const captured = after.frames - before.frames;
  ensure(after.viewers === VIEWERS, `${after.viewers} viewers`);
  // The encoder may hold a frame at either moment.
  ensure(encoded >= FRAMES - 5 && encoded <= captured + 2, `${encoded} pictures encoded for ${captured} frames`);
  const fewest = Math.min(...viewers.map(({ pictures }, n) => pictures - seen[n]));
  ensure(fewest >= FRAMES - 5, `the slowest viewer got ${fewest} pictures of ${encoded}`);

  const holder = await refusedWhileWatched(stage, vm, single);
  await leftToOthers({ vm, framecast, viewers, node: single });
  return `${encoded} pictures encoded for ${captured} frames and ${VIEWERS} viewers; ${holder}`;
}

/** Another program cannot use the device; a second Framecast cannot either, and says who uses it. */
async function refusedWhileWatched(stage, vm, node) {
  const refusal = await vm.exec(`v4l2-ctl -d ${node} ${CAPTURE} 2>&1 || true`);
  ensure(/busy/i.test(refusal), `v4l2-ctl on a watched device says ${refusal || "nothing"}`);
  const second = await stage.guestFramecast([`raw=v4l2:${node}?${ASKED}`], { port: 8081 });
  const viewer = new Viewer(stage, `${second.url}/cameras/raw/stream.mjpg`);
  const reason = await until("the second server does not get the device", async () => (await second.camera("raw")).reason);
  const name = vm.binary.split("/").at(-1);
  ensure(reason.includes(name), `the reason does not name ${name}: ${reason}`);
  const { devices } = await (await fetch(`${second.url}/api/devices`)).json();
  const { in_use_by: user } = devices.find(({ path }) => path === node);
  ensure(user?.includes(name), `/api/devices names ${user} as the user of the device`);
  viewer.leave();
  await second.stop();
  return reason;
}

/**
 * Ten seconds after the last viewer leaves, the device is free for another program; the next viewer waits until that
 * program has ended.
 */
async function leftToOthers({ vm, framecast, viewers, node }) {
  for (const viewer of viewers) viewer.leave();
  const leftAt = Date.now();
  await until("the camera is closed", async () => (await framecast.camera("raw")).state === "idle");
  const openMs = Date.now() - leftAt;
  ensure(openMs > 9000 && openMs < 15000, `the camera stayed open for ${openMs} ms`);
  const written = await vm.exec(`v4l2-ctl -d ${node} ${CAPTURE} 2>&1`);
  ensure(!/busy|fail/i.test(written), `v4l2-ctl says ${written}`);
}

export const checks = [{ name: "vm-encode-once", run: encodeOnce }];
