// The panel of a camera's controls, with only the keyboard, on a camera whose driver has controls: the device and the
// picture follow what is set here, and the panel shows what others set.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { moves, open, recordTold, screenshot, shot, toldBy } from "../lib/browser.mjs";
import { example } from "../lib/example.mjs";
import { tabBackTo, tabTo } from "../lib/keys.mjs";
import { becomes, control, controlOf, openPanel, press, shown } from "../lib/panel.mjs";
import { ensure, until } from "../lib/wait.mjs";

const CAMERA = "bars";

/** The mean of all colour values on the screen where `selector` is, 0 to 255. */
async function brightness(page, selector) {
  const png = (await shot(page, selector)).toString("base64");
  return page.evaluate(async (data) => {
    const bytes = Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0));
    const image = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
    const canvas = Object.assign(document.createElement("canvas"), { width: 64, height: 48 });
    const context = canvas.getContext("2d");
    context.drawImage(image, 0, 0, 64, 48);
    const { data: pixels } = context.getImageData(0, 0, 64, 48);
    return pixels.reduce((sum, value, n) => (n % 4 === 3 ? sum : sum + value), 0) / (64 * 48 * 3);
  }, png);
}

async function byKeyboard(stage, name) {
  const url = await example(stage, "custom_driver");
  const browser = await stage.browser(name);
  const page = await open(browser, `${url}/cameras/${CAMERA}`);
  await moves(page, "#stage");
  const before = await brightness(page, "#stage");
  await openPanel(page);
  const is = (id, value) => becomes(page, url, CAMERA, id, value);

  await press(page, "brightness", "Home");
  await is("brightness", 0);
  await until("the picture is darker", async () => (await brightness(page, "#stage")) < before - 60);
  await press(page, "brightness", "ArrowRight", "ArrowRight", "ArrowUp", "ArrowLeft");
  await is("brightness", 2);
  await press(page, "brightness", "PageUp");
  await until("Page Up moves the slider by more than a step", async () => (await shown(page, "brightness")) > 10);
  await is("brightness", await shown(page, "brightness"));
  await press(page, "brightness", "End");
  await is("brightness", 255);

  // As a held key does; the page sends only some of the values, and always the last.
  let sent = 0;
  page.on("request", (request) => (sent += request.method() === "PATCH" ? 1 : 0));
  const startedAt = Date.now();
  await press(page, "brightness", ...Array(60).fill("ArrowLeft"));
  await is("brightness", 195);
  const most = Math.ceil((Date.now() - startedAt) / 100) + 2;
  ensure(sent > 0 && sent <= most, `the page sent ${sent} changes; the limit is ${most}`);

  await press(page, "still", " ");
  await is("still", true);
  await until("the page disables the inactive control and says why", () =>
    page.$eval(control("speed"), (input) => input.disabled && /Cannot be set now/.test(input.closest(".control").textContent)),
  );
  await screenshot(page, stage.out(`panel-${name}.png`));
  await press(page, "still", " ");
  await is("still", false);

  await tabBackTo(page, `.control:has(${control("brightness")}) .reset`);
  await page.keyboard.press("Enter");
  await is("brightness", 220);
  const focused = await page.evaluate(() => document.activeElement.dataset.control);
  ensure(focused === "brightness", `after a reset the focus is at ${focused}`);

  // Another client sets the control.
  const body = JSON.stringify({ brightness: 100, direction: 1 });
  await fetch(`${url}/api/cameras/${CAMERA}/controls`, { method: "PATCH", body });
  await is("brightness", 100);
  ensure((await controlOf(url, CAMERA, "direction")).value === 1, "the device did not get both changes");
  ensure(page.errors.length === 0, `the console says: ${page.errors.join(" | ")}`);
}

const KEEP = ".keep input";
const hintOf = (page, id) => page.$eval(control(id), (input) => input.closest(".control").querySelector(".hint").textContent);
const problemOf = (page, id) => page.$eval(control(id), (input) => input.closest(".control").querySelector(".problem").textContent);

