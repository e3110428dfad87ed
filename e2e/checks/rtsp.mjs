// RTSP cameras: H.264 through the real ffmpeg, and JPEG without it, behind a login, a server that dies and comes back,
// and the messages for a wrong password or path. The password is in a file, and must appear nowhere else.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { alone } from "../lib/alone.mjs";
import { digest, jpegSize, readStream } from "../lib/multipart.mjs";
import { lacking, RtspServer, UdpCamera, watchCommandLines } from "../lib/rtsp.mjs";
import { ensure, until } from "../lib/wait.mjs";

const PASSWORD = "s3cr#t/w@rd";
const WRITTEN = encodeURIComponent(PASSWORD);
const SECRETS = [PASSWORD, WRITTEN];

/** A Framecast whose cameras, `[name, source, …more lines]`, are in a file, because everyone can see arguments. */
async function framecastWith(stage, cameras) {
  const folder = mkdtempSync(path.join(tmpdir(), "framecast-rtsp-"));
  stage.defer(() => rmSync(folder, { recursive: true, force: true }));
  const file = path.join(folder, "framecast.toml");
  const tables = cameras.map(
    ([name, source, ...lines]) => `[[camera]]\nname = "${name}"\nsource = "${source}"\n${lines.join("\n")}\n`,
  );
  writeFileSync(file, tables.join("\n"));
  return stage.framecast(["--config", file]);
}

/** Watches a camera; `pictures` are those that Framecast did not draw, recognised by their size. */
function watch(stage, framecast, name, { width, height }) {
  const pictures = [];
  const reader = readStream(`${framecast.url}/cameras/${name}/stream.mjpg`, ({ data }) => {
    const size = jpegSize(data);
    if (size.width === width && size.height === height) pictures.push({ at: Date.now(), hash: digest(data) });
    return false;
  });
  stage.defer(() => reader.stop());
  return pictures;
}

/** Waits for the next pictures, most of them different. */
async function moves(pictures, count = 30) {
  const from = pictures.length;
  await until(`${count} more pictures`, () => pictures.length >= from + count);
  const seen = pictures.slice(from, from + count);
  const different = new Set(seen.map(({ hash }) => hash)).size;
  ensure(different >= (count * 5) / 6, `${different} different pictures among ${count}`);
  return seen;
}

/**
 * The rate of the next pictures per second, between `least` and `most`. A wrong rate shifts both the mean and the
 * median pause, but a busy machine that holds some pictures back shifts one of them.
 */
async function rate(pictures, least, most) {
  // What ffmpeg has read before it knows the stream comes all at once.
  await moves(pictures, 20);
  const seen = await moves(pictures);
  const pauses = seen.slice(1).map(({ at }, n) => at - seen[n].at).sort((a, b) => a - b);
  const rates = [((seen.length - 1) * 1000) / (seen.at(-1).at - seen[0].at), 1000 / pauses[pauses.length >> 1]];
  const [mean, median] = rates.map((fps) => fps.toFixed(1));
  ensure(rates.some((fps) => fps > least && fps < most), `${mean} pictures a second, by the median pause ${median}, instead of ${least} to ${most}`);
  return `${mean} fps`;
}

const state = async (framecast, name) => (await framecast.camera(name)).state;

function ensureSecret(framecast, lines) {
  ensure(lines.size > 0, "no process was called ffmpeg");
  for (const secret of SECRETS) {
    for (const line of lines) ensure(!line.includes(secret), `the password is in a command line: ${line}`);
    ensure(!framecast.log.includes(secret), "the password is in the log");
  }
}

async function h264(stage) {
  const server = await RtspServer.start(stage, `digest me ${PASSWORD}`);
  const lines = watchCommandLines(stage, "pipe:0");
  const source = `rtsp://me:${WRITTEN}@127.0.0.1:${server.port}/h264#fps=10&size=320x180`;
  const framecast = await framecastWith(stage, [["cam", source]]);
  const pictures = watch(stage, framecast, "cam", { width: 320, height: 180 });
  const fps = await rate(pictures, 8, 12);
  ensureSecret(framecast, lines);
  return fps;
}

