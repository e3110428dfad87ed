// What Framecast says of cameras that nobody watches: metrics, history, a webhook and the page name the same five lost
// ones of forty. Another check counts the programs that Framecast runs at once to learn that.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { isQuiet, open, styled } from "../lib/browser.mjs";
import { freePort } from "../lib/framecast.mjs";
import { tabTo } from "../lib/keys.mjs";
import { childrenOf } from "../lib/process.mjs";
import { saveScreenshots } from "../lib/screenshot.mjs";
import { ensure, until } from "../lib/wait.mjs";

const PICTURE = readFileSync(new URL("../../testdata/ffmpeg-mjpeg.jpg", import.meta.url));
const INTERVAL = 'probe = "10s"';
const WORKING = 35;
// In the order of the file, after all the others.
const LOST = ["refused-1", "refused-2", "hanging", "locked", "missing"];
const MAX_PROBES = 4;
const RTSP_CAMERAS = 8;

/** A file with the settings `head` and `cameras`, `[name, source, …more lines]`; returns its path. */
function configure(stage, head, cameras) {
  const folder = mkdtempSync(path.join(tmpdir(), "framecast-health-"));
  stage.defer(() => rmSync(folder, { recursive: true, force: true }));
  const tables = cameras.map(([name, source, ...lines]) => ["[[camera]]", `name = "${name}"`, `source = "${source}"`, ...lines, ""].join("\n"));
  const file = path.join(folder, "framecast.toml");
  writeFileSync(file, [...head, "", ...tables].join("\n"));
  return file;
}

/** A server that accepts connections and never answers; returns its port. */
const hang = (stage) => stage.listen(net.createServer((socket) => socket.on("error", () => {}).resume()));

/** A camera that asks for a password until `isOpen` is set; then it sends pictures. */
async function lock(stage) {
  const camera = { isOpen: false };
  camera.port = await stage.listen(http.createServer((_, response) => {
    if (!camera.isOpen) return response.writeHead(401, { "WWW-Authenticate": 'Basic realm="camera"' }).end();
    response.writeHead(200, { "Content-Type": "multipart/x-mixed-replace; boundary=frame" });
    response.write(`--frame\r\nContent-Type: image/jpeg\r\nContent-Length: ${PICTURE.length}\r\n\r\n`);
    response.write(PICTURE);
    return response.write("\r\n--frame\r\n");
  }));
  return camera;
}

/** The receiver of a webhook: `events` are those that came, each once. */
async function receive(stage) {
  const receiver = { events: [] };
  receiver.port = await stage.listen(http.createServer(async (request, response) => {
    let body = "";
    for await (const part of request) body += part;
    const event = JSON.parse(body);
    // An event may come twice.
    if (!receiver.events.some(({ id }) => id === event.id)) receiver.events.push(event);
    response.writeHead(204).end();
  }));
  return receiver;
}

const sorted = (names) => names.toSorted().join(" ");
const ofKind = (events, kind) => events.filter((event) => event.kind === kind).map(({ camera }) => camera);

