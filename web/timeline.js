// The last 24 hours of a camera as a bar of its states, with the marks as ticks beneath. The page fetches the past from
// the API once, and gets new events through `hear`; `spans.js` computes the spans, this file draws them.

import { address } from "./api.js";
import { CAMERA_KINDS, columns, groupMarks, hours, SERVER_KINDS, spansOf, sumUp, timeOf, trim } from "./spans.js";
import { make, setText } from "./tile.js";
import { formatCount, visible } from "./format.js";

const WINDOW_MS = 24 * 3600000;
const MAX_PAGES = 20;
const PER_PAGE = 1000;
const TIMEOUT_MS = 15000;
// One column for two minutes; on a phone a column is narrower than a pixel.
const COLUMNS = 720;
const REDRAW_MS = 60000;
const GATHER_MS = 200;
const RETRY_MS = 30000;
// The width of a tick that a finger can hit.
const TICK_PX = 28;
// How much of the history around a mark its link shows.
const AROUND_MS = 300000;
// An hour closer to an end of the bar has no room for its label.
const LABEL_PX = 20;

async function ask(parameters) {
  const url = `${address("api/events")}?${new URLSearchParams(parameters)}`;
  const response = await fetch(url, { cache: "no-store", signal: AbortSignal.timeout(TIMEOUT_MS) });
  const body = await response.json().catch(() => ({}));
  if (!response.ok) throw new Error(body.error ?? `the server answered ${response.status}`);
  return body;
}

/** The newest matching events, page after page; `isWhole` unless there are more than the page fetches. */
async function askAll(parameters) {
  const found = [];
  let cursor = {};
  for (let page = 0; page < MAX_PAGES; page += 1) {
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
  // Nothing is known of the time before this.
  #knownFromMs = -Infinity;
  #isLoaded = false;
  #isLoading = false;
  #isAgain = false;
  #triedAt = -Infinity;
  // The server's clock minus the local one.
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
    // The bar's label contains this; its swatches serve people who see the bar.
    for (const seen of [this.#lines, this.#hours, this.#legend]) seen.setAttribute("aria-hidden", "true");
    figure.append(title, make("div", "track", this.#bar, this.#lines, this.#ticks, this.#hours), this.#legend, this.#problem);
    new ResizeObserver(() => this.#drawSoon()).observe(figure);
  }

  /** Called now and then with the server's clock. `isTold`: new events come through `hear`. */
  tick(nowMs, isTold) {
    this.#aheadMs = nowMs - Date.now();
    const now = performance.now();
    const isDue = !this.#isLoaded || !isTold;
    if (isDue && now - this.#triedAt > (this.#isLoaded ? REDRAW_MS : RETRY_MS)) this.load();
    else if (now - this.#drawnAt > REDRAW_MS) this.#draw();
  }

  /** Fetches all past events again, because those from `hear` may have a gap. */
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
      setText(this.#problem, `Cannot load the history: ${error.message}`);
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
      // The state at the start of the day. An opened device decides it only if the camera was not lost before.
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

  /** An event has arrived. */
  addEvent(event) {
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
    const cut = cuts === 0 ? [] : [`the server crashed or lost power ${formatCount(cuts)}`];
    const summary = [...sums.map(({ text }) => text), ...cut].join(", ");
    if (this.#bar.getAttribute("aria-label") !== summary) this.#bar.setAttribute("aria-label", summary);
    // Set only now: screen readers cannot use an image without a name.
    this.#bar.setAttribute("role", "img");
    const entries = sums.map(({ state, text }) => {
      const swatch = make("span", "run");
      swatch.dataset.state = state;
      return make("li", "", swatch, text);
    });
    this.#legend.replaceChildren(...entries, ...cut.map((text) => make("li", "", text)));
  }

  /**
   * A line for each mark in the bar; beneath it, links, with marks that are too close to hit separately grouped in one.
   */
  #drawMarks(marks, place) {
    const lines = marks.map((mark) => {
      const line = make("span", "");
      line.style.left = place(timeOf(mark));
      return line;
    });
    this.#lines.replaceChildren(...lines);
    const groups = groupMarks(marks, this.#lasting(TICK_PX));
    // A focused link keeps the focus.
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

  /** The time that this many pixels of the bar represent. */
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
