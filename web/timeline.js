// The last 24 hours of a camera as a bar of its states, with the marks as ticks beneath. What was is
// asked of the API once, what is new comes by events (`hear`); computed in `spans.js`, drawn here.

import { address } from "./api.js";
import { CAMERA_KINDS, columns, groupMarks, hours, SERVER_KINDS, spansOf, sumUp, timeOf, trim } from "./spans.js";
import { make, setText } from "./tile.js";
import { times, visible } from "./words.js";

const WINDOW_MS = 24 * 3600000;
const MOST_PAGES = 20;
const PER_PAGE = 1000;
const TIMEOUT_MS = 15000;
// One for two minutes; on a phone not each of them is a pixel.
const COLUMNS = 720;
const REDRAW_MS = 60000;
const GATHER_MS = 200;
const RETRY_MS = 30000;
// A tick that a finger can hit.
const TICK_PX = 28;
// How much of the history around a mark its link leads to.
const AROUND_MS = 300000;
// An hour nearer to an end of the bar has no room for its label.
const LABEL_PX = 20;

async function ask(parameters) {
  const url = `${address("api/events")}?${new URLSearchParams(parameters)}`;
  const response = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.error ?? `the server answered ${response.status}`);
  return body;
}

/** The newest events that match, page after page; `isWhole` unless there are more than will be asked for. */
async function askAll(parameters) {
  const found = [];
  let cursor = {};
  for (let page = 0; page < MOST_PAGES; page += 1) {
    const { events, next } = await ask({ ...parameters, limit: PER_PAGE, ...cursor });
    found.push(...events);
    if (!next) return { events: found, isWhole: true };
    cursor = { cursor: next };
  }
  return { events: found, isWhole: false };
}

const clock = (ms, options = { hour: "2-digit", minute: "2-digit", hourCycle: "h23" }) => new Date(ms).toLocaleTimeString("en", options);

export class Timeline {
  #figure;
  #camera;
  #bar = make("div", "course");
  #lines = make("div", "lines");
  #ticks = make("ol", "ticks");
  #hours = make("div", "hours");
  #legend = make("ul", "legend");
  #problem = make("p", "reason");
  #events = new Map();
  #initial = "unknown";
  // Nothing is known of the time before.
  #knownFromMs = -Infinity;
  #isLoaded = false;
  #isLoading = false;
  #isAgain = false;
  #triedAt = -Infinity;
  // The server's clock less the one here.
  #aheadMs = null;
  #drawnAt = 0;
  #timer = 0;
  #tickOf = new Map();

