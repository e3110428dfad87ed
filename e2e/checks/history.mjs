// Marks and the history, with only the keyboard.

import { goTo, inBoth, isQuiet, open, screenshot, styled } from "../lib/browser.mjs";
import { tabBackTo, tabTo } from "../lib/keys.mjs";
import { offersMarks, opened, openMark, typeLabel } from "../lib/mark.mjs";
import { DESKTOP, saveScreenshots, PHONE } from "../lib/screenshot.mjs";
import { ensure, until } from "../lib/wait.mjs";

const MOVING = "emulated:?size=640x360&fps=10";

/**
 * Marks of the server and of a camera, with only the keyboard: announced, saved, visible as a tick and in the history.
 */
async function marks(stage, name) {
  const framecast = await stage.framecast([`front=${MOVING}`]);
  const page = await open(await stage.browser(name), framecast.url);
  const isOpen = () => page.$eval("dialog.mark", (dialog) => dialog.open);
  // The page may announce a camera's state between two questions.
  const listen = () => page.evaluate(() => {
    const region = document.getElementById("news");
    globalThis.news = [];
    new MutationObserver(() => globalThis.news.push(region.textContent)).observe(region, { childList: true });
  });
  const mark = async (label) => {
    await listen();
    await openMark(page);
    await typeLabel(page, label);
    await page.keyboard.press("Enter");
    await until("the page announces the mark", () => page.evaluate(() => globalThis.news.includes("Marked")));
    await until("the dialog is closed", async () => !(await isOpen()));
  };
  await mark("power back");
  await goTo(page, `${framecast.url}/cameras/front`);
  await offersMarks(page);
  await tabTo(page, ".address input");
  await page.keyboard.press("m");
  ensure(!(await isOpen()), "the key opens the dialog while a person types");
  await tabBackTo(page, "#mark");
  await page.keyboard.press("Enter");
  await opened(page);
  await page.keyboard.type("not this");
  await screenshot(page, stage.out(`mark-${name}.png`));
  await page.keyboard.press("Escape");
  await until("Escape closes it", async () => !(await isOpen()));
  ensure(await page.evaluate(() => document.activeElement.id === "mark"), "the focus does not return to the button when the dialog closes");
  await mark("a fox <b>at</b> the gate");
  const kept = await framecast.events({ kind: "mark", order: "oldest" });
  const told = kept.map(({ camera, text }) => `${camera ?? "server"}: ${text}`).join(" | ");
  ensure(told === "server: power back | front: a fox <b>at</b> the gate", `the server has these marks: ${told}`);
  await until("the bar has a tick for each mark", () =>
    page.$$eval(".ticks .label", (all) => /power back[^]*a fox <b>at<\/b> the gate/.test(all.map(({ textContent }) => textContent).join("\n"))),
  );
  await screenshot(page, stage.out(`ticks-${name}.png`));
  await framecast.mark("gpj.\u202eexe", "front");
  const isShown = (all) => all.some(({ textContent }) => textContent.includes("gpj.\\u{202e}exe") && !textContent.includes("\u202e"));
  await until("the tick shows a character that would reorder the line as its number", () => page.$$eval(".ticks .label", isShown));
  await tabTo(page, ".ticks a");
  await page.keyboard.press("Enter");
  await until("the tick leads to the history", () => page.evaluate(() => /\/history$/.test(location.pathname)));
  await until("the history lists the mark", () =>
    page.$$eval(".events tr[data-kind=mark]", (rows) => rows.some(({ textContent }) => /front\s*mark\s*a fox <b>at<\/b> the gate/.test(textContent))),
  );
  await until("the history shows that character as its number", () => page.$$eval(".events tr[data-kind=mark]", isShown));
  isQuiet(page);
}

