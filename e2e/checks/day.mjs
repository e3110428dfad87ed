// The last day of a camera: how it is computed from events, and how it is drawn.

import { goTo, isQuiet, open, screenshot } from "../lib/browser.mjs";
import { tabTo } from "../lib/keys.mjs";
import { saveScreenshots } from "../lib/screenshot.mjs";
import { ensure, sleep, until } from "../lib/wait.mjs";

const MOVING = "emulated:?size=640x360&fps=10";
const HOUR_MS = 3600000;
// Above the ids of the real events meanwhile.
const FIRST_ID = 1000000;

/** A day in the API's form: newest first, ids grow with time. */
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
    id: FIRST_ID + n, at: new Date(nowMs - ago * HOUR_MS).toISOString(), kind, camera, text, count: null,
  }));
  return events.reverse();
}

/** Answers the page's requests for events from `events`, in pages of `most`. */
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

/** The last day: states in a bar, hours beneath, and marks that the keyboard reaches. */
async function drawsTheDay(stage) {
  const framecast = await stage.framecast([`front=${MOVING}`]);
  const page = await open(await stage.browser("chromium"), "about:blank");
  const asked = await tellEvents(page, someDay(Date.now()), 4);
  await goTo(page, `${framecast.url}/cameras/front`);
  await until("the day is drawn", () => page.$("#day:not([hidden]) .course .run"));
  ensure(asked.some(({ cursor }) => cursor), "the page requested only the first page of events");
  // In one step: the page may draw the day anew between two.
  const { summary, states, swatches } = await page.evaluate(() => ({
    summary: document.querySelector("#day [role=img]").getAttribute("aria-label"),
    states: [...document.querySelectorAll(".course .run")].map(({ dataset }) => dataset.state),
    swatches: [...document.querySelectorAll(".legend .run")].map((run) =>
      ({ state: run.dataset.state, look: `${run.offsetHeight} ${getComputedStyle(run).backgroundImage}` })),
  }));
  const wanted = /^live 18 h \d+ min, lost twice, 1 h 36 min in all, opening .*, idle .*, server off once, 1 h, the server crashed or lost power once$/;
  ensure(wanted.test(summary), `the summary of the day is: ${summary}`);
  const path = states.filter((state) => state !== "opening").join(" ");
  ensure(path === "live lost live idle live lost live off idle live idle live", `the bar shows: ${path}`);
  const looks = new Set(swatches.map(({ look }) => look));
  ensure(looks.size === new Set(states).size, `two states differ only by colour: ${swatches.map(({ state, look }) => `${state} ${look}`).join("; ")}`);
  await tabTo(page, ".ticks a");
  const { label, isSeen } = await page.evaluate(() => ({
    label: document.activeElement.textContent,
    isSeen: getComputedStyle(document.querySelector(".ticks a:focus-visible .label")).clipPath === "none",
  }));
  ensure(/^\d\d:\d\d a fox\n\d\d:\d\d the same fox$/.test(label), `the first tick says: ${label}`);
  ensure(isSeen, "the label of the focused tick is invisible");
  await page.setViewport({ width: 400, height: 800 });
  await sleep(500);
  ensure(await page.evaluate(() => document.activeElement.matches(".ticks a")), "the tick loses the focus when the page redraws the day");
  await screenshot(page, stage.out("day-tick.png"));
  await saveScreenshots(stage, page, "day", "chromium");
  const isWide = await page.evaluate(() => document.documentElement.scrollWidth > innerWidth);
  ensure(!isWide, "the page is wider than the window");
  isQuiet(page);
}

/** Computes spans from events, in the browser. */
async function computes(stage) {
  const framecast = await stage.framecast([`front=${MOVING}`]);
  const page = await open(await stage.browser("chromium"), framecast.url);
  await computesSpans(page);
  await computesStates(page);
}

/** The newer one of an answer and an event counts, in whatever order they arrive. */
async function computesStates(page) {
  const found = await page.evaluate(async () => {
    const { CameraStates } = await import(new URL("static/states.js", location.href));
    const camera = (state, reason = null) => ({ name: "front", state, reason, since: "–", next_try: null, fps: 5, age_ms: 1 });
    const event = (ms, kind, text = null) => ({ at: new Date(ms).toISOString(), kind, camera: "front", text });
    const told = (...steps) => {
      const states = new CameraStates();
      for (const step of steps) step(states);
      return states.all.map(({ state, reason }) => [state, reason].filter(Boolean).join(": ")).join();
    };
    const answer = (state, nowMs, askedAt, reason) => (states) => states.applyAnswer([camera(state, reason)], nowMs, askedAt);
    const hear = (heardAt, ...all) => (states) => states.applyEvent(event(...all), heardAt);
    return {
      newer: told(answer("live", 1000, 0), hear(1, 1500, "lost", "gone")),
      older: told(answer("live", 1000, 0), hear(1, 900, "lost", "gone")),
      onItsWay: told(answer("live", 1000, 0), hear(5, 1500, "lost", "gone"), answer("live", 1400, 4)),
      answeredSince: told(answer("live", 1000, 0), hear(5, 1500, "lost", "gone"), answer("live", 1600, 6)),
      stalled: told(answer("live", 1000, 0), hear(1, 1500, "stalled", "nothing"), hear(1, 1500, "lost", "no data for 5 s")),
      triedAgain: told(answer("lost", 1000, 0, "gone"), hear(1, 1500, "opened")),
      first: told(answer("idle", 1000, 0), hear(1, 1500, "opened")),
      closed: told(answer("lost", 1000, 0, "gone"), hear(1, 1500, "closed")),
      another: told(answer("live", 1000, 0), (states) => states.applyEvent({ ...event(1500, "lost"), camera: "yard" }, 1)),
      mark: told(answer("live", 1000, 0), hear(1, 1500, "mark", "a fox")),
    };
  });
  const wanted = {
    newer: "lost: gone",
    older: "live",
    onItsWay: "lost: gone",
    answeredSince: "live",
    stalled: "lost: no data for 5 s",
    triedAgain: "lost: gone",
    first: "opening",
    closed: "idle",
    another: "live",
    mark: "live",
  };
  for (const [what, value] of Object.entries(wanted)) ensure(found[what] === value, `${what}: ${found[what]} instead of ${value}`);
}

async function computesSpans(page) {
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
    sum: "live 20 s,lost once, 10 s,opening 5 s,idle 10 s,no data for 5 s",
    groups: "1+3,9",
    hours: 3,
  };
  for (const [what, value] of Object.entries(wanted)) ensure(found[what] === value, `${what}: ${found[what]} instead of ${value}`);
}

export const checks = [
  { name: "day", needs: ["chromium"], run: drawsTheDay },
  { name: "day-computed", needs: ["chromium"], run: computes },
];
