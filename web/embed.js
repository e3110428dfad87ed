// Only pictures, for a frame of another page: of one camera, or of all. Nothing here can be clicked, and nothing can be
// set: any site may embed it.

import { address, poll } from "./api.js";
import { Live } from "./live.js";
import { StreamScheduler } from "./streams.js";
import { make, setText } from "./tile.js";
import { Tiles } from "./tiles.js";

const CAMERAS = "cameras/";

// The path of this page below the server's root decides what it shows.
const place = location.pathname.slice(new URL(address("")).pathname.length);
const name = place.startsWith(CAMERAS) ? decodeURIComponent(place.slice(CAMERAS.length)) : null;
const live = new Live();
const streams = new StreamScheduler(live);
const grid = document.getElementById("cameras");
const tiles = new Tiles(grid, streams, live, { isBare: true });
const missing = make("p", "none");

if (name !== null) document.title = `${name} · Framecast`;

poll(name === null ? "api/cameras" : `api/cameras/${encodeURIComponent(name)}`, {
  onAnswer(answer, isFresh) {
    missing.remove();
    const cameras = name === null ? answer.cameras : [answer];
    tiles.keep(cameras);
    streams.up(isFresh);
    for (const camera of cameras) tiles.get(camera.name).update(camera, Date.parse(answer.now));
  },
  onWait(isLate) {
    for (const tile of tiles.all()) tile.wait(isLate);
  },
  onFailure(hasTimedOut) {
    streams.down(hasTimedOut);
    for (const tile of tiles.all()) tile.down();
  },
  onMissing(message) {
    tiles.keep([]);
    setText(missing, message);
    grid.replaceChildren(missing);
  },
});
