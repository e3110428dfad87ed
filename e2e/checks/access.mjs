// Checks each page with axe-core: nothing that is hard or impossible to use with a screen reader, with only a keyboard
// or with few colours; and nothing that the console reports as an error.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { goTo, moves, open } from "../lib/browser.mjs";
import { example } from "../lib/example.mjs";
import { openMark, typeLabel } from "../lib/mark.mjs";
import { openPanel } from "../lib/panel.mjs";
import { ensure, sleep, until } from "../lib/wait.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const GRAVE = ["serious", "critical"];
const SIZES = [
  ["desktop", { width: 1280, height: 800 }],
  ["phone", { width: 390, height: 844, deviceScaleFactor: 2, hasTouch: true, isMobile: false }],
];
const MOVING = "emulated:?size=640x360&fps=5";

const SERVERS = {
  one: async (stage) => (await stage.framecast([`front=${MOVING}`])).url,
  several: async (stage) =>
    (await stage.framecast([`front=${MOVING}`, `yard=${MOVING}`, "gate=images:/nowhere/at/all"])).url,
  controls: (stage) => example(stage, "custom_driver"),
};

const says = (selector, wanted) => (page) =>
  until(`${selector} says ${wanted}`, () => page.$eval(selector, ({ textContent }, text) => textContent.includes(text), wanted));

/** Makes one mark, and leaves the dialog open for another. */
async function opensMark(page) {
  await openMark(page);
  await typeLabel(page, "a fox");
  await page.keyboard.press("Enter");
  await until("the page has saved the mark", () => page.evaluate(() => !document.querySelector("dialog.mark").open));
  await openMark(page);
}

/** The server cannot read its history. */
async function losesHistory(page) {
  await page.setRequestInterception(true);
  page.on("request", (request) => {
    const isAsked = new URL(request.url()).pathname === "/api/events";
    if (isAsked) return request.respond({ status: 503, contentType: "application/json", body: '{"error": "the disk is gone"}' });
    return request.continue();
  });
}

/** Opens the first of the routes. */
async function opensRoute(page) {
  await until("a route", () => page.$(".route summary"));
  await page.click(".route summary");
  await until("the route is open", () => page.$(".route[open] .inside"));
}

// The page, the server that serves it, and what shows that the page is complete.
const PAGES = [
  { name: "one camera", server: "one", path: "", ready: (page) => moves(page, ".picture") },
  { name: "several cameras, one of them lost", server: "several", path: "", ready: says("#summary", "1 lost") },
  { name: "pictures alone", server: "several", path: "?embed", ready: (page) => until("three pictures", async () => (await page.$$(".seen")).length === 3) },
  { name: "one picture alone", server: "several", path: "cameras/front?embed", ready: (page) => moves(page, ".picture") },
  { name: "a camera", server: "several", path: "cameras/front", ready: says("#state", "live") },
  { name: "a lost camera", server: "several", path: "cameras/gate", ready: says("#state", "lost") },
  { name: "a mark to be made", server: "several", path: "cameras/yard", ready: opensMark },
  { name: "a camera with a mark", server: "several", path: "cameras/yard", ready: (page) => until("a tick", () => page.$(".ticks a")) },
  { name: "a camera without its history", server: "several", path: "cameras/front", prepare: losesHistory,
    ready: says("#day", "Cannot load the history: the disk is gone"), expected: /503/ },
  { name: "the history", server: "several", path: "history", ready: (page) => until("a row", () => page.$(".events tbody tr")) },
  { name: "a camera with controls", server: "controls", path: "cameras/bars", ready: openPanel },
  { name: "the HTTP API", server: "several", path: "api", ready: opensRoute },
  // Browsers log the status of the answer on their own.
  { name: "an address with nothing behind it", server: "one", path: "nowhere", ready: says("main p", "there is nothing at"), expected: /404/ },
];

/** The findings of axe on the page as it is now, one a line. */
async function findings(page) {
  // A script element would be refused: the page loads nothing from elsewhere.
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(AXE);
  const violations = await page.evaluate(async () => {
    const found = await window.axe.run(document, { resultTypes: ["violations"] });
    return found.violations.map(({ id, impact, help, nodes }) => ({
      id, impact, help, nodes: nodes.map(({ target, any }) => `${target.join(" ")} (${any[0]?.message ?? "–"})`),
    }));
  });
  return violations
    .filter(({ impact }) => GRAVE.includes(impact))
    .map(({ id, impact, help, nodes }) => `${id} (${impact}): ${help}: ${nodes.slice(0, 3).join("; ")}`);
}

/** Checks the page in all sizes and, if the browser can, in light and dark. */
async function judge(page, browserName) {
  const found = [];
  for (const [size, viewport] of SIZES) {
    await page.setViewport(viewport);
    for (const scheme of browserName === "chromium" ? ["light", "dark"] : ["light"]) {
      if (browserName === "chromium") await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      await sleep(200);
      found.push(...(await findings(page)).map((line) => `${size}, ${scheme}: ${line}`));
    }
  }
  return found;
}

async function everyPage(stage, browserName) {
  const browser = await stage.browser(browserName);
  const urls = {};
  const wrong = [];
  for (const { name, server, path, prepare, ready, expected } of PAGES) {
    urls[server] ??= await SERVERS[server](stage);
    const page = await open(browser, "about:blank");
    await prepare?.(page);
    await goTo(page, `${urls[server]}/${path}`);
    await ready(page);
    wrong.push(...(await judge(page, browserName)).map((line) => `${name}, ${line}`));
    const errors = page.errors.filter((text) => !expected?.test(text));
    wrong.push(...errors.map((text) => `${name}: the console says: ${text}`));
    await page.close();
  }
  ensure(wrong.length === 0, `\n  ${wrong.join("\n  ")}`);
  return `${PAGES.length} pages`;
}

export const checks = [
  { name: "access-chromium", needs: ["chromium"], run: (stage) => everyPage(stage, "chromium") },
  { name: "access-firefox", needs: ["firefox-esr"], run: (stage) => everyPage(stage, "firefox") },
];
