// The configurations of `docs/proxies.md`, each in its real proxy, at the root of a site and below a path: what people
// and programs do with Framecast also works through the proxy, and Framecast knows who they are.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { goTo, open } from "../lib/browser.mjs";
import { basic } from "../lib/framecast.mjs";
import { ask, documented, fromElsewhere, request, startProxy } from "../lib/front.mjs";
import { openMark, typeLabel } from "../lib/mark.mjs";
import { jpegSize, readStream } from "../lib/multipart.mjs";
import { ensure, until } from "../lib/wait.mjs";

const SIZE = { width: 320, height: 240 };
const PASSWORD = "right password";
const LOGIN = basic("me", PASSWORD);
// A client must not choose its address. Without the header that names it, the proxy itself would be the client.
const FORGED = { "X-Forwarded-For": "192.0.2.7", Forwarded: "for=192.0.2.8" };

const camera = (name) => `[[camera]]\nname = "${name}"\nsource = "test:?size=${SIZE.width}x${SIZE.height}&fps=10"\n`;

// The proxies are at 127.0.0.1, and clients at 127.0.0.2, which the default would trust too.
const CONFIG = `trusted_proxies = ["127.0.0.1"]\n${camera("front")}${camera("yard")}`;

function startServer(stage) {
  const folder = mkdtempSync(path.join(tmpdir(), "framecast-behind-"));
  stage.defer(() => rmSync(folder, { recursive: true, force: true }));
  const file = path.join(folder, "framecast.toml");
  writeFileSync(file, CONFIG);
  return stage.framecast(["--config", file], undefined, { password: PASSWORD });
}

/** Who needs to log in, and who may not. */
async function login(base) {
  for (const [what, headers, wanted] of [["no login", {}, 401], ["a wrong password", basic("me", "wrong"), 401], ["the login", LOGIN, 200]]) {
    const { status, headers: told } = await ask(`${base}api/cameras`, { headers });
    ensure(status === wanted, `the answer to a request with ${what} is ${status}`);
    ensure(status === 200 || /^Basic /.test(told["www-authenticate"]), `no browser would ask for the password after ${what}`);
  }
}

/** A program's stream: its address is known, nothing is held back, and the server notices its end. */
async function stream(framecast, base) {
  let parts = 0;
  const reader = readStream(`${base}video_feed`, () => void (parts += 1), { ...LOGIN, ...FORGED }, fromElsewhere);
  const streams = async () => (await framecast.viewers()).filter(({ via }) => via === "mjpeg");
  const sent = await until("the stream has a viewer with ten pictures", async () => {
    const [viewer] = await streams();
    return viewer?.frames >= 10 && viewer;
  });
  ensure(sent.address === fromElsewhere.localAddress, `the address of the viewer is ${sent.address}`);
  // From here on the server sends nothing, so nothing pushes out what a buffer holds.
  framecast.freeze();
  try {
    await until(`the client has the ${sent.frames} pictures that the server had sent`, async () => parts >= sent.frames);
  } finally {
    framecast.thaw();
  }
  reader.stop();
  await until("the server knows that the stream has ended", async () => (await streams()).length === 0);
}

/** A program's events, as Server-Sent Events: one that happens while the program waits arrives. */
async function events(base, label) {
  const response = await request(`${base}api/events/live?kind=mark`, { headers: LOGIN });
  ensure(response.statusCode === 200, `the answer to a request for events is ${response.statusCode}`);
  let text = "";
  response.on("data", (bytes) => (text += bytes));
  response.on("error", () => {});
  const headers = { ...LOGIN, ...FORGED, "Content-Type": "application/json" };
  const { status, body } = await ask(`${base}api/events`, { method: "POST", headers, body: JSON.stringify({ label }) });
  ensure(status === 201, `the answer to a mark is ${status}: ${body}`);
  await until("the event arrives", async () => /^data: /m.test(text) && text.includes(label));
  response.destroy();
}

async function tableAndSnapshot(base, label) {
  const table = await ask(`${base}api/events.csv`, { headers: LOGIN });
  const text = table.body.toString();
  ensure(table.status === 200 && /^id,/.test(text) && text.includes(label), `the table is ${table.status}: ${text.slice(0, 200)}`);
  const page = await ask(`${base}history`, { headers: LOGIN });
  ensure(page.body.includes(label) && page.body.includes("</html>"), `the table for people is ${page.status}`);
  const { status, body } = await ask(`${base}snapshot.jpg`, { headers: LOGIN });
  ensure(status === 200, `the answer to a request for a snapshot is ${status}: ${body}`);
  const { width, height } = jpegSize(body);
  ensure(width === SIZE.width && height === SIZE.height, `the snapshot is ${width}x${height}`);
}

/** A person's browser: a wall over one WebSocket, a mark, and the page of a camera. */
async function pages(browser, framecast, base, label) {
  const page = await open(browser, "about:blank");
  await page.authenticate({ username: "me", password: PASSWORD });
  await goTo(page, base);
  await until("the page paints both cameras from one WebSocket", async () => (await page.$$(".tile canvas.seen")).length === 2);
  await openMark(page);
  await typeLabel(page, label);
  await page.keyboard.press("Enter");
  await until("the server has the mark", async () => (await framecast.events({ kind: "mark" })).some(({ text }) => text === label));
  const viewers = await framecast.viewers();
  ensure(viewers.every(({ via }) => via === "live"), `viewers: ${JSON.stringify(viewers)}`);
  await goTo(page, `${base}cameras/front`);
  await until("the page of a camera shows a picture", () =>
    page.evaluate(() => {
      const picture = document.querySelector("#stage :is(img, canvas)");
      return document.getElementById("state").textContent === "live" && (picture.naturalWidth ?? picture.width) > 0;
    }),
  );
  await page.close();
}

async function carries(stage, proxy) {
  const framecast = await startServer(stage);
  const browser = await stage.browser("chromium", { flags: ["--ignore-certificate-errors"] });
  const [root, below] = documented(proxy, framecast.port);
  for (const [write, prefix] of [[root, "/"], [below, "/cams/"]]) {
    const url = await startProxy(stage, proxy, write);
    const base = `${url}${prefix}`;
    await login(base);
    await stream(framecast, base);
    await events(base, `program at ${base}`);
    await tableAndSnapshot(base, `program at ${base}`);
    await pages(browser, framecast, base, `person at ${base}`);
    if (prefix === "/") continue;
    const { status, headers } = await ask(url + prefix.slice(0, -1));
    ensure(status >= 301 && new URL(headers.location, url).href === base, `without the slash: ${status}, ${headers.location}`);
  }
}

const PROGRAMS = { nginx: "nginx", caddy: "caddy", haproxy: "haproxy", apache: "apache2" };

export const checks = Object.entries(PROGRAMS).map(([proxy, program]) => ({
  name: `behind-${proxy}`,
  needs: [program, "chromium"],
  run: (stage) => carries(stage, proxy),
}));
