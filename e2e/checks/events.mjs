// Events on the page: states change without a poll, and events that the page missed appear afterwards.

import { alone } from "../lib/alone.mjs";
import { hide, inBoth, moves, open, recordTold, show, toldBy } from "../lib/browser.mjs";
import { ensure, until } from "../lib/wait.mjs";

const MOVING = "emulated:?size=640x360&fps=10";
const MOST_MS = 1000;

/** Records in `window.seen` when the first element of `selector` showed which text. */
function watchState(page, selector) {
  return page.evaluate((wanted) => {
    const element = document.querySelector(wanted);
    window.seen = [];
    new MutationObserver(() => window.seen.push({ text: element.textContent, atMs: Date.now() }))
      .observe(element, { childList: true, characterData: true, subtree: true });
  }, selector);
}

/** Holds the page's polls of cameras while `isHeld`; counts them in `page.asked`. */
async function holdPolls(page) {
  const polls = { isHeld: false, asked: 0, held: [] };
  await page.setRequestInterception(true);
  page.on("request", (request) => {
    const isPoll = /\/api\/cameras(\/[^/]+)?$/.test(request.url());
    polls.asked += isPoll ? 1 : 0;
    if (isPoll && polls.isHeld) polls.held.push(request);
    else request.continue();
  });
  polls.release = () => {
    polls.isHeld = false;
    for (const request of polls.held.splice(0)) request.continue().catch(() => {});
  };
  return polls;
}

/** The page shows `state` at most a second after the event of this kind, although no poll is answered. */
async function comesByEvent(stage, path, selector) {
  const source = await stage.framecast([`front=${MOVING}`]);
  const framecast = await stage.framecast([`front=${source.url}/video_feed`, `yard=${MOVING}`]);
  const page = await open(await stage.browser("chromium"), `${framecast.url}/${path}`);
  const polls = await holdPolls(page);
  const said = () => page.$eval(selector, (element) => element.textContent);
  const worst = [];
  const within = async (kind, counted, act) => {
    await watchState(page, selector);
    // After some seconds without an answer, the head says that the server is unreachable.
    await recordTold(page, () => document.getElementById("summary")?.textContent);
    const from = new Date().toISOString();
    polls.isHeld = true;
    await act();
    await until(`the page says ${kind}`, () => page.evaluate((text) => window.seen.some((seen) => seen.text === text), kind));
    const [event] = await until(`the history has an event ${kind}`, async () => {
      const found = await framecast.events({ camera: "front", kind, from });
      return found.length > 0 && found;
    });
    const seenMs = await page.evaluate((text) => window.seen.find((seen) => seen.text === text).atMs, kind);
    const lateMs = seenMs - Date.parse(event.at);
    ensure(lateMs <= MOST_MS, `the page says ${kind} ${lateMs} ms after the event`);
    worst.push(`${kind} after ${Math.max(0, lateMs)} ms`);
    if (path === "") await until(`the head of the page says ${counted}`, async () => (await toldBy(page)).includes(counted));
    polls.release();
  };
  await until("the camera is live", async () => (await said()) === "live");
  if (path === "") {
    await until("both cameras are live", () => page.evaluate(() => document.getElementById("summary").textContent === "2 cameras · 2 live"));
  }
  await until("the page polls", () => polls.asked > 2);
  await within("lost", "2 cameras · 1 live · 1 lost", () => source.kill());
  await within("live", "2 cameras · 2 live", () => stage.framecast([`front=${MOVING}`], source.port));
  return worst.join(", ");
}

/** While events arrive, a wall polls seldom; if they cannot, at the usual rate. */
async function asksSeldom(stage) {
  const framecast = await stage.framecast([`front=${MOVING}`, `yard=${MOVING}`]);
  const proxy = await stage.proxy(framecast);
  const browser = await stage.browser("chromium");
  const expect = async (url, what, isRight) => {
    const page = await open(browser, url);
    const polls = [];
    page.on("request", (request) => /\/api\/cameras$/.test(request.url()) && polls.push(Date.now()));
    await moves(page, ".picture");
    polls.length = 0;
    const pauses = () => polls.slice(1).map((at, n) => at - polls[n]);
    await until(`two pauses of ${what}, one after the other`, async () => pauses().slice(-2).filter(isRight).length === 2)
      .catch((error) => {
        throw new Error(`${error.message}; the pauses between polls were ${pauses().join(", ")} ms`);
      });
    await page.close();
  };
  // A busy machine lengthens pauses; if it delays pictures, the page polls each second until they come.
  await expect(framecast.url, "some 5 s, because events arrive", (ms) => ms > 4000);
  await expect(proxy.url, "some 1 s, because no event can arrive", (ms) => ms < 2500);
}

/** Events that happened while the page was away appear when it is back. */
async function missesNothing(stage, name) {
  const framecast = await stage.framecast([`front=${MOVING}`]);
  const browser = await stage.browser(name);
  const page = await open(browser, `${framecast.url}/cameras/front`);
  await moves(page, "#stage");
  await until("the day is drawn", () => page.$("#day:not([hidden]) .course .run"));
  await hide(browser, page);
  await framecast.mark("unseen", "front");
  await show(page);
  await until("the bar has a tick for the mark", () => page.$$eval(".ticks .label", (all) => all.some(({ textContent }) => /unseen/.test(textContent))));
  await framecast.kill();
  await until("the page says unreachable", () => page.$eval("#state", ({ textContent }) => /unreachable/.test(textContent)));
  const again = await stage.framecast([`front=${MOVING}`], framecast.port);
  await until("the camera is live again", () => page.$eval("#state", ({ textContent }) => textContent === "live"));
  await again.mark("afterwards", "front");
  await until("the bar has a tick for the later mark", () => page.$$eval(".ticks .label", (all) => all.some(({ textContent }) => /afterwards/.test(textContent))));
}

export const checks = [
  alone({ name: "events-overview", needs: ["chromium"], run: (stage) => comesByEvent(stage, "", ".tile .state") }),
  alone({ name: "events-camera", needs: ["chromium"], run: (stage) => comesByEvent(stage, "cameras/front", "#state") }),
  { name: "events-seldom", needs: ["chromium"], run: asksSeldom },
  ...inBoth("events-missed", missesNothing),
];
