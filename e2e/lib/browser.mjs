// Chromium and Firefox as Debian packages them, each run with a profile of its own that is thrown away.

import { createHash } from "node:crypto";
import puppeteer from "puppeteer-core";
import { find } from "./tool.mjs";
import { until, within } from "./wait.mjs";

const CHROMIUM_FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

// On a busy machine Chromium now and then never answers a request for a screenshot; it does the next one.
const SHOT_LIMIT_MS = 2000;

/** Starts `chromium` or `firefox`. */
export async function launch(name) {
  return puppeteer.launch({
    browser: name === "chromium" ? "chrome" : "firefox",
    executablePath: find(name === "chromium" ? "chromium" : "firefox-esr"),
    headless: true,
    args: name === "chromium" ? CHROMIUM_FLAGS : [],
  });
}

/** A new page that shows `url`; what its console calls an error is gathered in `page.errors`. */
export async function open(browser, url, viewport = { width: 1280, height: 800 }) {
  const page = await browser.newPage();
  page.errors = [];
  page.on("pageerror", (error) => page.errors.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error") page.errors.push(message.text());
  });
  await page.setViewport(viewport);
  // Not "load": an endless stream may keep a page loading for ever.
  await page.goto(url, { waitUntil: "domcontentloaded" });
  return page;
}

/** What the screen shows where the first element of `selector` is, as PNG. */
export async function shot(page, selector) {
  const clip = await page.$eval(selector, (element) => {
    const { x, y, width, height } = element.getBoundingClientRect();
    return { x: Math.ceil(x), y: Math.ceil(y), width: Math.floor(width - 1), height: Math.floor(height - 1) };
  });
  const taken = page.screenshot({ clip, captureBeyondViewport: false });
  return Buffer.from(await within("a screenshot", taken, SHOT_LIMIT_MS));
}

/** Waits for a picture in `selector`, then until `count` different ones have been on the screen. */
export async function moves(page, selector, count = 3) {
  await until(`a picture in ${selector}`, () =>
    page.$eval(`${selector} img`, (image) => image.naturalWidth > 0),
  );
  const seen = new Set();
  await until(`${count} different pictures in ${selector}`, async () => {
    seen.add(createHash("sha256").update(await shot(page, selector)).digest("hex"));
    return seen.size >= count;
  });
}
