// Shows snapshots in tiles that get no stream of their own: one request in flight for the whole page, each tile in
// turn. Tells each tile how often it really gets a picture.

const TIMEOUT_MS = 5000;
const PAUSE_MS = 250;
// The server answers for a lost camera with an error, which browsers log each time.
const LOST_PAUSE_MS = 5000;

export class SnapshotLoader {
  #turns = [];
  // When the server last answered that a tile's camera is lost.
  #lostAt = new WeakMap();
  #isRunning = false;
  #abort = null;

  /** The tiles to serve, in any order; an empty list stops at once. */
  serve(tiles) {
    const kept = this.#turns.filter((tile) => tiles.includes(tile));
    const added = tiles.filter((tile) => !kept.includes(tile));
    for (const tile of added) this.#lostAt.delete(tile);
    this.#turns = [...added, ...kept];
    if (this.#turns.length === 0) this.#abort?.abort();
    else if (!this.#isRunning) this.#run();
  }

  async #run() {
    this.#isRunning = true;
    while (this.#turns.length > 0) {
      const tile = this.#turns.shift();
      this.#turns.push(tile);
      const lostAt = this.#lostAt.get(tile);
      const isDue = lostAt === undefined || performance.now() - lostAt >= LOST_PAUSE_MS;
      if (isDue) await this.#fetchOne(tile);
      await new Promise((done) => setTimeout(done, PAUSE_MS));
    }
    this.#isRunning = false;
  }

  async #fetchOne(tile) {
    const abort = new AbortController();
    this.#abort = abort;
    const limit = setTimeout(() => abort.abort(), TIMEOUT_MS);
    try {
      const response = await fetch(tile.snapshotUrl, { cache: "no-store", signal: abort.signal });
      if (response.ok) this.#lostAt.delete(tile);
      else this.#lostAt.set(tile, performance.now());
      // The answer for a lost camera is an error, whose body is the slate.
      const isPicture = response.headers.get("Content-Type")?.startsWith("image/");
      if (!isPicture) throw new Error(`the server answered ${response.status}`);
      const seconds = Number(response.headers.get("X-Timestamp"));
      const blob = await response.blob();
      if (this.#turns.includes(tile)) tile.showSnapshot(blob, seconds > 0 ? seconds * 1000 : null);
    } catch {
      // The tile keeps its picture, whose displayed age grows.
    } finally {
      clearTimeout(limit);
      this.#abort = null;
    }
  }
}
