// The page in real browsers: pictures move, on it and on pages of other origins; streams end when they are out of view
// and come back; the page reports an unreachable server, and recovers when the server is back.

import { goTo, hide, inBoth, moves, open, screenshot, show } from "../lib/browser.mjs";
import { ensure, sleep, until } from "../lib/wait.mjs";

const DESKTOP = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844, deviceScaleFactor: 2, hasTouch: true, isMobile: false };
const MOVING = "emulated:?size=640x360&fps=10";

const viewers = async (framecast, name) => (await framecast.camera(name)).viewers;

async function showPage(stage, name) {
  const framecast = await stage.framecast();
  const browser = await stage.browser(name);
  const page = await open(browser, framecast.url);
  await moves(page, ".picture");
  for (const [size, viewport] of [["desktop", DESKTOP], ["phone", PHONE]]) {
    await page.setViewport(viewport);
    for (const scheme of name === "chromium" ? ["light", "dark"] : ["light"]) {
      if (name === "chromium") await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      await sleep(200);
      await screenshot(page, stage.out(`page-${name}-${size}-${scheme}.png`));
    }
  }
  await goTo(page, `${framecast.url}${(await framecast.cameras())[0].page}`);
  await moves(page, "#stage");
  await screenshot(page, stage.out(`camera-${name}.png`));
  ensure(page.errors.length === 0, `the console says: ${page.errors.join(" | ")}`);
}

async function showElsewhere(stage, name) {
  const framecast = await stage.framecast();
  const other = await stage.page(`<div id="here"><img src="${framecast.url}/video_feed"></div>`);
  const browser = await stage.browser(name);
  const page = await open(browser, other);
  await moves(page, "#here");
}

async function endUnseenStreams(stage, name) {
  const framecast = await stage.framecast([`front=${MOVING}`, `yard=${MOVING}`, `gate=${MOVING}`]);
  const browser = await stage.browser(name);
  const page = await open(browser, framecast.url, { width: 390, height: 420 });
  await until("the first camera has a viewer", async () => (await viewers(framecast, "front")) > 0);
  await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
  await until("the camera outside the window has no viewer", async () => (await viewers(framecast, "front")) === 0);
  await until("the last camera has a viewer", async () => (await viewers(framecast, "gate")) > 0);
  await page.evaluate(() => scrollTo(0, 0));
  await until("the first camera has its viewer again", async () => (await viewers(framecast, "front")) > 0);
  await hide(browser, page);
  await until("no camera has a viewer while the page is hidden", async () =>
    (await framecast.cameras()).every((camera) => camera.viewers === 0),
  );
  await show(page);
  await until("the first camera has a viewer when the page is visible again", async () => (await viewers(framecast, "front")) > 0);
  await moves(page, ".picture");
  await page.goto("about:blank");
  await until("no camera has a viewer when the person has left the page", async () =>
    (await framecast.cameras()).every((camera) => camera.viewers === 0),
  );
}

/**
 * Twelve cameras behind a proxy that blocks WebSockets, through the six connections that a browser allows: some stream,
 * the others take turns. Once the proxy lets WebSockets pass, all of them move.
 */
async function showMany(stage, name) {
  const names = Array.from({ length: 12 }, (_, n) => `camera-${n + 1}`);
  const framecast = await stage.framecast(names.map((camera) => `${camera}=emulated:?size=320x180&fps=5`));
  const proxy = await stage.proxy(framecast);
  const browser = await stage.browser(name);
  const page = await open(browser, proxy.url);
  // After an answer that took too long, the page opens fewer streams.
  let counts = [4];
  page.on("requestfailed", (request) => /\/api\/cameras$/.test(request.url()) && (counts = [4, 2, 1]));
  await until("every camera has a picture", () =>
    page.$$eval(".tile", (tiles) => tiles.length === 12 && tiles.every((tile) => tile.querySelector("img")?.naturalWidth > 0)),
  );
  await until("each tile says how often its picture comes", async () => {
    const [streamed, slow] = await page.evaluate(() => {
      const all = [...document.querySelectorAll(".figures")].map(({ textContent }) => textContent);
      return [/\d fps/, /1 picture every \d+ s/].map((wanted) => all.filter((text) => wanted.test(text)).length);
    });
    return counts.includes(streamed) && streamed + slow === 12;
  }, { withinMs: 150000 });
  await moves(page, ".tile:first-child .picture");
  await moves(page, ".tile:last-child .picture");
  await screenshot(page, stage.out(`many-${name}.png`));
  // One for pictures, one for events.
  await until("the page has tried again to open a WebSocket", () => proxy.refused > 2);
  const told = page.warnings.filter((text) => text.startsWith("No WebSocket"));
  ensure(told.length === 1, `the page has logged ${told.length} times that it has no WebSocket`);
  // Browsers log each attempt on their own.
  const others = page.errors.filter((text) => !/WebSocket|can’t establish a connection/.test(text));
  ensure(others.length === 0, `the console says: ${others.join(" | ")}`);
  proxy.isOpen = true;
  await until("the page shows all pictures in canvases", () =>
    page.$$eval(".tile", (tiles) => tiles.every((tile) => tile.querySelector("canvas") && !tile.querySelector(".picture img"))),
    // The page waits longer before each attempt.
    { withinMs: 130000 },
  );
}

async function comeBack(stage, name) {
  const cameras = [`front=${MOVING}`];
  const framecast = await stage.framecast(cameras);
  const browser = await stage.browser(name);
  const page = await open(browser, framecast.url);
  await moves(page, ".picture");
  await framecast.kill();
  await until("the page says that the server is unreachable", () =>
    page.$eval(".tile", (tile) => /unreachable/i.test(tile.querySelector(".veil:not([hidden])")?.textContent)),
  );
  await screenshot(page, stage.out(`unreachable-${name}.png`));
  await stage.framecast(cameras, framecast.port);
  await until("the page shows the camera live again", () =>
    page.$eval(".tile", (tile) => tile.querySelector(".veil").hidden && tile.querySelector(".state").textContent === "live"),
  );
  await moves(page, ".picture");
}

export const checks = [
  ...inBoth("page", showPage),
  ...inBoth("cross-origin", showElsewhere),
  ...inBoth("many", showMany),
  ...inBoth("hidden", endUnseenStreams),
  ...inBoth("restart", comeBack),
];
