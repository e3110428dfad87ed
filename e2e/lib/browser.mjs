// Chromium and Firefox as Debian packages them, each run with a temporary profile of its own.

import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import puppeteer from "puppeteer-core";
import { find } from "./tool.mjs";
import { ensure, sleep, until, within } from "./wait.mjs";

const CHROMIUM_FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

// On a busy machine Chromium occasionally never answers a request for a screenshot, but answers the next one.
const SHOT_LIMIT_MS = 2000;

/** Starts `chromium` or `firefox`; with `isNice`, at the lowest CPU priority. `flags` are Chromium's. */
export async function launch(name, { isNice = false, flags = [] } = {}) {
  const program = find(name === "chromium" ? "chromium" : "firefox-esr");
  return puppeteer.launch({
    browser: name === "chromium" ? "chrome" : "firefox",
    executablePath: isNice ? politely(program) : program,
    headless: true,
    args: name === "chromium" ? [...CHROMIUM_FLAGS, ...flags] : [],
  });
}

/** A check for each browser, called `title-BROWSER`, that also needs the programs `needs`. */
export function inBoth(title, check, ...needs) {
  return [["chromium", "chromium"], ["firefox", "firefox-esr"]].map(([name, program]) => ({
    name: `${title}-${name}`,
    needs: [program, ...needs],
    run: (stage) => check(stage, name),
  }));
}

/** A program that runs `program` at the lowest CPU priority. */
function politely(program) {
  const folder = mkdtempSync(path.join(tmpdir(), "framecast-nice-"));
  process.once("exit", () => rmSync(folder, { recursive: true, force: true }));
  const script = path.join(folder, path.basename(program));
  writeFileSync(script, `#!/bin/sh\nexec nice -n 10 '${program}' "$@"\n`, { mode: 0o755 });
  return script;
}

/** A new page that shows `url`; `errors` and `warnings` collect what its console reports as such. */
export async function open(browser, url, viewport = { width: 1280, height: 800 }) {
  const page = await browser.newPage();
  page.errors = [];
  page.warnings = [];
  page.on("pageerror", (error) => page.errors.push(error.message));
  page.on("console", (message) => {
    if (message.type() === "error") page.errors.push(message.text());
    if (/^warn/.test(message.type())) page.warnings.push(message.text());
  });
  await page.setViewport(viewport);
  await goTo(page, url);
  return page;
}

/** Shows `url` in `page`, with its style. Does not wait for "load": an endless stream may keep the page loading forever. */
export async function goTo(page, url) {
  await page.goto(url, { waitUntil: "domcontentloaded" });
  await until("the page has its style sheets", () =>
    page.evaluate(() => [...document.querySelectorAll("link[rel=stylesheet]")].every(({ sheet }) => sheet !== null)),
  );
}

/** Fails if the console of `page` has reported any problem. */
export function isQuiet(page) {
  ensure(page.errors.length === 0, `the console says: ${page.errors.join(" | ")}`);
}

/** A screenshot of the first element of `selector`, as PNG. */
export async function shot(page, selector) {
  // In one step: `$eval` finds the element in one and reads its place in another, and the page may redraw it between.
  const clip = await page.evaluate((selector) => {
    const { x, y, width, height } = document.querySelector(selector).getBoundingClientRect();
    return { x: Math.ceil(x), y: Math.ceil(y), width: Math.floor(width - 1), height: Math.floor(height - 1) };
  }, selector);
  const taken = page.screenshot({ clip, captureBeyondViewport: false });
  return Buffer.from(await within("a screenshot", taken, SHOT_LIMIT_MS));
}

/** Waits for a picture in `selector`, then until `count` different ones have been on the screen. */
export async function moves(page, selector, count = 3) {
  await until(`a picture in ${selector}`, () =>
    page.$eval(`${selector} :is(img, canvas)`, (image) => (image.naturalWidth ?? image.width) > 0),
  );
  const seen = new Set();
  await until(`${count} different pictures in ${selector}`, async () => {
    seen.add(createHash("sha256").update(await shot(page, selector)).digest("hex"));
    return seen.size >= count;
  });
}

/**
 * Puts another tab in front; if that leaves the page "visible" (some headless modes), tells the page that it is hidden.
 */
export async function hide(browser, page) {
  const other = await browser.newPage();
  await other.bringToFront();
  await sleep(500);
  if (await page.evaluate(() => document.hidden)) return;
  await page.evaluate(() => {
    Object.defineProperty(document, "hidden", { configurable: true, get: () => true });
    document.dispatchEvent(new Event("visibilitychange"));
  });
}

/** Puts the page in front again. */
export async function show(page) {
  await page.evaluate(() => {
    delete document.hidden;
    document.dispatchEvent(new Event("visibilitychange"));
  });
  await page.bringToFront();
}