async function mjpeg(stage) {
  const server = await RtspServer.start(stage, `basic me ${PASSWORD}`);
  const lines = watchCommandLines(stage, "pipe:0");
  const source = `rtsp://me:${WRITTEN}@127.0.0.1:${server.port}/mjpeg`;
  const framecast = await framecastWith(stage, [["cam", source]]);
  const fps = await rate(watch(stage, framecast, "cam", { width: 640, height: 360 }), 20, 30);
  ensure(lines.size === 0, `a program reads the camera: ${[...lines][0]}`);
  ensure(!SECRETS.some((secret) => framecast.log.includes(secret)), "the password is in the log");
  return fps;
}

async function restart(stage) {
  const server = await RtspServer.start(stage, `digest me ${PASSWORD}`);
  const source = `rtsp://me:${WRITTEN}@127.0.0.1:${server.port}/h264`;
  const framecast = await framecastWith(stage, [["cam", source]]);
  const pictures = watch(stage, framecast, "cam", { width: 640, height: 360 });
  await moves(pictures);
  await server.kill();
  await until("the camera is lost", async () => (await state(framecast, "cam")) === "lost", { withinMs: 8000 });
  const reason = () => framecast.camera("cam").then((camera) => camera.reason ?? "");
  await until("the reason is a refused connection", async () => (await reason()).includes("refused"));
  await server.run();
  const startedAt = Date.now();
  await until("the camera is live again", async () => (await state(framecast, "cam")) === "live");
  const seconds = (Date.now() - startedAt) / 1000;
  await moves(pictures);
  ensure(!SECRETS.some((secret) => framecast.log.includes(secret)), "the password is in the log");
  return `live again after ${seconds.toFixed(1)} s`;
}

/** Every session ends with TEARDOWN: after the last viewer has left, and when Framecast ends. */
async function goodbye(stage) {
  const server = await RtspServer.start(stage);
  const names = ["h264", "mjpeg", "slow"];
  const cameras = names.map((name) => [name, `rtsp://127.0.0.1:${server.port}/${name}`, 'idle_timeout = "100ms"']);
  const framecast = await framecastWith(stage, cameras);
  const open = async (name) => {
    const reader = readStream(`${framecast.url}/cameras/${name}/stream.mjpg`, () => false);
    stage.defer(() => reader.stop());
    await until(`${name} is live`, async () => (await state(framecast, name)) === "live");
    return reader;
  };
  // The question for the codec is a session too.
  const sessions = (name) => server.goodbyes.filter((path) => path.startsWith(`/${name}`)).length;
  for (const name of names) {
    const reader = await open(name);
    const before = sessions(name);
    reader.stop();
    await until(`the camera at /${name} got TEARDOWN`, () => sessions(name) > before);
    await until(`${name} is idle`, async () => (await state(framecast, name)) === "idle");
  }
  await Promise.all(names.map(open));
  const before = names.map(sessions);
  await framecast.stop();
  await until("the end of the program reached all cameras", () => names.every((name, at) => sessions(name) > before[at]));
  ensure(server.connections() === 0, "an ffmpeg outlived the program");
}

