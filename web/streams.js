// Decides which tiles get a stream: those in sight, while the page is visible and the server
// answers, and no more than the budget; the others in sight get single pictures in turn. Browsers
// allow six HTTP/1.1 connections per host, and one each is kept for the API and for snapshots.

import { Snapshots } from "./snapshots.js";

const MOST = 4;
// While someone scrolls fast, tiles come and go: settle first.
const SETTLE_MS = 150;

export class Streams {
  #tiles = new Map();
  #snapshots = new Snapshots();
  #most = MOST;
  #isUp = true;
  #isAway = false;
  #timer = 0;
  #observer = new IntersectionObserver((entries) => this.#onSight(entries));

  constructor() {
    document.addEventListener("visibilitychange", () => {
      this.#most = MOST;
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

  /** Takes charge of `tile` (an `element`, and `setMode`). */
  add(tile) {
    this.#tiles.set(tile.element, { tile, isInSight: false });
    this.#observer.observe(tile.element);
  }

  remove(tile) {
    this.#observer.unobserve(tile.element);
    this.#tiles.delete(tile.element);
    tile.setMode("off");
    this.#assign();
  }

  /** The server answered; `isFresh` when streams that are open now are not to be trusted. */
  up(isFresh) {
    this.#isUp = true;
    if (isFresh) for (const { tile } of this.#tiles.values()) tile.setMode("off");
    this.#assign();
  }

  /**
   * The server did not answer. After a time-out fewer streams are opened when it comes back: they
   * may be what fills the line, or the connections that the browser allows.
   */
  down(hasTimedOut) {
    this.#isUp = false;
    if (hasTimedOut) this.#most = Math.max(1, Math.floor(this.#most / 2));
    this.#assign();
  }

  #onSight(entries) {
    for (const entry of entries) {
      const known = this.#tiles.get(entry.target);
      if (known) known.isInSight = entry.isIntersecting;
    }
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#assign(), SETTLE_MS);
  }

  #assign() {
    const isStopped = document.hidden || this.#isAway;
    const slow = [];
    let free = this.#most;
    // Map order is the order of adding, which is the order on the page. All that stop do so
    // before any starts, so the budget holds at each moment.
    const modes = new Map();
    for (const { tile, isInSight } of this.#tiles.values()) {
      if (isStopped || !isInSight) modes.set(tile, "off");
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
