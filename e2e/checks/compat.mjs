// Programs made for other servers, with the addresses that they use for those: OctoPrint, Home Assistant and Motion.

import { execFile, spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { moves, open, screenshot } from "../lib/browser.mjs";
import { freePort } from "../lib/framecast.mjs";
import { digest, jpegSize, readStream } from "../lib/multipart.mjs";
import { startOctoPrint } from "../lib/octoprint.mjs";
import { inVenv, lackingInVenv } from "../lib/venv.mjs";
import { ensure, until } from "../lib/wait.mjs";

const SIZE = { width: 640, height: 360 };
const CAMERA = `front=test:?size=${SIZE.width}x${SIZE.height}&fps=10`;
const run = promisify(execFile);

const OCTOPRINT = ["octoprint", ["octoprint==1.11.8"], "octoprint"];

// Home Assistant, and the requirements in the manifests of its components `camera` and `stream`.
const HOME_ASSISTANT = [
  "home-assistant",
  ["homeassistant==2024.3.3", "ha-av==10.1.1", "numpy==1.26.0", "PyTurboJPEG==1.7.1"],
  "python3",
];

function folderFor(stage, name) {
  const folder = mkdtempSync(path.join(tmpdir(), `framecast-${name}-`));
  stage.defer(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

function ensurePicture(name, data) {
  ensure(data.readUInt16BE(0) === 0xffd8, `${name} does not begin as a JPEG`);
  ensure(data.readUInt16BE(data.length - 2) === 0xffd9, `${name} does not end as a JPEG`);
  const { width, height } = jpegSize(data);
  ensure(width === SIZE.width && height === SIZE.height, `${name} is ${width}x${height}`);
}

/** A server whose camera is live, so that no client gets the slate that says "opening". */
async function liveFramecast(stage) {
  const framecast = await stage.framecast([CAMERA]);
  const holder = readStream(`${framecast.url}/video_feed`, () => false);
  stage.defer(() => holder.stop());
  await until("the camera is live", async () => (await framecast.camera("front")).state === "live");
  return framecast;
}

async function octoPrint(stage) {
  const framecast = await liveFramecast(stage);
  const url = await startOctoPrint(stage, inVenv(...OCTOPRINT), framecast.port);
  const browser = await stage.browser("chromium");
  const page = await open(browser, url);
  // While the server starts, it shows a splash page, which redirects to the real page.
  await page.waitForSelector("#webcam_image", { timeout: 120000 });
  await page.waitForFunction("typeof OctoPrint === 'object' && !!document.querySelector('#control_link a')");
  await until("OctoPrint's page has loaded", () => page.evaluate("$('#page-container-loading').is(':hidden')"));
  await page.evaluate("$('#control_link a').tab('show')");
  await until("the page shows the stream", () => page.evaluate("$('#webcam_image').is(':visible')"));
  const source = await page.evaluate(() => document.getElementById("webcam_image").getAttribute("src"));
  ensure(source.startsWith("/webcam/?action=stream"), `the address of the picture is ${source}`);
  await moves(page, "#webcam_rotator");
  await screenshot(page, stage.out("octoprint.png"));
  // What the button "Test" in OctoPrint's webcam settings does.
  const tested = await page.evaluate(`OctoPrint.util.testUrl("${framecast.url}/?action=snapshot", {
    method: "GET", response: "bytes", timeout: 5, validSsl: true, content_type_whitelist: ["image/*"],
  }).then((answer) => answer)`);
  ensure(tested.result === true, `OctoPrint's test of the snapshot fails: ${JSON.stringify(tested).slice(0, 300)}`);
  ensurePicture("what OctoPrint tested", Buffer.from(tested.response.content, "base64"));
  // A picture that OctoPrint takes itself, as for a timelapse.
  const taken = await page.evaluate(`fetch("/downloads/camera/current").then((answer) => answer.arrayBuffer())
    .then((bytes) => btoa(String.fromCharCode(...new Uint8Array(bytes))))`);
  ensurePicture("what OctoPrint took", Buffer.from(taken, "base64"));
}

async function homeAssistant(stage) {
  const framecast = await liveFramecast(stage);
  const folder = folderFor(stage, "home-assistant");
  const script = fileURLToPath(new URL("./home_assistant_client.py", import.meta.url));
  await run(inVenv(...HOME_ASSISTANT), [script, framecast.url, folder], { timeout: 180000 });
  const names = readdirSync(folder).filter((name) => name.endsWith(".jpg"));
  ensure(names.length === 27, `${names.length} pictures instead of 27: ${names.join(" ")}`);
  for (const name of names) ensurePicture(name, readFileSync(path.join(folder, name)));
  const passedOn = names.filter((name) => name.startsWith("mjpg-streamer-passed-on"));
  const different = new Set(passedOn.map((name) => digest(readFileSync(path.join(folder, name)))));
  ensure(different.size === passedOn.length, `${different.size} different pictures of ${passedOn.length}`);
}

async function motion(stage) {
  const framecast = await liveFramecast(stage);
  const folder = folderFor(stage, "motion");
  const streamPort = await freePort();
  const config = path.join(folder, "motion.conf");
  const lines = {
    daemon: "off",
    target_dir: folder,
    netcam_url: `${framecast.url}/?action=stream`,
    width: SIZE.width,
    height: SIZE.height,
    framerate: 10,
    emulate_motion: "on",
    picture_output: "on",
    picture_filename: "shot-%v-%H%M%S-%q",
    movie_output: "off",
    webcontrol_port: 0,
    stream_port: streamPort,
    stream_localhost: "on",
  };
  writeFileSync(config, Object.entries(lines).map(([key, value]) => `${key} ${value}\n`).join(""));
  const child = spawn("motion", ["-n", "-c", config], { stdio: "ignore" });
  stage.defer(() => child.kill("SIGKILL"));
  const shots = () => readdirSync(folder).filter((name) => name.endsWith(".jpg")).sort();
  await until("Motion saves ten pictures", () => shots().length > 10);
  // The last one may be incomplete.
  const pictures = shots().slice(0, 10).map((name) => readFileSync(path.join(folder, name)));
  pictures.forEach((picture, n) => ensurePicture(`picture ${n}`, picture));
  const different = new Set(pictures.map(digest)).size;
  ensure(different >= 8, `${different} different pictures among ten`);
}

export const checks = [
  { name: "octoprint", needs: ["chromium", "python3"], lacking: () => lackingInVenv(...OCTOPRINT), run: octoPrint },
  { name: "home-assistant", needs: ["python3"], lacking: () => lackingInVenv(...HOME_ASSISTANT), run: homeAssistant },
  { name: "motion", needs: ["motion"], run: motion },
];
