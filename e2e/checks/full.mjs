// A server that has reached its viewer limit: an `<img>` shows a picture that says so, and the page of a camera says so
// too and shows the camera as soon as another viewer leaves.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { moves, open, screenshot } from "../lib/browser.mjs";
import { ensure, until } from "../lib/wait.mjs";

const CONFIG = `max_viewers = 1
[[camera]]
name = "front"
source = "emulated:?fps=10"
`;

/** Becomes the only allowed viewer. */
async function watch(stage, url) {
  const request = http.get(`${url}/video_feed`);
  stage.defer(() => request.destroy());
  const response = await new Promise((resolve, reject) => request.on("response", resolve).on("error", reject));
  ensure(response.statusCode === 200, `the answer to the first viewer is ${response.statusCode}`);
  response.resume();
  return () => request.destroy();
}

async function fullServer(stage) {
  const folder = mkdtempSync(path.join(tmpdir(), "framecast-full-"));
  stage.defer(() => rmSync(folder, { recursive: true }));
  const config = path.join(folder, "framecast.toml");
  writeFileSync(config, CONFIG);
  return stage.framecast(["--config", config]);
}

async function shownToAnImage(stage, browserName) {
  const server = await fullServer(stage);
  await watch(stage, server.url);
  const elsewhere = await stage.page(`<img id="here" src="${server.url}/video_feed">`);
  const page = await open(await stage.browser(browserName), elsewhere);
  const width = () => page.evaluate(() => document.getElementById("here").naturalWidth);
  await until("the page shows the picture with the reason", async () => (await width()) === 640);
  await screenshot(page, stage.out(`full-${browserName}.png`));
  const { refused } = await (await fetch(`${server.url}/api/viewers`)).json();
  ensure(refused.server >= 1, `refused viewers: ${JSON.stringify(refused)}`);
}

/** The camera's page says why it shows nothing, and shows the camera when the other viewer has left. */
async function gotOver(stage, browserName) {
  const server = await fullServer(stage);
  const leave = await watch(stage, server.url);
  const page = await open(await stage.browser(browserName), `${server.url}/cameras/front`);
  const reason = () => page.$eval("#reason", (element) => (element.hidden ? "" : element.textContent));
  await until("the page says why there is no picture", async () =>
    /viewer limit reached \(1 for this server\) · trying again/.test(await reason()),
  );
  // While the page tries again, the picture of the next attempt is there too, and may not have arrived.
  const widths = await page.evaluate(() => [...document.querySelectorAll("#stage img")].map(({ naturalWidth }) => naturalWidth));
  ensure(widths.includes(640), `the picture with the reason is gone: ${widths}`);
  await screenshot(page, stage.out(`full-camera-${browserName}.png`));
  leave();
  const leftAt = Date.now();
  await until("the page shows no reason", async () => (await reason()) === "");
  await moves(page, "#stage");
  const left = await page.evaluate(() => document.querySelectorAll("#stage img").length);
  ensure(left === 1, `the page has ${left} pictures instead of one`);
  return `${((Date.now() - leftAt) / 1000).toFixed(1)} s after the other viewer left`;
}

export const checks = [
  { name: "full", needs: ["chromium"], run: (stage) => shownToAnImage(stage, "chromium") },
  { name: "full-firefox", needs: ["firefox-esr"], run: (stage) => shownToAnImage(stage, "firefox") },
  { name: "full-camera-chromium", needs: ["chromium"], run: (stage) => gotOver(stage, "chromium") },
  { name: "full-camera-firefox", needs: ["firefox-esr"], run: (stage) => gotOver(stage, "firefox") },
];
