// Decides how each tile gets its picture: only visible tiles do, while the page is visible and the server answers.
// Several tiles, and those with coded video, share one connection (`live.js`). If that is unavailable, as many tiles as
// the budget allows get a stream and the others get snapshots in turn: browsers allow six HTTP/1.1 connections per host,
// of which one is reserved for the API and one for snapshots.

import { SnapshotLoader } from "./snapshots.js";

const MAX_STREAMS = 4;
// The useful rate in pictures a second, by the number of visible tiles.
const RATES = [[4, 30], [9, 20], [40, 15]];
const MAX_FPS_TOTAL = 600;
// Priorities if the link cannot carry all: first the tile under the pointer, then those in full view.
const POINTED_AT = 3;
const MOSTLY_VISIBLE = 2;
const PARTLY_VISIBLE = 1;
// During fast scrolling, tiles appear and disappear: wait until that settles.
const SETTLE_MS = 150;

export class StreamScheduler {
  #tiles = new Map();
  #snapshots = new SnapshotLoader();
  #most = MAX_STREAMS;
  #isUp = true;
  #isAway = false;
  #timer = 0;
  #live;
  #observer = new IntersectionObserver((entries) => this.#onIntersection(entries), { threshold: [0, 0.5] });
  #sizes = new ResizeObserver(() => this.#settle());

  /** `live`, if given, serves all tiles when there are several, or one with coded video. */
  constructor(live = null) {
    this.#live = live;
    if (live) live.onChange = () => this.#assign();
    // On another screen, or at another zoom, perhaps only the size in pixels differs.
    addEventListener("resize", () => this.#settle());
    document.addEventListener("visibilitychange", () => {
      this.#most = MAX_STREAMS;
      this.#assign();
    });
    // A page that goes into the back-forward cache must not keep its connections.
    addEventListener("pagehide", () => {
      this.#isAway = true;
      this.#assign();
    });
    addEventListener("pageshow", () => {
      this.#isAway = false;
      this.#assign();
    });
  }

  /** Takes charge of `tile` (an `element`, `isVideo`, and `setMode`). */
  add(tile) {
    this.#tiles.set(tile.element, { tile, isVisible: null, isMostlyVisible: false });
    this.#observer.observe(tile.element);
    if (!this.#live) return;
    this.#sizes.observe(tile.element);
    for (const name of ["pointerenter", "pointerleave", "focusin", "focusout"]) {
      tile.element.addEventListener(name, () => this.#settle());
    }
  }

  remove(tile) {
    this.#observer.unobserve(tile.element);
    this.#sizes.unobserve(tile.element);
    this.#tiles.delete(tile.element);
    tile.setMode("off");
    this.#assign();
  }

  /** The server answered; `isFresh` when the open streams may be dead. */
  up(isFresh) {
    this.#isUp = true;
    if (isFresh) {
      // A canvas keeps its picture until the new connection brings more; an image would show nothing new.
      if (!this.#isLive) for (const { tile } of this.#tiles.values()) tile.setMode("off");
      this.#live?.refresh();
    }
    this.#assign();
  }

  /**
   * The server did not answer. After a time-out the page opens fewer streams when the server comes back: they may be
   * what fills the link, or the connections that the browser allows.
   */
  down(hasTimedOut) {
    this.#isUp = false;
    if (hasTimedOut) this.#most = Math.max(1, Math.floor(this.#most / 2));
    this.#assign();
  }

  #onIntersection(entries) {
    let hasNew = false;
    for (const { target, isIntersecting, intersectionRatio } of entries) {
      const known = this.#tiles.get(target);
      if (!known) continue;
      hasNew ||= known.isVisible === null;
      Object.assign(known, { isVisible: isIntersecting, isMostlyVisible: intersectionRatio >= 0.5 });
    }
    if (hasNew) this.#assign();
    else this.#settle();
  }

  #settle() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#assign(), SETTLE_MS);
  }

  get #isWall() {
    return this.#live !== null && (this.#tiles.size > 1 || [...this.#tiles.values()].some(({ tile }) => tile.isVideo));
  }

  get #isLive() {
    return this.#isWall && this.#live.isUsable;
  }

  /** Whether the page paints its pictures itself, and so knows the age of each. */
  get arePainted() {
    return this.#isLive;
  }

  #assign() {
    const isStopped = document.hidden || this.#isAway;
    this.#live?.want(this.#isWall && !isStopped);
    if (this.#isLive && !isStopped) this.#assignLive();
    else this.#assignStreams(isStopped);
  }

  #assignLive() {
    this.#snapshots.serve([]);
    const shown = [...this.#tiles.values()].filter(({ isVisible }) => isVisible);
    const fps = rateFor(shown.length);
    for (const { tile, isVisible } of this.#tiles.values()) if (!isVisible) tile.setMode("paused");
    for (const { tile, isMostlyVisible } of shown) {
      const isPointedAt = tile.element.matches(":hover, :focus-within");
      const priority = isPointedAt ? POINTED_AT : isMostlyVisible ? MOSTLY_VISIBLE : PARTLY_VISIBLE;
      if (this.#isUp) tile.setMode("live", { fps, priority });
      else tile.setMode("held");
    }
  }

  #assignStreams(isStopped) {
    const slow = [];
    let free = this.#most;
    // Map order is the server's order of the cameras, also while the page shows lost ones first. All tiles that stop do
    // so before any starts, so the budget holds at each moment.
    const modes = new Map();
    for (const { tile, isVisible } of this.#tiles.values()) {
      if (isStopped || !isVisible) modes.set(tile, "off");
      else if (!this.#isUp) modes.set(tile, "held");
      else if (free > 0) modes.set(tile, (free -= 1, "stream"));
      else modes.set(tile, "snapshots");
    }
    for (const [tile, mode] of modes) if (mode !== "stream") tile.setMode(mode);
    for (const [tile, mode] of modes) {
      if (mode === "stream") tile.setMode(mode);
      if (mode === "snapshots") slow.push(tile);
    }
    this.#snapshots.serve(slow);
  }
}

/** The rate in pictures a second for `count` visible tiles. */
function rateFor(count) {
  const known = RATES.find(([most]) => count <= most);
  return known ? known[1] : Math.max(1, Math.floor(MAX_FPS_TOTAL / count));
}