  /** `figure` is the page's element for it; `camera` the name. */
  constructor(figure, camera) {
    this.#figure = figure;
    this.#camera = camera;
    const title = make("figcaption", "", make("h2", "", "Last 24 hours"));
    title.id = figure.getAttribute("aria-labelledby");
    this.#ticks.setAttribute("aria-label", "Marks");
    // What the bar's label says; its swatches are for who sees the bar.
    for (const seen of [this.#lines, this.#hours, this.#legend]) seen.setAttribute("aria-hidden", "true");
    figure.append(title, make("div", "track", this.#bar, this.#lines, this.#ticks, this.#hours), this.#legend, this.#problem);
    new ResizeObserver(() => this.#drawSoon()).observe(figure);
  }

  /** The server's clock, now and then. `isTold`: what is new comes by `hear`. */
  tick(nowMs, isTold) {
    this.#aheadMs = nowMs - Date.now();
    const now = performance.now();
    const isDue = !this.#isLoaded || !isTold;
    if (isDue && now - this.#triedAt > (this.#isLoaded ? REDRAW_MS : RETRY_MS)) this.load();
    else if (now - this.#drawnAt > REDRAW_MS) this.#draw();
  }

  /** Asks for all there was, anew: what `hear` is told may have a gap. */
  async load() {
    this.#isAgain = this.#isLoading;
    if (this.#isLoading || this.#aheadMs === null) return;
    this.#isLoading = true;
    this.#triedAt = performance.now();
    try {
      await this.#ask();
      this.#isLoaded = true;
      setText(this.#problem, "");
    } catch (error) {
      setText(this.#problem, `The history cannot be had: ${error.message}`);
    }
    this.#isLoading = false;
    this.#figure.hidden = false;
    this.#draw();
    if (this.#isAgain) this.load();
  }

  async #ask() {
    const fromMs = this.#nowMs - WINDOW_MS;
    const from = new Date(fromMs).toISOString();
    const camera = this.#camera;
    const states = await askAll({ camera, kind: [...CAMERA_KINDS, "mark"], from });
    const server = await askAll({ kind: [...SERVER_KINDS, "mark"], from });
    const found = [...states.events, ...server.events];
    let knownFromMs = -Infinity;
    for (const { events, isWhole } of [states, server]) {
      if (!isWhole) knownFromMs = Math.max(knownFromMs, timeOf(events.at(-1)));
    }
    if (knownFromMs === -Infinity) {
      // In which state the day began. That a device was opened says it only of a camera that was not lost before.
      const before = { to: from, limit: 1 };
      for (const parameters of [
        { camera, kind: CAMERA_KINDS.filter((kind) => kind !== "opened") },
        { camera, kind: "opened" },
        { kind: SERVER_KINDS },
      ]) found.push(...(await ask({ ...parameters, ...before })).events);
    }
    this.#knownFromMs = knownFromMs;
    this.#initial = "unknown";
    const heard = [...this.#events.values()].filter((event) => timeOf(event) >= fromMs);
    this.#events.clear();
    for (const event of [...found, ...heard]) this.#keep(event);
  }

  #keep(event) {
    const isServers = event.camera === null || event.camera === undefined;
    const kinds = isServers ? [...SERVER_KINDS, "mark"] : [...CAMERA_KINDS, "mark"];
    const isMine = isServers || event.camera === this.#camera;
    if (isMine && kinds.includes(event.kind)) this.#events.set(event.id, event);
  }

  /** Something has happened. */
  hear(event) {
    this.#keep(event);
    if (this.#isLoaded) this.#drawSoon();
  }

  get #nowMs() {
    return Date.now() + this.#aheadMs;
  }

  #drawSoon() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#isLoaded && this.#draw(), GATHER_MS);
  }

  #draw() {
    if (!this.#isLoaded) return;
    this.#drawnAt = performance.now();
    const toMs = this.#nowMs;
    const fromMs = toMs - WINDOW_MS;
    const beginMs = Math.max(fromMs, this.#knownFromMs);
    const [events, initial] = trim(this.#events.values(), beginMs, this.#initial);
    this.#events = new Map(events.map((event) => [event.id, event]));
    this.#initial = initial;
    const spans = spansOf(events, beginMs, toMs, initial);
    if (beginMs > fromMs) spans.unshift({ state: "unknown", fromMs, toMs: beginMs, isCut: false });
    const place = (atMs) => `${((Math.min(Math.max(atMs, fromMs), toMs) - fromMs) / WINDOW_MS) * 100}%`;
    const marks = events.filter(({ kind }) => kind === "mark");
    this.#drawSpans(spans);
    this.#drawMarks(marks, place);
    this.#drawHours(fromMs, toMs, place);
  }

  #drawSpans(spans) {
    const runs = columns(spans, COLUMNS).map(({ state, from, to }) => {
      const run = make("span", "run");
      run.dataset.state = state;
      run.style.left = `${(from / COLUMNS) * 100}%`;
      run.style.width = `${((to - from) / COLUMNS) * 100}%`;
      return run;
    });
    this.#bar.replaceChildren(...runs);
    const sums = sumUp(spans);
    const cuts = spans.filter(({ isCut }) => isCut).length;
    const cut = cuts === 0 ? [] : [`the server ended without a word ${times(cuts)}`];
    const summary = [...sums.map(({ text }) => text), ...cut].join(", ");
    if (this.#bar.getAttribute("aria-label") !== summary) this.#bar.setAttribute("aria-label", summary);
    // Only now: an image without a name is nothing to a screen reader.
    this.#bar.setAttribute("role", "img");
    const entries = sums.map(({ state, text }) => {
      const swatch = make("span", "run");
      swatch.dataset.state = state;
      return make("li", "", swatch, text);
    });
    this.#legend.replaceChildren(...entries, ...cut.map((text) => make("li", "", text)));
  }

  /** A line for each mark in the bar; beneath, a link for those that are too near to each other to be hit apart. */
  #drawMarks(marks, place) {
    const lines = marks.map((mark) => {
      const line = make("span", "");
      line.style.left = place(timeOf(mark));
      return line;
    });
    this.#lines.replaceChildren(...lines);
    const groups = groupMarks(marks, this.#lasting(TICK_PX));
    // Who has the focus on one keeps it.
    const kept = new Map();
    groups.forEach((group, n) => {
      const key = group[0].id;
      const tick = this.#tickOf.get(key) ?? make("li", "", make("a", ""));
      kept.set(key, tick);
      this.#fill(tick, group);
      tick.style.left = place(timeOf(group[0]));
      tick.dataset.side = parseFloat(tick.style.left) > 50 ? "right" : "left";
      if (this.#ticks.children[n] !== tick) this.#ticks.insertBefore(tick, this.#ticks.children[n] ?? null);
    });
    for (const [key, tick] of this.#tickOf) if (!kept.has(key)) tick.remove();
    this.#tickOf = kept;
    this.#ticks.hidden = groups.length === 0;
  }

  #fill(tick, group) {
    const link = tick.firstChild;
    const text = group.map((mark) => `${clock(timeOf(mark))} ${mark.text}`).join("\n");
    if (link.textContent === visible(text)) return;
    link.replaceChildren(make("span", "label", text));
    const query = { from: new Date(timeOf(group[0]) - AROUND_MS).toISOString(), to: new Date(timeOf(group.at(-1)) + AROUND_MS).toISOString() };
    if (group.every(({ camera }) => camera === this.#camera)) query.camera = this.#camera;
    link.href = `${address("history")}?${new URLSearchParams(query)}#e${group[0].id}`;
  }

  /** How much time so many pixels of the bar are. */
  #lasting(px) {
    return (px / Math.max(px, this.#bar.clientWidth)) * WINDOW_MS;
  }

  #drawHours(fromMs, toMs, place) {
    const marginMs = this.#lasting(LABEL_PX);
    const labels = hours(fromMs + marginMs, toMs - marginMs).filter(({ hour }) => hour % 3 === 0).map(({ atMs, hour }) => {
      const label = make("span", "", clock(atMs));
      label.dataset.hour = hour;
      label.style.left = place(atMs);
      return label;
    });
    this.#hours.replaceChildren(...labels);
  }
}
