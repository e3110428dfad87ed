// What happens, on the page: states that change without being asked for, the last day of a camera, marks, and the
// history, by keyboard alone.

import { hide, moves, open, show } from "../lib/browser.mjs";
import { tabBackTo, tabTo } from "../lib/panel.mjs";
import { ensure, sleep, until } from "../lib/wait.mjs";

const DESKTOP = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844, deviceScaleFactor: 2, hasTouch: true, isMobile: false };
const MOVING = "emulated:?size=640x360&fps=10";
const MOST_MS = 1000;
const HOUR_MS = 3600000;

/** Leaves pictures of the page for people to look at: on a desktop and a phone, in light and dark where the browser can. */
async function lookAt(stage, page, name, browserName) {
  for (const [size, viewport] of [["phone", PHONE], ["desktop", DESKTOP]]) {
    await page.setViewport(viewport);
    for (const scheme of browserName === "chromium" ? ["dark", "light"] : ["light"]) {
      if (browserName === "chromium") await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value: scheme }]);
      await sleep(400);
      await page.screenshot({ path: stage.out(`${name}-${browserName}-${size}-${scheme}.png`) });
    }
  }
}

const quiet = (page) => ensure(page.errors.length === 0, `the console says: ${page.errors.join(" | ")}`);

async function eventsOf(framecast, query) {
  const response = await fetch(`${framecast.url}/api/events?${new URLSearchParams(query)}`);
  return (await response.json()).events;
}

/** Writes down in `window.seen` when the first element of `selector` said what. */
function watchState(page, selector) {
  return page.evaluate((wanted) => {
    const element = document.querySelector(wanted);
    window.seen = [];
    new MutationObserver(() => window.seen.push({ text: element.textContent, atMs: Date.now() }))
      .observe(element, { childList: true, characterData: true, subtree: true });
  }, selector);
}

/** Holds the page's questions about cameras while `isHeld`; counts them in `page.asked`. */
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

/** The page says `state` at most a second after the event of this kind, though no question of it is answered. */
async function comesByEvent(stage, path, selector) {
  const source = await stage.framecast([`front=${MOVING}`]);
  const framecast = await stage.framecast([`front=${source.url}/video_feed`, `yard=${MOVING}`]);
  const page = await open(await stage.browser("chromium"), `${framecast.url}/${path}`);
  const polls = await holdPolls(page);
  const said = () => page.$eval(selector, (element) => element.textContent);
  const worst = [];
  const within = async (kind, act) => {
    await watchState(page, selector);
    const from = new Date().toISOString();
    polls.isHeld = true;
    await act();
    await until(`the page says ${kind}`, () => page.evaluate((text) => window.seen.some((seen) => seen.text === text), kind));
    const [event] = await until(`there is an event of ${kind}`, async () => {
      const found = await eventsOf(framecast, { camera: "front", kind, from });
      return found.length > 0 && found;
    });
    const seenMs = await page.evaluate((text) => window.seen.find((seen) => seen.text === text).atMs, kind);
    const lateMs = seenMs - Date.parse(event.at);
    ensure(lateMs <= MOST_MS, `the page says ${kind} ${lateMs} ms after it was`);
    worst.push(`${kind} after ${Math.max(0, lateMs)} ms`);
    polls.release();
  };
  await until("the camera is live", async () => (await said()) === "live");
  await until("what is asked is answered", () => polls.asked > 2);
  await within("lost", () => source.kill());
  if (path === "") {
    const summary = await page.$eval("#summary", ({ textContent }) => textContent);
    ensure(summary === "2 cameras · 1 live · 1 lost", `the head says: ${summary}`);
  }
  await within("live", () => stage.framecast([`front=${MOVING}`], source.port));
  return worst.join(", ");
}