/** A mark that cannot be saved: the message appears beside the label, which stays. */
async function marksInVain(stage) {
  const framecast = await stage.framecast([`front=${MOVING}`]);
  const page = await open(await stage.browser("chromium"), framecast.url);
  await page.setRequestInterception(true);
  let status = 503;
  page.on("request", (request) => {
    if (request.method() !== "POST") request.continue();
    else if (status === 503) request.respond({ status, contentType: "application/json", body: '{"error": "the database is away"}' });
    else request.respond({ status, contentType: "application/json", body: "{}" });
  });
  await openMark(page);
  await typeLabel(page, "a fox");
  await page.keyboard.press("Enter");
  await until("the dialog shows the error", () => page.$eval("dialog[open] [role=alert]", ({ textContent }) => textContent === "the database is away"));
  ensure((await page.$eval("dialog input", ({ value }) => value)) === "a fox", "the label that the person wrote is gone");
  status = 202;
  await page.keyboard.press("Enter");
  await until("the page announces that the mark is not saved yet", () => page.$eval("#news", ({ textContent }) => textContent.startsWith("Marked. The server saves the mark")));
}

/** The history: reached by keyboard, filtered by keyboard, its head in view, its columns unmoved. */
async function showsHistory(stage, name) {
  const framecast = await stage.framecast([`front=${MOVING}`, "gate=images:/nowhere/at/all"]);
  const page = await open(await stage.browser(name), framecast.url);
  await until("one camera is live, the other lost", () => page.$eval("#summary", ({ textContent }) => /1 live · 1 lost/.test(textContent)));
  for (let n = 1; n <= 40; n += 1) {
    await framecast.mark(`mark ${n}`, "front");
  }
  await tabTo(page, "a[href$=history]");
  await page.keyboard.press("Enter");
  // The rows arrive newest first, while the page shows those before.
  await until("the history has marks and events of all kinds", () =>
    page.evaluate((kinds) => {
      const seen = [...document.querySelectorAll(".events tbody tr")].map(({ dataset }) => dataset.kind);
      return seen.length > 40 && kinds.every((kind) => seen.includes(kind));
    }, ["started", "live", "lost", "mark"]));
  await until("the history has arrived", () => page.evaluate(() => document.readyState !== "loading"));
  await styled(page);
  const edges = () => page.evaluate(() =>
    [...document.querySelectorAll(".events th")].map((head) => Math.round(head.getBoundingClientRect().left)).join());
  const before = await edges();
  await until("the page is scrolled to its end", () => page.evaluate(() => {
    scrollTo(0, document.body.scrollHeight);
    return scrollY > 0 && scrollY + innerHeight >= document.documentElement.scrollHeight - 1;
  }));
  const top = await page.evaluate(() => document.querySelector(".events th").getBoundingClientRect().top);
  ensure(Math.abs(top) < 2, `the head of the table is at ${top} px when the page is scrolled to its end`);
  await page.evaluate(() => scrollTo(0, 0));
  await saveScreenshots(stage, page, "history", name);
  for (const viewport of [PHONE, DESKTOP]) {
    await page.setViewport(viewport);
    ensure(!(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)), `the page is wider than ${viewport.width} px`);
  }
  await tabTo(page, ".filters [name=kind]");
  await page.select(".filters [name=kind]", "lost");
  await tabTo(page, ".filters button");
  await page.keyboard.press("Enter");
  await until("the history lists only kind lost", () =>
    page.$$eval(".events tbody tr[data-kind]", (rows) => rows.length > 0 && rows.every(({ dataset }) => dataset.kind === "lost")),
  );
  await styled(page);
  ensure((await edges()) === before, "the filter moves the columns");
  await goTo(page, `${framecast.url}/cameras/front`);
  await tabTo(page, "#history");
  await page.keyboard.press("Enter");
  await until("the history lists only the camera", () =>
    page.$$eval(".events tbody tr[data-kind]", (rows) => rows.length > 40 && rows.every((row) => row.children[1].textContent.trim() === "front")),
  );
  isQuiet(page);
}

export const checks = [
  ...inBoth("mark", marks),
  { name: "mark-in-vain", needs: ["chromium"], run: marksInVain },
  ...inBoth("history", showsHistory),
];
