// Pages of another origin: what they may show in frames, and what scripts of an allowed origin may do.

import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { inBoth, open, screenshot, shot } from "../lib/browser.mjs";
import { digest } from "../lib/multipart.mjs";
import { ensure, until, within } from "../lib/wait.mjs";

const MOVING = "emulated:?size=640x360&fps=5";
// A phone shows the first of three cameras, which are below each other.
const SIZES = [
  ["desktop", { width: 1280, height: 800 }, 3],
  ["phone", { width: 390, height: 844, deviceScaleFactor: 2, hasTouch: true, isMobile: false }, 1],
];
const ANSWER_LIMIT_MS = 8000;
// Elements that act, or lead away.
const ACTING = "a, button, input, select, textarea, form, dialog, details, [onclick], [tabindex]";

const frameOf = (page, end) => page.frames().find((frame) => frame.url().endsWith(end));

/**
 * The answer of the frame at `end`, where the function `ask` runs with `selector`. Occasionally puppeteer never gets an
 * answer from a frame that works; the frames of a page that is loaded again answer.
 */
async function answerOf(page, end, ask, selector) {
  return within("an answer of the frame", frameOf(page, end).evaluate(ask, selector), ANSWER_LIMIT_MS).catch(async (error) => {
    if (/^an answer of the frame took/.test(error.message)) await page.reload({ waitUntil: "domcontentloaded" });
    throw error;
  });
}

/** Waits until at least `count` pictures are seen in the frame at `end`. */
async function shows(page, end, count) {
  await until(`${count} pictures in the frame ${end}`, async () =>
    (await answerOf(page, end, (selector) => document.querySelectorAll(selector).length, ".seen")) >= count);
}

async function framed(stage, browserName) {
  const server = await stage.framecast([`front=${MOVING}`, `yard=${MOVING}`, "gate=images:/nowhere/at/all"]);
  const frame = (id, place) => `<iframe id="${id}" src="${server.url}${place}" style="width:100%;height:30vh;border:0"></iframe>`;
  const html = frame("one", "/cameras/front?embed") + frame("all", "/?embed") + frame("acting", "/cameras/yard");
  const browser = await stage.browser(browserName);
  const page = await open(browser, await stage.page(html));
  await shows(page, "/cameras/front?embed", 1);
  await shows(page, "/?embed", 3);
  for (const id of ["#one", "#all"]) {
    const seen = new Set();
    await until(`three different pictures in ${id}`, async () => seen.add(digest(await shot(page, id))).size >= 3);
  }
  for (const end of ["/cameras/front?embed", "/?embed"]) {
    const { acting } = await until(`the frame ${end} lists its elements`, async () => {
      await shows(page, end, 1);
      return answerOf(page, end, (selector) => ({ acting: [...document.querySelectorAll(selector)].map(({ outerHTML }) => outerHTML) }), ACTING);
    });
    ensure(acting.length === 0, `${end} has elements that act: ${acting.join(" ")}`);
  }
  // Other pages may not embed the page of a camera, because it has controls and marks.
  for (const one of page.frames()) {
    ensure((await one.$("#stage").catch(() => null)) === null, `a frame shows the page of a camera: ${one.url()}`);
  }
  for (const [size, viewport, inSight] of SIZES) {
    await page.setViewport(viewport);
    for (const scheme of browserName === "chromium" ? ["light", "dark"] : ["light"]) {
      if (browserName === "chromium") await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      await shows(page, "/cameras/front?embed", 1);
      await shows(page, "/?embed", inSight);
      await screenshot(page, stage.out(`framed-${browserName}-${size}-${scheme}.png`));
    }
  }
}

// The page queries the server named after the # in its address, and reports the result.
const ASKING = `<p id="said"></p><script type="module">
  const server = location.hash.slice(1);
  const ask = (path, options) => fetch(server + path, options).then((answer) => answer.status, () => "refused");
  const headers = { "Content-Type": "application/json", "X-Of-My-Own": "1" };
  const said = [
    await ask("/api/events", { method: "POST", headers, body: JSON.stringify({ label: "from elsewhere" }) }),
    await ask("/api/events/live", { headers: { "Last-Event-ID": "0", "Cache-Control": "no-cache" } }),
    await ask("/api/cameras"),
    await ask("/api/cameras/front/controls", { method: "PATCH", headers, body: "{}" }),
  ];
  document.getElementById("said").textContent = said.join(" ");
</script>`;

async function asked(stage, browserName) {
  const page = await stage.page(ASKING);
  const browser = await stage.browser(browserName);
  const folder = mkdtempSync(path.join(tmpdir(), "framecast-elsewhere-"));
  stage.defer(() => rmSync(folder, { recursive: true }));
  const config = path.join(folder, "framecast.toml");
  const told = [];
  for (const origin of [new URL(page).origin, "*"]) {
    writeFileSync(config, `cors_origins = ["${origin}"]\n[[camera]]\nname = "front"\nsource = "${MOVING}"\n`);
    const server = await stage.framecast(["--config", config]);
    const tab = await open(browser, `${page}#${server.url}`);
    const said = await until("the page shows the answers to its requests", () => tab.$eval("#said", ({ textContent }) => textContent));
    told.push(said, (await server.events({ kind: "mark" })).length);
    await tab.close();
  }
  // The camera has no controls, so the server reports that; it no longer refuses because of the page's origin.
  ensure(/^201 200 200 (?!403)\d+$/.test(told[0]) && told[1] === 1, `a listed origin: ${told[0]}, ${told[1]} marks`);
  ensure(told[2] === "refused refused 200 refused" && told[3] === 0, `with "*": ${told[2]}, ${told[3]} marks`);
}

export const checks = [...inBoth("framed", framed), ...inBoth("cross-origin-mark", asked)];
