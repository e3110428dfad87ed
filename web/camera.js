// The page of one camera: its picture, the buttons beneath it, its last day, its controls, its addresses and its
// figures. Events report its state at once; polls fetch the figures, because only the server knows how old a stream's
// picture is.

import { address, poll } from "./api.js";
import { Controls } from "./controls.js";
import { Events } from "./events.js";
import { Marker } from "./mark.js";
import { Announcer } from "./announcer.js";
import { Stage } from "./stage.js";
import { CameraStates } from "./states.js";
import { StreamScheduler } from "./streams.js";
import { make, setState, setText, waiting } from "./tile.js";
import { Timeline } from "./timeline.js";
import { age, rate, formatSpan, shownState, stateLabel, reasonText, watched } from "./format.js";
import { setTitle } from "./title.js";

const at = (id) => document.getElementById(id);
const name = decodeURIComponent(location.pathname.replace(/\/+$/, "").split("/").pop());
const path = `cameras/${encodeURIComponent(name)}`;
const announcer = new Announcer(at("news"));
const streams = new StreamScheduler();
const stage = new Stage(at("stage"), name, path);
const veil = make("p", "veil");
const controls = new Controls(at("controls"), `api/${path}/controls`);
const states = new CameraStates();
const day = new Timeline(at("day"), name);

// The camera's data in the last answer, and the server's clock then.
let last = null;
let lastMs = 0;
// Why the server refuses this page the pictures.
let refusal = "";

stage.onRefused = (message) => {
  refusal = message ? `${message} · trying again` : "";
  setReason(refusal);
  if (refusal) setText(at("figures"), "");
  announcer.report("Picture", message || "visible again");
};
announcer.report("Picture", "visible again");
at("name").textContent = name;
setTitle(`${name} · Framecast`, "");
veil.hidden = true;
stage.element.append(veil, waiting());
streams.add(stage);

/** Copies `text` to the clipboard; browsers allow the modern method only over HTTPS and on localhost. */
async function copy(input) {
  try {
    await navigator.clipboard.writeText(input.value);
    return true;
  } catch {
    input.select();
    return document.execCommand("copy");
  }
}

function addressRow(label, value) {
  const input = make("input", "");
  const id = `address-${label.toLowerCase()}`;
  Object.assign(input, { id, type: "text", readOnly: true, value, spellcheck: false });
  input.onfocus = () => input.select();
  const verb = make("span", "", "Copy");
  const button = make("button", "button small", verb, make("span", "visually-hidden", ` ${label}`));
  button.type = "button";
  button.onclick = async () => {
    const [short, long] = (await copy(input)) ? ["Copied", `${label} copied`] : ["Press Ctrl+C", "Press Ctrl+C to copy"];
    setText(verb, short);
    // Screen readers do not announce a button whose text changes, nor a status that stays the same.
    announcer.announce(long);
    setTimeout(() => setText(verb, "Copy"), 2000);
  };
  const caption = make("label", "", label);
  caption.htmlFor = id;
  return make("div", "address", caption, make("div", "row", input, button));
}

// Players and programs read coded video from here; other cameras have none.
const videoAddress = addressRow("Video", address(`${path}/stream.mp4`));
videoAddress.hidden = true;

function showAddresses() {
  const stream = address(`${path}/stream.mjpg`);
  const alt = name.replaceAll("&", "&amp;").replaceAll('"', "&quot;").replaceAll("<", "&lt;");
  at("addresses").append(
    addressRow("Stream", stream),
    videoAddress,
    addressRow("Snapshot", address(`${path}/snapshot.jpg`)),
    addressRow("HTML", `<img src="${stream}" alt="${alt}">`),
    addressRow("Embed", `<iframe src="${address(path)}?embed" title="${alt}" width="640" height="360"></iframe>`),
  );
}

function prepareSnapshot() {
  const link = at("snapshot");
  link.href = address(`${path}/snapshot.jpg`);
  link.onclick = () => {
    const stamp = new Date().toISOString().slice(0, 19).replaceAll(":", "-");
    link.download = `${name}-${stamp}.jpg`;
  };
}

/** Full screen; if the browser has none for a picture (iPhone), the picture fills the window instead. */
function prepareFullScreen() {
  const button = at("fullscreen");
  const { element } = stage;
  const request = element.requestFullscreen ?? element.webkitRequestFullscreen;
  const shrink = () => element.classList.remove("filling");
  button.onclick = () => {
    if (request) request.call(element);
    else element.classList.add("filling");
  };
  element.addEventListener("click", shrink);
  addEventListener("keydown", (event) => event.key === "Escape" && shrink());
}

const details = new Map();

/** Shows `value` in the list of details; an empty value removes its line. */
function detail(label, value) {
  let row = details.get(label);
  if (!row) {
    row = make("div", "", make("dt", "", label), make("dd", ""));
    details.set(label, row);
    at("details").append(row);
  }
  row.hidden = !value;
  setText(row.lastChild, value ?? "");
}

