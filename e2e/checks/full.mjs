// A server that has no place for one more viewer: an `<img>` shows a picture that says so.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import { tmpdir } from "node:os";
import path from "node:path";
import { open } from "../lib/browser.mjs";
import { ensure, until } from "../lib/wait.mjs";

const CONFIG = `max_viewers = 1
[[camera]]
name = "front"
source = "emulated:?fps=10"
`;

/** Takes the only place there is. */
async function watch(stage, url) {
  const request = http.get(`${url}/video_feed`);
  stage.defer(() => request.destroy());
  const response = await new Promise((resolve, reject) => request.on("response", resolve).on("error", reject));
  ensure(response.statusCode === 200, `the first viewer is answered ${response.statusCode}`);
  response.resume();
}

async function shownToAnImage(stage, browserName) {
  const folder = mkdtempSync(path.join(tmpdir(), "framecast-full-"));
  stage.defer(() => rmSync(folder, { recursive: true }));
  const config = path.join(folder, "framecast.toml");
  writeFileSync(config, CONFIG);
  const server = await stage.framecast(["--config", config]);
  await watch(stage, server.url);
  const elsewhere = await stage.page(`<img id="here" src="${server.url}/video_feed">`);
  const page = await open(await stage.browser(browserName), elsewhere);
  const width = () => page.evaluate(() => document.getElementById("here").naturalWidth);
  await until("the picture that says so is on the page", async () => (await width()) === 640);
  await page.screenshot({ path: stage.out(`full-${browserName}.png`) });
  const { refused } = await (await fetch(`${server.url}/api/viewers`)).json();
  ensure(refused.server >= 1, `refused: ${JSON.stringify(refused)}`);
}

export const checks = [
  { name: "full", needs: ["chromium"], run: (stage) => shownToAnImage(stage, "chromium") },
  { name: "full-firefox", needs: ["firefox-esr"], run: (stage) => shownToAnImage(stage, "firefox") },
];