/** While events come, a wall asks seldom; where they cannot, as often as ever. */
async function asksSeldom(stage) {
  const framecast = await stage.framecast([`front=${MOVING}`, `yard=${MOVING}`]);
  const proxy = await stage.proxy(framecast);
  const browser = await stage.browser("chromium");
  const count = async (url) => {
    const page = await open(browser, url);
    let asked = 0;
    page.on("request", (request) => (asked += /\/api\/cameras$/.test(request.url()) ? 1 : 0));
    await moves(page, ".picture");
    await sleep(2000);
    asked = 0;
    await sleep(6000);
    await page.close();
    return asked;
  };
  const [seldom, often] = [await count(framecast.url), await count(proxy.url)];
  ensure(seldom <= 2, `${seldom} questions in 6 s although events come`);
  ensure(often >= 4, `${often} questions in 6 s although no event can come`);
}

/** What happened while the page was away is there when it is back. */
async function missesNothing(stage, name) {
  const framecast = await stage.framecast([`front=${MOVING}`]);
  const browser = await stage.browser(name);
  const page = await open(browser, `${framecast.url}/cameras/front`);
  await moves(page, "#stage");
  await until("the day is drawn", () => page.$("#day:not([hidden]) .course .run"));
  await hide(browser, page);
  await fetch(`${framecast.url}/api/events`, { method: "POST", body: JSON.stringify({ label: "unseen", camera: "front" }), headers: { "Content-Type": "application/json" } });
  await show(page);
  await until("the mark is there", () => page.$$eval(".ticks .label", (all) => all.some(({ textContent }) => /unseen/.test(textContent))));
  await framecast.kill();
  await until("the page says so", () => page.$eval("#state", ({ textContent }) => /unreachable/.test(textContent)));
  const again = await stage.framecast([`front=${MOVING}`], framecast.port);
  await until("the camera is live again", () => page.$eval("#state", ({ textContent }) => textContent === "live"));
  await fetch(`${again.url}/api/events`, { method: "POST", body: JSON.stringify({ label: "afterwards", camera: "front" }), headers: { "Content-Type": "application/json" } });
  await until("a mark made afterwards is there", () => page.$$eval(".ticks .label", (all) => all.some(({ textContent }) => /afterwards/.test(textContent))));
}

/** A day as the API would tell it: newest first, ids grow with time. */
function someDay(nowMs) {
  const told = [
    [30, "started", null], [29, "opened", "front"], [28.9, "live", "front"],
    [20, "stalled", "front", "no picture for 5 s"], [20, "lost", "front", "no picture for 5 s"], [19.9, "live", "front"],
    [15, "closed", "front"], [13, "opened", "front"], [12.99, "live", "front"], [12, "mark", "front", "a fox"],
    [11.9, "mark", "front", "the same fox"], [10, "lost", "front", "the device is gone"], [9, "opened", "front"], [8.5, "live", "front"],
    [7, "stopped", null], [6, "started", null], [5.9, "opened", "front"], [5.8, "live", "front"],
    [4, "mark", null, "the power went"], [3, "started", null], [2.9, "opened", "front"], [2.8, "live", "front"],
  ];
  const events = told.map(([ago, kind, camera, text = null], n) => ({
    id: n + 1, at: new Date(nowMs - ago * HOUR_MS).toISOString(), kind, camera, text, count: null,
  }));
  return events.reverse();
}

/** Answers what the page asks of events from `events`, in pages of `most`. */
async function tellEvents(page, events, most) {
  const pages = [];
  await page.setRequestInterception(true);
  page.on("request", (request) => {
    const url = new URL(request.url());
    if (url.pathname !== "/api/events" || request.method() !== "GET") return request.continue();
    const query = Object.fromEntries(url.searchParams);
    pages.push(query);
    const found = events.filter(({ id, at, kind, camera }) =>
      query.kind.split(",").includes(kind) && (!query.camera || query.camera === camera) &&
      (!query.from || Date.parse(at) >= Date.parse(query.from)) && (!query.to || Date.parse(at) < Date.parse(query.to)) &&
      (!query.cursor || id < Number(query.cursor)));
    const part = found.slice(0, Math.min(most, Number(query.limit)));
    const next = found.length > part.length ? String(part.at(-1).id) : null;
    return request.respond({ contentType: "application/json", body: JSON.stringify({ now: new Date().toISOString(), events: part, next }) });
  });
  return pages;
}

