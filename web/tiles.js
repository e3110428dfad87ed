// The tiles of a page: one for each camera that the API names, in its order.

import { make, Tile } from "./tile.js";

export class Tiles {
  #grid;
  #streams;
  #live;
  #options;
  #tiles = new Map();
  #none = make("p", "none", "This server has no camera yet.");

  /**
   * `grid` holds the tiles, `streams` decides how each gets its picture, `live` is their connection; `options` are
   * `Tile`'s.
   */
  constructor(grid, streams, live, options) {
    this.#grid = grid;
    this.#streams = streams;
    this.#live = live;
    this.#options = options;
  }

  get(name) {
    return this.#tiles.get(name);
  }

  all() {
    return [...this.#tiles.values()];
  }

  /** Adds tiles for new cameras among `cameras`, and removes those of cameras that are not among them. */
  keep(cameras) {
    const names = new Set(cameras.map((camera) => camera.name));
    for (const [name, tile] of this.#tiles) {
      if (names.has(name)) continue;
      this.#streams.remove(tile);
      tile.element.remove();
      this.#tiles.delete(name);
    }
    for (const camera of cameras) {
      if (this.#tiles.has(camera.name)) continue;
      const tile = new Tile(camera, this.#live, this.#options);
      this.#tiles.set(camera.name, tile);
      this.#grid.append(tile.element);
      this.#streams.add(tile);
    }
    this.#grid.dataset.count = cameras.length > 9 ? "many" : cameras.length > 4 ? "some" : cameras.length;
    if (cameras.length === 0) this.#grid.append(this.#none);
    else this.#none.remove();
  }

  /** Moves the tiles into the order of `names`. A tile that is in its place is not touched, and keeps its focus. */
  arrange(names) {
    const focused = document.activeElement;
    let place = this.#grid.firstElementChild;
    for (const name of names) {
      const element = this.#tiles.get(name)?.element;
      if (!element) continue;
      if (element === place) place = place.nextElementSibling;
      else this.#grid.insertBefore(element, place);
    }
    if (focused !== document.activeElement && this.#grid.contains(focused)) focused.focus({ preventScroll: true });
  }
}