/** A camera that refuses TCP is shown over UDP, soon and completely. */
async function udp(stage) {
  const delays = [];
  for (const kind of ["refusing", "other"]) {
    const server = await UdpCamera.start(stage, kind);
    const framecast = await framecastWith(stage, [["cam", `rtsp://127.0.0.1:${server.port}/onvif1`]]);
    const startedAt = Date.now();
    const pictures = watch(stage, framecast, "cam", { width: 640, height: 360 });
    await until(`${kind}: the first picture`, () => pictures.length > 0);
    delays.push((pictures[0].at - startedAt) / 1000);
    const [shownBefore, sentBefore] = [pictures.length, server.sent];
    await moves(pictures, 60);
    const [shown, sent] = [pictures.length - shownBefore, server.sent - sentBefore];
    // A busy machine may hold some back.
    ensure(shown >= 0.9 * (sent - 5), `${kind}: ${shown} pictures arrived of ${sent} that the camera sent`);
    const { broken } = await framecast.camera("cam");
    ensure(broken === 0, `${kind}: ${broken} broken pictures`);
    ensure(!framecast.log.includes("lost"), `${kind}: the camera was lost`);
  }
  return `first pictures after ${delays.map((delay) => delay.toFixed(1)).join(" and ")} s`;
}

/** The messages for a camera that refuses, and for one whose datagrams do not arrive. */
async function transport(stage) {
  const refusing = await UdpCamera.start(stage, "refusing");
  const silent = await UdpCamera.start(stage, "silent");
  const expected = {
    "tcp-alone": [`rtsp://127.0.0.1:${refusing.port}/1#transport=tcp`, "answered, but refuses TCP"],
    firewall: [`rtsp://127.0.0.1:${silent.port}/1#timeout=2s`, "no data came over UDP"],
    nobody: ["rtsp://127.0.0.1:9/1", "connection refused"],
  };
  const patient = 'stall_timeout = "20s"';
  const cameras = Object.entries(expected).map(([name, [source]]) => [name, source, patient]);
  const framecast = await framecastWith(stage, cameras);
  for (const [name, [, words]] of Object.entries(expected)) {
    const reader = readStream(`${framecast.url}/cameras/${name}/stream.mjpg`, () => false);
    stage.defer(() => reader.stop());
    let reason = "";
    await until(`${name} is lost`, async () => (reason = (await framecast.camera(name)).reason ?? ""));
    ensure(reason.includes(words), `${name}: the reason is: ${reason}`);
  }
}

async function refusals(stage) {
  const server = await RtspServer.start(stage, `digest me ${PASSWORD}`);
  const at = `127.0.0.1:${server.port}`;
  const expected = {
    "wrong-password": [`rtsp://me:wr%23ng-w%40rd@${at}/h264`, "user or password is wrong"],
    "no-password": [`rtsp://${at}/h264`, "asks for a user and a password"],
    "wrong-path": [`rtsp://me:${WRITTEN}@${at}/nothing`, "check the path"],
    "no-pictures": [`rtsp://me:${WRITTEN}@${at}/sound`, "sends no video"],
    "wrong-port": [`rtsp://me:${WRITTEN}@127.0.0.1:9/h264`, "connection refused"],
  };
  const framecast = await framecastWith(stage, Object.entries(expected).map(([name, [source]]) => [name, source]));
  for (const [name, [, words]] of Object.entries(expected)) {
    const reader = readStream(`${framecast.url}/cameras/${name}/stream.mjpg`, () => false);
    stage.defer(() => reader.stop());
    let reason = "";
    const told = until(`${name} is lost`, async () => (reason = (await framecast.camera(name)).reason ?? ""));
    await told;
    ensure(reason.includes(words), `${name}: the reason is: ${reason}`);
    for (const secret of [...SECRETS, "wr%23ng-w%40rd"]) {
      ensure(!reason.includes(secret) && !framecast.log.includes(secret), `${name}: the password is shown`);
    }
  }
}

const needs = ["ffmpeg", "ffprobe", "python3"];

export const checks = [
  alone({ name: "rtsp-h264", needs, lacking, run: h264 }),
  alone({ name: "rtsp-mjpeg", needs, lacking, run: mjpeg }),
  { name: "rtsp-restart", needs, lacking, run: restart },
  { name: "rtsp-goodbye", needs, lacking, run: goodbye },
  { name: "rtsp-refusals", needs, lacking, run: refusals },
  alone({ name: "rtsp-udp", needs, run: udp }),
  { name: "rtsp-transport", needs, run: transport },
];