/** The names of the cameras that are in `state`, as `/metrics` has them. */
async function measured(framecast, state) {
  const text = await (await fetch(`${framecast.url}/metrics`)).text();
  return [...text.matchAll(/^framecast_camera_state\{camera="([^"]+)",state="([a-z]+)"\} 1(?:\.0)?$/gm)]
    .filter((match) => match[2] === state)
    .map((match) => match[1]);
}

/** Waits until metrics, history and webhook name the same lost cameras, each once. */
async function agreeOnLost(framecast, receiver) {
  let told = {};
  await until("metrics, history and webhook name the five lost cameras", async () => {
    told = {
      metrics: await measured(framecast, "lost"),
      history: ofKind(await framecast.events({ kind: "lost" }), "lost"),
      webhook: ofKind(receiver.events, "lost"),
    };
    return Object.values(told).every((names) => sorted(names) === sorted(LOST));
  }).catch((error) => {
    throw new Error(`${error.message}; the lost cameras: ${Object.entries(told).map(([who, names]) => `${who}: ${sorted(names)}`).join("; ")}`);
  });
}

const summary = (page) => page.$eval("#summary", ({ textContent }) => textContent);
const firstTiles = (page) =>
  page.$$eval(".tile .name", (names, count) => names.slice(0, count).map(({ textContent }) => textContent), LOST.length);
const stateOf = (page, name) =>
  page.evaluate((wanted) => {
    const tile = [...document.querySelectorAll(".tile")].find((one) => one.querySelector(".name").textContent === wanted);
    return tile.querySelector(".state").textContent;
  }, name);

/** The wall names the lost cameras although they are out of sight, and shows them first if it is told to. */
async function showsLost(stage, framecast, browserName, browser, unseen) {
  const page = await open(browser, framecast.url);
  await until("the head of the page counts five lost cameras", async () => /^40 cameras · .*\b5 lost\b/.test(await summary(page)));
  const title = await page.title();
  ensure(title === "(5 lost) Framecast", `the title is ${title}`);
  const icon = await page.$eval('link[rel="icon"]', ({ href }) => href);
  ensure(/\/icon-lost\.svg$/.test(icon) && (await fetch(icon)).ok, `the icon is ${icon}`);
  const place = await page.evaluate(() => document.querySelector(".tile:last-child").getBoundingClientRect().top / innerHeight);
  ensure(place > 1 && sorted(await firstTiles(page)) !== sorted(LOST), "the lost cameras are in sight already");
  ensure((await stateOf(page, unseen)) === "not checked", `${unseen}, which nobody has seen: ${await stateOf(page, unseen)}`);

  const isPressed = () => page.$eval("#lost-first", (button) => button.getAttribute("aria-pressed"));
  await tabTo(page, "#lost-first");
  ensure((await isPressed()) === "false", "lost cameras are first from the start");
  await page.keyboard.press(" ");
  await until("the lost cameras come first", async () => (await firstTiles(page)).join() === LOST.join());
  const isFocused = await page.evaluate(() => document.activeElement.id === "lost-first");
  ensure(isFocused && (await isPressed()) === "true", "the button has lost the focus, or is not pressed");
  await until("the five tiles say why in their pictures", () =>
    page.$$eval(".tile", (tiles, count) => tiles.slice(0, count).every((tile) => tile.querySelector(".picture > .seen")), LOST.length),
  );
  await saveScreenshots(stage, page, "health", browserName);
  await page.setViewport({ width: 1280, height: 800 });

  await page.reload({ waitUntil: "domcontentloaded" });
  await styled(page);
  await until("the lost cameras come first again", async () => (await firstTiles(page)).join() === LOST.join());
  ensure((await isPressed()) === "true", "the choice is forgotten");
  await tabTo(page, "#lost-first");
  await page.keyboard.press(" ");
  await until("the cameras are in the order of the file", async () => (await firstTiles(page))[0] === "working-1");
  ensure((await isPressed()) === "false", "the button is still pressed");

  ensure((await stateOf(page, unseen)) === "not checked", `${unseen} is ${await stateOf(page, unseen)}`);
  await page.evaluate((wanted) => {
    [...document.querySelectorAll(".tile .name")].find(({ textContent }) => textContent === wanted).scrollIntoView();
  }, unseen);
  await until(`${unseen} is live once it is in sight`, async () => (await stateOf(page, unseen)) === "live");
  isQuiet(page);
  await page.close();
}

async function health(stage) {
  const receiver = await receive(stage);
  const locked = await lock(stage);
  const [hangingPort, ...refusedPorts] = [await hang(stage), await freePort(), await freePort()];
  const file = configure(stage, [INTERVAL, "[[webhook]]", `url = "http://127.0.0.1:${receiver.port}/"`, 'kinds = ["lost", "live", "removed"]'], [
    ...Array.from({ length: WORKING }, (_, n) => [`working-${n + 1}`, "test:?size=320x180&fps=2"]),
    ["refused-1", `http://127.0.0.1:${refusedPorts[0]}/`],
    ["refused-2", `http://127.0.0.1:${refusedPorts[1]}/`],
    ["hanging", `http://127.0.0.1:${hangingPort}/`],
    ["locked", `http://127.0.0.1:${locked.port}/`],
    ["missing", "exec:/nowhere/at/all", INTERVAL],
  ]);
  const framecast = await stage.framecast(["--config", file]);
  const startedAt = Date.now();
  // They start meanwhile.
  const starting = Promise.all(["chromium", "firefox"].map((name) => stage.browser(name)));
  await Promise.all([agreeOnLost(framecast, receiver), starting]);
  const seconds = ((Date.now() - startedAt) / 1000).toFixed(0);
  const working = (await framecast.cameras()).filter(({ name }) => !LOST.includes(name));
  const touched = working.filter(({ opened, checked, state }) => opened !== 0 || checked !== null || state !== "idle");
  ensure(working.length === WORKING && touched.length === 0, `opened although nobody watches: ${sorted(touched.map(({ name }) => name))}`);

  const [chromium, firefox] = await starting;
  await showsLost(stage, framecast, "chromium", chromium, `working-${WORKING}`);
  // Far from the other, and not among the first, which both show.
  await showsLost(stage, framecast, "firefox", firefox, `working-${WORKING - 14}`);

  locked.isOpen = true;
  const back = await until("the history and the webhook have `live` of the camera that sends pictures again", async () => {
    const isBack = ({ kind, camera, text }) => kind === "live" && camera === "locked" && /^lost for \d/.test(text);
    const found = (await framecast.events({ kind: "live", camera: "locked" })).find(isBack);
    return receiver.events.some(isBack) && found;
  });
  const left = LOST.filter((name) => name !== "locked");
  await until("the metrics name the other four", async () => sorted(await measured(framecast, "lost")) === sorted(left));
  const rows = ofKind(await framecast.events({ kind: "lost" }), "lost");
  ensure(sorted(rows) === sorted(LOST), `the history has \`lost\` of: ${sorted(rows)}`);
  return `five lost after ${seconds} s; back: ${back.text}`;
}

/** Eight RTSP cameras that never answer: at most four programs at once ask them. With `fps`, ffmpeg reads them. */
async function fewPrograms(stage) {
  const port = await hang(stage);
  const names = Array.from({ length: RTSP_CAMERAS }, (_, n) => `camera-${n + 1}`);
  // Longer than the interval: there are always more cameras to ask than may be asked at once.
  const cameras = names.map((name) => [name, `rtsp://127.0.0.1:${port}/${name}#timeout=8s&transport=tcp&fps=5`]);
  const framecast = await stage.framecast(["--config", configure(stage, [INTERVAL], cameras)]);
  let most = 0;
  let looks = 0;
  const timer = setInterval(() => {
    most = Math.max(most, childrenOf(framecast.pid).length);
    looks += 1;
  }, 20);
  stage.defer(() => clearInterval(timer));
  await until("all eight cameras are lost", async () => sorted(await measured(framecast, "lost")) === sorted(names));
  ensure(most === MAX_PROBES, `${most} programs at once instead of ${MAX_PROBES}`);
  return `at most ${most} programs, in ${looks} looks`;
}

export const checks = [
  { name: "health", needs: ["chromium", "firefox-esr"], run: health },
  { name: "health-rtsp", needs: ["ffmpeg"], run: fewPrograms },
];