/** Saved values appear after a reload and after a restart, and the same box deletes them. */
async function kept(stage) {
  const folder = mkdtempSync(path.join(tmpdir(), "framecast-"));
  stage.defer(() => rmSync(folder, { recursive: true }));
  const browser = await stage.browser("chromium");
  const server = async () => {
    const url = await example(stage, "custom_driver", folder);
    const page = await open(browser, `${url}/cameras/${CAMERA}`);
    await moves(page, "#stage");
    await openPanel(page);
    return { url, page };
  };
  const box = (page) => page.$eval(".keep", (label) => [label.querySelector("input").checked, label.textContent.trim()].join());
  const boxIs = (page, wanted) => until(`the box is ${wanted}`, async () => (await box(page)) === wanted);

  const first = await server();
  await boxIs(first.page, "false,Save across restarts");
  await tabTo(first.page, KEEP);
  await first.page.keyboard.press("Space");
  await press(first.page, "brightness", "End");
  await becomes(first.page, first.url, CAMERA, "brightness", 255);
  await boxIs(first.page, "true,Save across restarts (1 saved)");
  await first.page.close();

  const second = await server();
  await becomes(second.page, second.url, CAMERA, "brightness", 255);
  await boxIs(second.page, "true,Save across restarts (1 saved)");
  await fetch(`${second.url}/api/cameras/${CAMERA}/controls`, { method: "PATCH", body: JSON.stringify({ brightness: 100 }) });
  const returning = "The saved value is 255. The server sets it again at its next start.";
  await until("the page says which value is saved", async () => (await hintOf(second.page, "brightness")) === returning);
  await screenshot(second.page, stage.out("panel-kept.png"));
  await second.page.setViewport({ width: 390, height: 844 });
  await second.page.$eval("#controls", (panel) => panel.scrollIntoView());
  await screenshot(second.page, stage.out("panel-kept-phone.png"));
  await tabBackTo(second.page, KEEP);
  await second.page.keyboard.press("Space");
  await boxIs(second.page, "false,Save across restarts");
  await until("the page shows no saved value any more", async () => (await hintOf(second.page, "brightness")) === "");
  ensure((await controlOf(second.url, CAMERA, "brightness")).value === 100, "deleting the saved value changed the device's value");
  await second.page.close();

  const third = await server();
  await becomes(third.page, third.url, CAMERA, "brightness", 220);
  await boxIs(third.page, "false,Save across restarts");
}

/** A late answer shows nothing outdated; an error disappears when the device answers again. */
async function late(stage) {
  const url = await example(stage, "custom_driver");
  const browser = await stage.browser("chromium");
  const page = await open(browser, `${url}/cameras/${CAMERA}`);
  await openPanel(page);
  await tabTo(page, control("brightness"));
  let held = null;
  let isHolding = true;
  let isFailing = false;
  await page.setRequestInterception(true);
  page.on("request", async (request) => {
    const isList = request.url().endsWith("/controls");
    if (isList && request.method() === "GET" && isHolding) {
      isHolding = false;
      const body = await (await fetch(request.url())).text();
      held = () => request.respond({ contentType: "application/json", body });
    } else if (isFailing && request.method() === "PATCH") {
      await request.respond({ status: 503, contentType: "application/json", body: '{"error": "no such device"}' });
    } else {
      await request.continue();
    }
  });
  await until("a poll waits for its answer", () => held);
  await press(page, "brightness", "End");
  await becomes(page, url, CAMERA, "brightness", 255);
  // Records what the page shows from the late answer to the next poll.
  const next = page.waitForRequest((request) => request.url().endsWith("/controls") && request.method() === "GET");
  await held();
  const seen = [];
  let isOver = false;
  const watch = (async () => {
    while (!isOver) seen.push(await shown(page, "brightness"));
  })();
  await next;
  isOver = true;
  await watch;
  ensure(seen.length > 0 && seen.every((value) => value === 255), `the page shows ${[...new Set(seen)]} instead of 255`);

  // The next poll ends the error, perhaps soon.
  await recordTold(page, () => document.querySelector('.control:has([data-control="brightness"]) .problem').textContent);
  isFailing = true;
  await press(page, "brightness", "Home");
  await until("the page has shown the error beside the control", async () => (await toldBy(page)).includes("no such device"));
  await becomes(page, url, CAMERA, "brightness", 255);
  await until("the error is gone", async () => (await problemOf(page, "brightness")) === "");
}

export const checks = [
  { name: "controls-kept", needs: ["chromium"], run: kept },
  { name: "controls-late", needs: ["chromium"], run: late },
  { name: "controls-keyboard", needs: ["chromium"], run: (stage) => byKeyboard(stage, "chromium") },
  { name: "controls-keyboard-firefox", needs: ["firefox-esr"], run: (stage) => byKeyboard(stage, "firefox") },
];
