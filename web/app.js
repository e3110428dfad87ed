// The page of all cameras: keeps one tile for each camera that the API names. Events report state changes at once;
// polls fetch the figures.

import { poll } from "./api.js";
import { Events } from "./events.js";
import { Live } from "./live.js";
import { Marker } from "./mark.js";
import { Announcer } from "./announcer.js";
import { CameraStates } from "./states.js";
import { shownState, watched } from "./format.js";
import { LostFirst } from "./lost_first.js";
import { StreamScheduler } from "./streams.js";
import { make, setText } from "./tile.js";
import { Tiles } from "./tiles.js";
import { setTitle } from "./title.js";

const OFTEN_MS = 1000;
// The poll interval while events report the states, and the page itself measures the age of its pictures.
const SELDOM_MS = 5000;

const summary = document.getElementById("summary");
const announcer = new Announcer(document.getElementById("news"));
const live = new Live();
const streams = new StreamScheduler(live);
const states = new CameraStates();
const tiles = new Tiles(document.getElementById("cameras"), streams, live);
const lostFirst = new LostFirst(document.getElementById("lost-first"), arrange);

/** Says in the bar how many cameras there are, and of several how many are in which state. Lost ones stand out. */
function sumUp(cameras) {
  const count = (state) => cameras.filter((camera) => shownState(camera) === state).length;
  const [lost, unchecked] = [count("lost"), count("unchecked")];
  const warning = lost > 0 ? `${lost} lost` : "";
  const total = cameras.length === 1 ? "1 camera" : `${cameras.length} cameras`;
  const states = [`${count("live")} live`, warning && make("strong", "", warning), unchecked > 0 && `${unchecked} not checked`];
  const parts = [total, ...(cameras.length > 1 ? states : [])].filter(Boolean);
  const line = make("p", "", ...parts.flatMap((part) => [" · ", part]).slice(1));
  summary.dataset.state = "";
  if (summary.textContent !== line.textContent) summary.replaceChildren(...line.childNodes);
  setTitle("Framecast", warning);
}

/** Shows the tiles in the order that the person has chosen. */
function arrange() {
  tiles.arrange(lostFirst.order(states.all).map((camera) => camera.name));
}

/** Shows `camera` as `present` does, and announces its state to screen readers. */
function show(camera, present) {
  const tile = tiles.get(camera.name);
  present(tile);
  announcer.report(camera.name, camera.state);
}

/** When a picture stands still, the page polls more often what the server knows of it. */
function pace() {
  const isStale = tiles.all().some((tile) => tile.isStale);
  polling.every(events.isOpen && streams.arePainted && !isStale ? SELDOM_MS : OFTEN_MS);
}

const polling = poll("api/cameras", {
  onAnswer({ server, cameras: all, now }, isFresh, askedAt) {
    const nowMs = Date.parse(now);
    const cameras = all.map(watched);
    states.applyAnswer(cameras, nowMs, askedAt);
    marker.setOffered(server.marks);
    tiles.keep(cameras);
    lostFirst.setOffered(cameras.length > 1);
    arrange();
    sumUp(states.all);
    if (isFresh) events.refresh();
    streams.up(isFresh);
    announcer.report("Server", "answers again");
    for (const camera of states.all) show(camera, (tile) => tile.update(camera, nowMs));
    pace();
  },
  onWait(isLate) {
    for (const tile of tiles.all()) tile.wait(isLate);
    pace();
  },
  onFailure(hasTimedOut) {
    streams.down(hasTimedOut);
    for (const tile of tiles.all()) tile.down();
    summary.dataset.state = "unreachable";
    setText(summary, "Server unreachable. Trying again.");
    announcer.report("Server", "unreachable");
  },
});

const events = new Events({ kind: "started,opened,live,lost,stalled,closed,removed" }, {
  onEvent(event) {
    const camera = states.applyEvent(event, performance.now());
    // The next answer contains what else has changed with the state.
    polling.hurry();
    if (!camera) return;
    sumUp(states.all);
    arrange();
    show(camera, (tile) => tile.setCamera(camera, Date.parse(event.at)));
  },
  onOpen: () => polling.hurry(),
  onClose() {
    pace();
    polling.hurry();
  },
  onMissed: () => polling.hurry(),
});

const marker = new Marker({ button: document.getElementById("mark"), announcer });
