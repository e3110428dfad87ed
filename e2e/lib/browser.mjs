// Chromium and Firefox as Debian packages them, each run with a temporary profile of its own.

import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import puppeteer from "puppeteer-core";
import { find } from "./tool.mjs";
import { ensure, sleep, until, within } from "./wait.mjs";

// A name of this machine. Browsers do not trust it as they trust `localhost`: its pages may not use some features.
export const UNTRUSTED_HOST = "untrusted";

const CHROMIUM_FLAGS = [
  `--host-resolver-rules=MAP ${UNTRUSTED_HOST} 127.0.0.1`,
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];

// On a busy machine Chromium occasionally never answers a request for a screenshot, but answers the next one.
const SHOT_LIMIT_MS = 5000;
// Puppeteer's own limit for a browser to start and for a page to load is half of this.
const PATIENCE_MS = 60000;

/** Starts `chromium` or `firefox`; with `isNice`, at the lowest CPU priority. `flags` are Chromium's. */
export async function launch(name, { isNice = false, flags = [] } = {}) {
  const program = find(name === "chromium" ? "chromium" : "firefox-esr");
  return puppeteer.launch({
    browser: name === "chromium" ? "chrome" : "firefox",
    executablePath: isNice ? politely(program) : program,
    headless: true,
    timeout: PATIENCE_MS,
    extraPrefsFirefox: { "network.dns.localDomains": UNTRUSTED_HOST },
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
  page.setDefaultTimeout(PATIENCE_MS);
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
  await styled(page);
}

/** Waits until the page has its style sheets; before that, nothing is where it belongs. */
export async function styled(page) {
  await until("the page has its style sheets", () =>
    page.evaluate(() => [...document.querySelectorAll("link[rel=stylesheet]")].every(({ sheet }) => sheet !== null)),
  );
}

/** Fails if the console of `page` has reported any problem. */
export function isQuiet(page) {
  ensure(page.errors.length === 0, `the console says: ${page.errors.join(" | ")}`);
}

/** What is in `clip` of the window, or in all of it, as PNG. */
async function capture(page, clip) {
  if (page.browser().protocol !== "cdp") return page.screenshot({ clip, captureBeyondViewport: false });
  // `page.screenshot` waits until the previous one is answered, so one without an answer would block all others.
  page.cdp ??= await page.createCDPSession();
  const place = clip ? { clip: { ...clip, scale: 1 } } : {};
  const { data } = await page.cdp.send("Page.captureScreenshot", { format: "png", ...place });
  return Buffer.from(data, "base64");
}

/** A screenshot of the window as PNG, also in the file `path`. A request that is not answered is made again. */
export async function screenshot(page, path) {
  const png = await until("a screenshot", () => within("a screenshot", capture(page), SHOT_LIMIT_MS));
  writeFileSync(path, png);
}

/** A screenshot of the first element of `selector`, as PNG. A request that is not answered is made again. */
export async function shot(page, selector) {
  return until(`a screenshot of ${selector}`, async () => {
    // In one step: `$eval` finds the element in one and reads its place in another, and the page may redraw it between.
    const clip = await page.evaluate((selector) => {
      const { left, top, right, bottom } = document.querySelector(selector).getBoundingClientRect();
      const [x, y] = [Math.max(0, Math.ceil(left)), Math.max(0, Math.ceil(top))];
      const [width, height] = [Math.floor(Math.min(right, innerWidth) - 1) - x, Math.floor(Math.min(bottom, innerHeight) - 1) - y];
      return { x: x + scrollX, y: y + scrollY, width, height };
    }, selector);
    return Buffer.from(await within("a screenshot", capture(page, clip), SHOT_LIMIT_MS));
  });
}

/** Runs in the page: collects in `window.told` what `read` returns, after each change of the page. */
function record(read) {
  const note = () => window.told.at(-1) !== read() && window.told.push(read());
  window.told = [read()];
  new MutationObserver(note).observe(document.body, { attributes: true, childList: true, characterData: true, subtree: true });
}

/** Collects from now on what `read`, a function that runs in the page, returns, even if only for a moment. */
export async function recordTold(page, read) {
  await page.evaluate(`(${record})(${read})`);
}

/** What `recordTold` has collected so far. */
export const toldBy = (page) => page.evaluate(() => window.told);

/** Waits for a picture in `selector`, then until `count` different ones have been on the screen. */
export async function moves(page, selector, count = 3) {
  await until(`a picture in ${selector}`, () =>
    page.evaluate((wanted) => {
      const image = document.querySelector(wanted);
      return (image.naturalWidth ?? image.videoWidth ?? image.width) > 0;
    }, `${selector} :is(img, canvas, video)`),
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