/** A device's format, size and rate: "mjpeg 1280 × 720 at 30 fps"; empty if none is known. */
function mode(of) {
  if (!of) return "";
  const size = of.width ? `${of.width} × ${of.height}` : "";
  return [of.format, size, of.fps ? `at ${rate(of.fps)}` : ""].filter(Boolean).join(" ");
}

function showDetails(camera, nowMs) {
  const since = formatSpan(Math.max(1000, nowMs - Date.parse(camera.since)));
  const state = shownState(camera);
  detail("State", state === "unchecked" ? stateLabel(state) : `${stateLabel(state)} for ${since}`);
  const isOpen = camera.state === "live" || camera.checked === null;
  detail("Last checked", isOpen ? "" : `${formatSpan(Math.max(0, nowMs - Date.parse(camera.checked)))} ago`);
  detail("Source", camera.driver);
  detail("Device", camera.capture?.device);
  detail("Delivered mode", mode(camera.capture?.given));
  detail("Requested mode", mode(camera.capture?.asked));
  detail("Size", camera.width ? `${camera.width} × ${camera.height}` : "");
  detail("Rate", rate(camera.fps));
  detail("Shown as", stage.manner);
  detail("Skipped frames", stage.dropped > 0 ? stage.dropped.toLocaleString("en") : "");
  detail("Viewers", String(camera.viewers));
  detail("Pictures", camera.frames.toLocaleString("en"));
  detail("Encoded pictures", camera.encoded > 0 ? camera.encoded.toLocaleString("en") : "");
  detail("Dropped by the device", camera.lost > 0 ? camera.lost.toLocaleString("en") : "");
  detail("Repaired pictures", camera.repaired > 0 ? camera.repaired.toLocaleString("en") : "");
  detail("Broken pictures", camera.broken > 0 ? camera.broken.toLocaleString("en") : "");
  detail("Last broken picture", camera.last_broken);
}

/** Shows the camera's data; `nowMs` is the server's clock. */
function show(camera, nowMs) {
  last = camera;
  lastMs = nowMs;
  setState(at("state"), shownState(camera));
  setTitle(`${name} · Framecast`, camera.state === "lost" ? "lost" : "");
  showFigures(0);
  setReason(reasonText(camera, nowMs) || refusal);
  videoAddress.hidden = !camera.video;
  showDetails(camera, nowMs);
  controls.look(camera.state);
  announcer.report(name, camera.state);
}

function setReason(text) {
  at("reason").hidden = text === "";
  setText(at("reason"), text);
}

/** Rate and age of the picture, `agoMs` after the server's last answer. */
function showFigures(agoMs) {
  const isShown = last?.state === "live" && !refusal;
  const reportedMs = last?.age_ms ?? null;
  const ageMs = stage.ageMs(lastMs + agoMs) ?? (reportedMs === null ? null : reportedMs + agoMs);
  const figures = isShown ? [rate(last.fps), age(ageMs)] : [];
  setText(at("figures"), figures.filter(Boolean).join(" · "));
}

showAddresses();
prepareSnapshot();
prepareFullScreen();
at("history").href = `${address("history")}?${new URLSearchParams({ camera: name })}`;
const marker = new Marker({ button: at("mark"), announcer, camera: name });

const polling = poll(`api/${path}`, {
  onAnswer(said, isFresh, askedAt) {
    const answer = watched(said);
    const nowMs = Date.parse(answer.now);
    states.applyAnswer([answer], nowMs, askedAt);
    veil.hidden = true;
    marker.setOffered(answer.server.marks);
    at("actions").hidden = at("side").hidden = at("state").hidden = false;
    if (isFresh) events.refresh();
    streams.up(isFresh);
    stage.update(answer, isFresh);
    if (answer.width) stage.element.style.setProperty("--shape", `${answer.width} / ${answer.height}`);
    announcer.report("Server", "answers again");
    show(states.all[0], nowMs);
    day.tick(nowMs, events.isOpen);
  },
  onWait: (isLate, sinceMs) => showFigures(sinceMs),
  onFailure(hasTimedOut) {
    streams.down(hasTimedOut);
    setState(at("state"), "unreachable");
    setText(at("figures"), "");
    setReason("");
    setText(veil, "Server unreachable. Trying again.");
    veil.hidden = false;
    announcer.report("Server", "unreachable");
  },
  onMissing(message) {
    streams.down(false);
    stage.stop();
    last = null;
    at("actions").hidden = at("side").hidden = at("state").hidden = true;
    setText(at("figures"), "");
    setReason("");
    setText(veil, message);
    veil.hidden = false;
  },
});

// Events of all cameras, because they include the server's own events.
const events = new Events({ kind: "started,stopped,opened,live,lost,stalled,closed,removed,mark" }, {
  onEvent(event) {
    day.addEvent(event);
    const camera = states.applyEvent(event, performance.now());
    if (camera) show(camera, Date.parse(event.at));
    // The next answer contains what else has changed with the state.
    if (event.camera === name || event.kind === "started") polling.hurry();
  },
  onOpen() {
    polling.hurry();
    day.load();
  },
  onClose: () => polling.hurry(),
  onMissed: () => day.load(),
});