/** The last day: states in a bar, hours beneath, and marks that a keyboard comes to. */
async function drawsTheDay(stage) {
  const framecast = await stage.framecast([`front=${MOVING}`]);
  const page = await open(await stage.browser("chromium"), "about:blank");
  const asked = await tellEvents(page, someDay(Date.now()), 4);
  await page.goto(`${framecast.url}/cameras/front`, { waitUntil: "domcontentloaded" });
  await until("the day is drawn", () => page.$("#day:not([hidden]) .course .run"));
  ensure(asked.some(({ cursor }) => cursor), "the page has not asked for more than the first page");
  const summary = await page.$eval("#day [role=img]", (bar) => bar.getAttribute("aria-label"));
  const wanted = /^live 18 h \d+ min, lost twice, 1 h 36 min in all, opening .*, idle .*, server off once, 1 h, the server ended without a word once$/;
  ensure(wanted.test(summary), `the day is told as: ${summary}`);
  const states = await page.$$eval(".course .run", (runs) => runs.map(({ dataset }) => dataset.state));
  const path = states.filter((state) => state !== "opening").join(" ");
  ensure(path === "live lost live idle live lost live off idle live idle live", `the bar shows: ${path}`);
  const heights = await page.$$eval(".legend .run", (all) => new Set(all.map((run) => `${run.offsetHeight} ${getComputedStyle(run).backgroundImage}`)).size);
  ensure(heights === states.filter((state, n) => states.indexOf(state) === n).length, "two states differ by their colour alone");
  await tabTo(page, ".ticks a");
  const label = await page.evaluate(() => document.activeElement.textContent);
  ensure(/^\d\d:\d\d a fox\n\d\d:\d\d the same fox$/.test(label), `the first tick says: ${label}`);
  const isSeen = await page.$eval(".ticks a:focus-visible .label", (element) => getComputedStyle(element).clipPath === "none");
  ensure(isSeen, "the label of the tick with the focus is not seen");
  await lookAt(stage, page, "day", "chromium");
  const isWide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
  ensure(!isWide, "the page is wider than the window");
  quiet(page);
}

/** What is computed of events, in the browser that computes it. */
async function computes(stage) {
  const framecast = await stage.framecast([`front=${MOVING}`]);
  const page = await open(await stage.browser("chromium"), framecast.url);
  const found = await page.evaluate(async () => {
    const { columns, groupMarks, hours, spansOf, sumUp, trim } = await import(new URL("static/spans.js", location.href));
    const event = (seconds, kind, id = seconds) => ({ id, at: new Date(seconds * 1000).toISOString(), kind });
    const told = (events, from, to, initial) =>
      spansOf(events, from * 1000, to * 1000, initial).map(({ state, fromMs, toMs, isCut }) => `${state} ${fromMs / 1000}-${toMs / 1000}${isCut ? " cut" : ""}`).join();
    const day = [event(10, "live"), event(5, "opened"), event(20, "lost"), event(25, "opened"), event(30, "live"), event(40, "closed")];
    const [kept, initial] = trim(day, 22000, "unknown");
    return {
      nothing: told([], 0, 10),
      inAnyOrder: told(day, 0, 50),
      earlierOnesTellTheStart: told(day, 22, 50),
      trimmed: told(kept, 22, 50, initial),
      announced: told([event(0, "live"), event(5, "stopped"), event(8, "started")], 0, 10),
      unannounced: told([event(0, "live"), event(8, "started"), event(9, "started", 10)], 0, 10),
      atOnce: told([event(5, "stalled", 1), event(5, "lost", 2), event(5, "live", 3)], 0, 10, "live"),
      shortIsSeen: columns(spansOf([event(50, "lost"), event(51, "live")], 0, 100000, "live"), 10).map(({ state, from, to }) => `${state} ${from}-${to}`).join(),
      longestIsSeen: columns(spansOf([event(53, "closed"), event(58, "live")], 0, 100000, "live"), 10).map(({ state, from, to }) => `${state} ${from}-${to}`).join(),
      sum: sumUp(spansOf(day, 0, 50000)).map(({ text }) => text).join(),
      groups: groupMarks([event(3, "mark"), event(1, "mark"), event(9, "mark")], 4000).map((group) => group.map(({ id }) => id).join("+")).join(),
      hours: hours(Date.UTC(2026, 0, 1, 0, 30), Date.UTC(2026, 0, 1, 3, 0)).length,
    };
  });
  const wanted = {
    nothing: "unknown 0-10",
    inAnyOrder: "unknown 0-5,opening 5-10,live 10-20,lost 20-30,live 30-40,idle 40-50",
    earlierOnesTellTheStart: "lost 22-30,live 30-40,idle 40-50",
    trimmed: "lost 22-30,live 30-40,idle 40-50",
    announced: "live 0-5,off 5-8,idle 8-10",
    unannounced: "live 0-8 cut,idle 8-9 cut,idle 9-10",
    atOnce: "live 0-5,live 5-10",
    shortIsSeen: "live 0-5,lost 5-6,live 6-10",
    longestIsSeen: "live 0-10",
    sum: "live 20 s,lost once, 10 s,opening 5 s,idle 10 s,not known 5 s",
    groups: "1+3,9",
    hours: 3,
  };
  for (const [what, value] of Object.entries(wanted)) ensure(found[what] === value, `${what}: ${found[what]} in place of ${value}`);
}

