// The page of all cameras: keeps one tile for each camera that the API names.

import { poll } from "./api.js";
import { Live } from "./live.js";
import { News } from "./news.js";
import { Streams } from "./streams.js";
import { make, setText, Tile } from "./tile.js";

const grid = document.getElementById("cameras");
const summary = document.getElementById("summary");
const news = new News(document.getElementById("news"));
const live = new Live();
const streams = new Streams(live);
const tiles = new Map();
const none = make("p", "none", "This server has no camera yet.");

function keepTiles(cameras) {
  const names = new Set(cameras.map((camera) => camera.name));
  for (const [name, tile] of tiles) {
    if (names.has(name)) continue;
    streams.remove(tile);
    tile.element.remove();
    tiles.delete(name);
  }
  for (const camera of cameras) {
    if (tiles.has(camera.name)) continue;
    const tile = new Tile(camera, live);
    tiles.set(camera.name, tile);
    grid.append(tile.element);
    streams.add(tile);
  }
  grid.dataset.count = cameras.length > 9 ? "many" : cameras.length > 4 ? "some" : cameras.length;
  if (cameras.length === 0) grid.append(none);
  else none.remove();
}

function sumUp(cameras) {
  const count = (state) => cameras.filter((camera) => camera.state === state).length;
  const lost = count("lost");
  const total = cameras.length === 1 ? "1 camera" : `${cameras.length} cameras`;
  summary.dataset.state = "";
  const states = cameras.length > 1 ? [`${count("live")} live`, lost > 0 ? `${lost} lost` : ""] : [];
  setText(summary, [total, ...states].filter(Boolean).join(" · "));
}

poll("api/cameras", {
  onAnswer({ cameras, now }, isFresh) {
    const nowMs = Date.parse(now);
    keepTiles(cameras);
    sumUp(cameras);
    streams.up(isFresh);
    news.tell("Server", "answers again");
    for (const camera of cameras) {
      tiles.get(camera.name).update(camera, nowMs);
      news.tell(camera.name, camera.state);
    }
  },
  onWait(sinceMs) {
    for (const tile of tiles.values()) tile.wait(sinceMs);
  },
  onFailure(hasTimedOut) {
    streams.down(hasTimedOut);
    for (const tile of tiles.values()) tile.down();
    summary.dataset.state = "unreachable";
    setText(summary, "Server unreachable. Trying again.");
    news.tell("Server", "unreachable");
  },
});
