// Sources that the device cannot deliver as requested: Framecast refuses each with what the device has, or takes the
// nearest.

import { ensure, until } from "../../lib/wait.mjs";
import { snapshot } from "../../lib/watch.mjs";

/** Requests with `strict`, and what the refusal must name. */
const STRICT = [
  ["format=nv12&size=640x480", ["nv12", "mjpeg", "yuyv"]],
  ["format=mjpeg&size=800x600", ["800x600", "1280x720", "640x480", "1920x1080"]],
  ["format=mjpeg&size=640x480&fps=17", ["17", "30", "25", "15", "5"]],
];
/** Requests without it, and the result. */
const NEAREST = [
  ["format=mjpeg&size=700x500&fps=15", { format: "mjpeg", width: 640, height: 480, fps: 15 }],
  ["format=mjpeg&size=640x480&fps=17", { format: "mjpeg", width: 640, height: 480, fps: 15 }],
];

/** Opens a camera and returns the reason why it is lost. */
async function reasonOf(framecast, camera) {
  snapshot(framecast, camera).catch(() => {});
  return until(`${camera} is lost`, async () => {
    const { state, reason } = await framecast.camera(camera);
    ensure(state !== "live", `${camera} is live`);
    return state === "lost" && reason;
  });
}

function ensureNames(what, text, words) {
  const missing = words.filter((word) => !text.includes(word));
  ensure(missing.length === 0, `${what}: the message lacks ${missing}: ${text}`);
}

async function refuse(stage) {
  const { vm, single, multi, webcam } = await stage.machine();
  const [, output] = single.match(/(\d+)$/);
  const outputNode = `/dev/video${Number(output) + 1}`;
  const metadataNode = `/dev/video${Number(webcam.match(/(\d+)$/)[1]) + 1}`;
  const others = {
    output: [`v4l2:${outputNode}`, [outputNode, "output"]],
    metadata: [`v4l2:${metadataNode}`, [metadataNode, "metadata"]],
    absent: ["v4l2:/dev/video99", ["/dev/video99"]],
    unplugged: ["v4l2:usb=1234:5678", ["1234:5678"]],
    nodevice: ["v4l2:/dev/null", ["/dev/null"]],
  };
  const cameras = [
    ...STRICT.map(([query], n) => `strict${n}=v4l2:usb=1209:0001?${query}&strict`),
    ...Object.entries(others).map(([name, [source]]) => `${name}=${source}`),
  ];
  const framecast = await stage.guestFramecast(cameras);
  for (const [n, [query, words]] of STRICT.entries()) {
    ensureNames(query, await reasonOf(framecast, `strict${n}`), words);
  }
  for (const [name, [, words]] of Object.entries(others)) {
    ensureNames(name, await reasonOf(framecast, name), words);
  }
  await framecast.stop();
  await takeNearest(stage);
  await unknownOption(vm, multi);
  return nameTheGroup(stage, vm, multi);
}

async function takeNearest(stage) {
  for (const [query, given] of NEAREST) {
    const framecast = await stage.guestFramecast([`near=v4l2:usb=1209:0001?${query}`]);
    ensure((await snapshot(framecast, "near")).status === 200, `${query}: ${(await framecast.camera("near")).reason}`);
    const { capture } = await framecast.camera("near");
    const asked = Object.fromEntries(new URLSearchParams(query));
    const isTold =
      Object.entries(given).every(([key, value]) => capture.given[key] === value) &&
      `${capture.asked.width}x${capture.asked.height}` === asked.size &&
      capture.asked.fps === Number(asked.fps);
    ensure(isTold, `${query}: the API reports ${JSON.stringify(capture)}`);
    ensure(/WARN/.test(framecast.log.split("opening")[1] ?? ""), `${query}: no warning in the log`);
    await framecast.stop();
  }
}

async function unknownOption(vm, node) {
  const said = await vm.command(`'a=v4l2:${node}?colour=red' 2>&1`).then(
    (text) => `accepted: ${text}`,
    ({ stdout }) => stdout,
  );
  ensureNames("an unknown option", said, ["colour", "size", "fps", "format"]);
}

/** Runs as an account that may not open the node: the reason names the group that may. */
async function nameTheGroup(stage, vm, node) {
  await vm.exec(`chgrp video ${node} && chmod 660 ${node}`);
  const as = "chroot --userspec=65534:65534 --groups=65534 /";
  const framecast = await stage.guestFramecast([`closed=v4l2:${node}`], { as });
  const reason = await reasonOf(framecast, "closed");
  ensureNames("no permission", reason, [node, "usermod", "video"]);
  const { devices } = await (await fetch(`${framecast.url}/api/devices`)).json();
  const problem = devices.find(({ path }) => path === node)?.problem ?? "";
  ensureNames("/api/devices without permission", problem, ["video"]);
  return reason;
}

export const checks = [{ name: "vm-bad-input", run: refuse }];
