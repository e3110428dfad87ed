// The panel of a camera's controls, by keyboard alone, on a camera whose driver has controls: what
// is set is what the device has and what the picture shows; what others set appears.

import { moves, open, shot } from "../lib/browser.mjs";
import { example } from "../lib/example.mjs";
import { becomes, control, controlOf, openPanel, press, shown, tabBackTo } from "../lib/panel.mjs";
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
  await until("a page up is more than a step", async () => (await shown(page, "brightness")) > 10);
  await is("brightness", await shown(page, "brightness"));
  await press(page, "brightness", "End");
  await is("brightness", 255);

  // As a held key does; only some of the values are sent, and always the last.
  let sent = 0;
  page.on("request", (request) => (sent += request.method() === "PATCH" ? 1 : 0));
  const startedAt = Date.now();
  await press(page, "brightness", ...Array(60).fill("ArrowLeft"));
  await is("brightness", 195);
  const most = Math.ceil((Date.now() - startedAt) / 100) + 2;
  ensure(sent > 0 && sent <= most, `${sent} changes were sent where ${most} are the most`);

  await press(page, "still", " ");
  await is("still", true);
  await until("what has no effect now is disabled and says so", () =>
    page.$eval(control("speed"), (input) => input.disabled && /Cannot be set now/.test(input.closest(".control").textContent)),
  );
  await page.screenshot({ path: stage.out(`panel-${name}.png`) });
  await press(page, "still", " ");
  await is("still", false);

  await tabBackTo(page, `.control:has(${control("brightness")}) .reset`);
  await page.keyboard.press("Enter");
  await is("brightness", 220);
  const focused = await page.evaluate(() => document.activeElement.dataset.control);
  ensure(focused === "brightness", `after a reset the focus is at ${focused}`);

  // Someone else, elsewhere.
  const body = JSON.stringify({ brightness: 100, direction: 1 });
  await fetch(`${url}/api/cameras/${CAMERA}/controls`, { method: "PATCH", body });
  await is("brightness", 100);
  ensure((await controlOf(url, CAMERA, "direction")).value === 1, "two at once are not set");
  ensure(page.errors.length === 0, `the console says: ${page.errors.join(" | ")}`);
}

export const checks = [
  { name: "controls-keyboard", needs: ["chromium"], run: (stage) => byKeyboard(stage, "chromium") },
  { name: "controls-keyboard-firefox", needs: ["firefox-esr"], run: (stage) => byKeyboard(stage, "firefox") },
];