/** Marks by keyboard alone, of the server and of a camera: told, kept, seen as a tick and in the history. */
async function marks(stage, name) {
  const framecast = await stage.framecast([`front=${MOVING}`]);
  const page = await open(await stage.browser(name), framecast.url);
  const isOpen = () => page.$eval("dialog.mark", (dialog) => dialog.open);
  const news = () => page.$eval("#news", ({ textContent }) => textContent);
  const mark = async (label) => {
    await page.keyboard.press("m");
    await until("the dialog is open", isOpen);
    await page.keyboard.type(label);
    await page.keyboard.press("Enter");
    await until("it is said", async () => (await news()) === "Marked");
    await until("the dialog is gone", async () => !(await isOpen()));
  };
  await moves(page, ".picture");
  await mark("power back");
  await page.goto(`${framecast.url}/cameras/front`, { waitUntil: "domcontentloaded" });
  await moves(page, "#stage");
  await tabTo(page, ".address input");
  await page.keyboard.press("m");
  ensure(!(await isOpen()), "the key opens the dialog where something is written");
  await tabBackTo(page, "#mark");
  await page.keyboard.press("Enter");
  await until("the button opens the dialog", isOpen);
  await page.keyboard.type("not this");
  await page.screenshot({ path: stage.out(`mark-${name}.png`) });
  await page.keyboard.press("Escape");
  await until("Escape closes it", async () => !(await isOpen()));
  ensure(await page.evaluate(() => document.activeElement.id === "mark"), "the focus is lost with the dialog");
  await mark("a fox <b>at</b> the gate");
  const kept = await eventsOf(framecast, { kind: "mark", order: "oldest" });
  const told = kept.map(({ camera, text }) => `${camera ?? "server"}: ${text}`).join(" | ");
  ensure(told === "server: power back | front: a fox <b>at</b> the gate", `what is kept: ${told}`);
  await until("both are ticks", () =>
    page.$$eval(".ticks .label", (all) => /power back[^]*a fox <b>at<\/b> the gate/.test(all.map(({ textContent }) => textContent).join("\n"))),
  );
  await page.screenshot({ path: stage.out(`ticks-${name}.png`) });
  await tabTo(page, ".ticks a");
  await page.keyboard.press("Enter");
  await until("the tick leads to the history", () => page.evaluate(() => /\/history$/.test(location.pathname)));
  await until("the mark is in it", () =>
    page.$$eval(".events tr[data-kind=mark]", (rows) => rows.some(({ textContent }) => /front\s*mark\s*a fox <b>at<\/b> the gate/.test(textContent))),
  );
  quiet(page);
}

/** A mark that cannot be kept: the sentence is beside what was written, which stays. */
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
  await page.keyboard.press("m");
  await page.keyboard.type("a fox");
  await page.keyboard.press("Enter");
  await until("the error is said", () => page.$eval("dialog[open] [role=alert]", ({ textContent }) => textContent === "the database is away"));
  ensure((await page.$eval("dialog input", ({ value }) => value)) === "a fox", "what was written is gone");
  status = 202;
  await page.keyboard.press("Enter");
  await until("that it waits is said", () => page.$eval("#news", ({ textContent }) => textContent.startsWith("Marked. It is kept once")));
}

/** The history: found by keyboard, filtered by keyboard, its head in sight, its columns where they were. */
async function showsHistory(stage, name) {
  const framecast = await stage.framecast([`front=${MOVING}`, "gate=images:/nowhere/at/all"]);
  const page = await open(await stage.browser(name), framecast.url);
  await until("one is lost", () => page.$eval("#summary", ({ textContent }) => /1 lost/.test(textContent)));
  for (let n = 1; n <= 40; n += 1) {
    const body = JSON.stringify({ label: `mark ${n}`, camera: "front" });
    await fetch(`${framecast.url}/api/events`, { method: "POST", headers: { "Content-Type": "application/json" }, body });
  }
  await tabTo(page, "a[href$=history]");
  await page.keyboard.press("Enter");
  await until("the history is there", () => page.$$eval(".events tbody tr", (rows) => rows.length > 40));
  const kinds = await page.$$eval(".events tbody tr", (rows) => [...new Set(rows.map(({ dataset }) => dataset.kind))]);
  for (const kind of ["started", "live", "lost", "mark"]) ensure(kinds.includes(kind), `there is no ${kind} in ${kinds}`);
  const edges = () => page.$$eval(".events th", (all) => all.map((head) => Math.round(head.getBoundingClientRect().left)).join());
  const before = await edges();
  await page.evaluate(() => scrollTo(0, document.body.scrollHeight));
  await sleep(200);
  const top = await page.$eval(".events th", (head) => head.getBoundingClientRect().top);
  ensure(Math.abs(top) < 2, `the head is at ${top} px when the end is in sight`);
  await page.evaluate(() => scrollTo(0, 0));
  await lookAt(stage, page, "history", name);
  for (const viewport of [PHONE, DESKTOP]) {
    await page.setViewport(viewport);
    ensure(!(await page.evaluate(() => document.documentElement.scrollWidth > innerWidth)), `the page is wider than ${viewport.width} px`);
  }
  await tabTo(page, ".filters [name=kind]");
  await page.select(".filters [name=kind]", "lost");
  await tabTo(page, ".filters button");
  await page.keyboard.press("Enter");
  await until("only what was lost is left", () =>
    page.$$eval(".events tbody tr[data-kind]", (rows) => rows.length > 0 && rows.every(({ dataset }) => dataset.kind === "lost")),
  );
  ensure((await edges()) === before, "the columns are elsewhere with other rows");
  await page.goto(`${framecast.url}/cameras/front`, { waitUntil: "domcontentloaded" });
  await tabTo(page, "#history");
  await page.keyboard.press("Enter");
  await until("the history of the camera alone", () =>
    page.$$eval(".events tbody tr[data-kind]", (rows) => rows.length > 40 && rows.every((row) => row.children[1].textContent.trim() === "front")),
  );
  quiet(page);
}

const inBoth = (title, check) =>
  [["chromium", "chromium"], ["firefox", "firefox-esr"]].map(([name, program]) => ({
    name: `${title}-${name}`,
    needs: [program],
    run: (stage) => check(stage, name),
  }));

export const checks = [
  { name: "events-overview", needs: ["chromium"], run: (stage) => comesByEvent(stage, "", ".tile .state") },
  { name: "events-camera", needs: ["chromium"], run: (stage) => comesByEvent(stage, "cameras/front", "#state") },
  { name: "events-seldom", needs: ["chromium"], run: asksSeldom },
  ...inBoth("events-missed", missesNothing),
  { name: "day", needs: ["chromium"], run: drawsTheDay },
  { name: "day-computed", needs: ["chromium"], run: computes },
  ...inBoth("mark", marks),
  { name: "mark-in-vain", needs: ["chromium"], run: marksInVain },
  ...inBoth("history", showsHistory),
];
