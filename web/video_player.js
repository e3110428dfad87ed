// Coded video in a `<video>`, through Media Source Extensions: appends each piece as it comes, and stays close to the
// newest one. All frames lie on one timeline without gaps, also where the server skipped some or began anew. If the
// browser no longer shows the video, the player begins again; if that does not help, the canvas asks for pictures
// instead. `canvas.js` knows when each frame that is shown was taken.

import { readFragment } from "./fragment.js";

const Source = self.ManagedMediaSource ?? self.MediaSource;
/** Whether this browser can play video in this way, and tell which frame it shows. */
export const HAS_SOURCE = Source !== undefined && "requestVideoFrameCallback" in HTMLVideoElement.prototype;

// WebKit, which alone has a managed source, stutters when the rate changes.
const ONLY_SEEKS = self.ManagedMediaSource !== undefined;
// The end of the video is so far ahead of the visible frame, because frames do not come evenly. If frames come before
// others that are shown first, it is ahead by as much more.
const LEAD_S = 0.1;
// With so much more the video runs faster, and with so much more than LEAD_S it jumps.
const SLACK_S = 0.06;
const LATE_S = 0.4;
const FAST = 1.1;
const KEPT_S = 5;
// The first frame is shown at this time of the element: frames may have to be decoded earlier than shown.
const START_S = 1;
// At first comes all video since the last keyframe. Appended at once, only its end is shown.
const GATHER_MS = 30;
const MAX_QUEUE_BYTES = 32 << 20;
// If video comes and none is shown for this long, something is wrong. If what is shown is so late for so long, this
// machine is too slow; one player at a time gives up, because that may be enough for the others.
const PATIENCE_MS = 2000;
const TOO_LATE_S = 1.5;
const TOO_LATE_MS = 4000;
const TURN_MS = 2000;
// After such a pause, the video has only just begun to come.
const PAUSE_MS = 1000;
// If the player has to begin again twice within this time, it gives up.
const TRIAL_MS = 10000;
// Pictures come for so long before the next attempt: after a failure, without the codec, and on a slow machine.
const VIDEO_AGAIN_MS = 60000;
const CODEC_AGAIN_MS = 600000;
const SLOW_AGAIN_MS = 300000;
// A frame lasts as long as the longest of those before it, which the player forgets by and by. The server does not know
// how long, and says more, which would let the browser run ahead of the video.
const USUAL_S = 1 / 25;
const MAX_LASTS_S = 2;
const FORGETTING = 0.9;
// Rounding of times on their way through the browser.
const TOLERANCE_S = 0.002;

let gaveUpAt = -Infinity;

export class VideoPlayer {
  #canvas;
  #video = document.createElement("video");
  #source = null;
  #buffer = null;
  #codec = "";
  #type = "";
  // What is to be appended: `{ type }`, `{ bytes }` of an init segment, or `{ bytes, offset, time }` of a frame.
  #queue = [];
  #queuedBytes = 0;
  // A frame, and those that come after it and are shown before it: until all are here, Firefox would stop.
  #group = [];
  #missing = 0;
  #isHeld = false;
  // Frames that are not shown yet. Times are those of the element, in seconds.
  #frames = [];
  #keyframes = [];
  // When the last frame is to be decoded, how long it lasts, where the video ends, and what is added to the stream's own
  // times.
  #last = 0;
  #lasts = USUAL_S;
  #hasPaused = false;
  #end = START_S;
  #offset = 0;
  // By how much frames come before those that are shown first.
  #reordering = 0;
  // Whether the next frame is the first after an init segment, and whether frames are skipped up to a keyframe.
  #isNew = true;
  #needsKeyframe = true;
  // How long the last jump took, for each second of video that had to be decoded.
  #jumpCost = 0;
  // By `performance.now()`.
  #cameAt = -Infinity;
  #owedAt = 0;
  #lateSince = null;
  #failedAt = -Infinity;
  #decoded = 0;
  #hasShown = false;
  // Whether the browser does not start videos that nobody has clicked.
  #isRefused = false;

  /** `canvas` learns of each frame that is shown; `holder` is the element for the video. */
  constructor(canvas, holder) {
    this.#canvas = canvas;
    // A managed source opens only without remote playback.
    Object.assign(this.#video, { muted: true, autoplay: true, playsInline: true, disableRemotePlayback: true });
    Object.assign(this.#video, { disablePictureInPicture: true, tabIndex: -1 });
    this.#video.onerror = () => this.#fail(this.#video.error?.message);
    holder.append(this.#video);
    this.#awaitFrame();
  }

  set label(text) {
    this.#video.setAttribute("aria-label", text);
  }

  /** The server announces video, or video of another format. */
  begin({ content_type: type, codec }) {
    this.#codec = codec;
    this.#reordering = 0;
    if (!Source.isTypeSupported(type)) {
      this.#giveUp(`${codec} cannot be played by this browser`, CODEC_AGAIN_MS);
      return;
    }
    this.#needsKeyframe = true;
    if (type === this.#type) return;
    const isFirst = this.#type === "";
    this.#type = type;
    if (isFirst) this.#open();
    else {
      this.#enqueueGroup();
      this.#enqueue({ type });
    }
  }

  /** An init segment or a fragment: `{ bytes, place, takenAtMs, isInit, isKeyframe }`. */
  take({ bytes, place, takenAtMs, isInit, isKeyframe }) {
    if (this.#type === "") return;
    if (isInit) {
      this.#isNew = this.#needsKeyframe = true;
      this.#enqueueGroup();
      this.#enqueue({ bytes });
      return;
    }
    if (this.#needsKeyframe && !isKeyframe) return;
    const fragment = readFragment(bytes);
    if (fragment === null) return;
    this.#needsKeyframe = false;
    if (isKeyframe) this.#enqueueGroup();
    if (isKeyframe && (this.#isHeld || this.#queuedBytes > MAX_QUEUE_BYTES)) this.#dropQueue();
    const time = this.#place(fragment, isKeyframe);
    this.#frames.push({ time, place, takenAtMs });
    if (isKeyframe) this.#keyframes.push(time);
    this.#group.push({ bytes, offset: this.#offset, time });
    if (this.#missing < this.#lasts / 2) this.#enqueueGroup();
    this.#watch();
  }

  /** Removes the video from the page. */
  close() {
    this.#video.onerror = null;
    this.#source = this.#buffer = null;
    this.#type = "";
    this.#queue = [];
    this.#video.removeAttribute("src");
    this.#video.load();
    this.#video.remove();
  }

  #open() {
    const source = new Source();
    this.#source = source;
    this.#buffer = null;
    this.#queue = [];
    this.#group = [];
    this.#queuedBytes = 0;
    this.#frames = [];
    this.#keyframes = [];
    this.#end = START_S;
    this.#decoded = 0;
    this.#isNew = this.#needsKeyframe = true;
    this.#isHeld = source.streaming === false;
    source.onstartstreaming = () => {
      this.#isHeld = false;
      this.#append();
    };
    source.onendstreaming = () => (this.#isHeld = true);
    const url = URL.createObjectURL(source);
    source.onsourceopen = () => {
      URL.revokeObjectURL(url);
      if (source === this.#source) this.#addBuffer();
    };
    this.#video.src = url;
  }

  #addBuffer() {
    const buffer = this.#source.addSourceBuffer(this.#type);
    buffer.mode = "segments";
    buffer.onupdateend = () => {
      if (buffer !== this.#buffer) return;
      this.#follow();
      this.#append();
    };
    setTimeout(() => {
      if (this.#source?.sourceBuffers[0] !== buffer) return;
      this.#buffer = buffer;
      this.#append();
    }, GATHER_MS);
  }

  /**
   * Puts a frame onto the timeline: behind the others, unless its own time does that. Browsers drop what comes later
   * than two frames after the last one, up to the next keyframe. Returns when it is shown.
   */
  #place({ decodedAt, shownAt, setDuration }, isKeyframe) {
    const later = decodedAt + this.#offset - this.#last;
    const isNext = !this.#isNew && later > 0 && later <= 2 * this.#lasts;
    if (!isNext && isKeyframe) this.#offset = this.#end - shownAt;
    else if (!isNext) this.#offset = this.#last + this.#lasts - decodedAt;
    this.#learn(this.#isNew ? 0 : later, isNext);
    this.#isNew = false;
    this.#last = decodedAt + this.#offset;
    const lasts = this.#lasts;
    setDuration(lasts);
    this.#reordering = Math.max(this.#reordering, shownAt - decodedAt);
    const time = shownAt + this.#offset;
    if (time < this.#end - TOLERANCE_S) this.#missing -= lasts;
    else {
      // Frames that are still missing do not come any more.
      if (this.#missing > TOLERANCE_S) this.#enqueueGroup();
      this.#missing = shownAt > decodedAt ? time - this.#end : 0;
    }
    this.#end = Math.max(this.#end, time + lasts);
    return time;
  }

  /** A frame has come so much later than the last one. After a single pause, frames come as before. */
  #learn(later, isNext) {
    const isUsual = isNext || this.#hasPaused;
    this.#hasPaused = !isNext;
    if (isUsual && later > 0 && later < MAX_LASTS_S) this.#lasts = Math.max(later, FORGETTING * this.#lasts);
  }

  #enqueueGroup() {
    this.#enqueue(...this.#group.splice(0));
  }

  #enqueue(...pieces) {
    this.#queue.push(...pieces);
    this.#queuedBytes += pieces.reduce((sum, { bytes }) => sum + (bytes?.length ?? 0), 0);
    this.#append();
  }

  /** Forgets the frames that are not appended yet. */
  #dropQueue() {
    const first = this.#queue.find(({ time }) => time !== undefined);
    if (!first) return;
    const isKept = (time) => time < first.time - TOLERANCE_S;
    this.#end = first.time;
    this.#isNew = true;
    this.#frames = this.#frames.filter(({ time }) => isKept(time));
    this.#keyframes = this.#keyframes.filter(isKept);
    this.#queue = this.#queue.filter(({ time }) => time === undefined);
    this.#queuedBytes = 0;
  }

  /** Appends what has come, as much at once as has the same offset. */
  #append() {
    const buffer = this.#buffer;
    if (!buffer || buffer.updating || this.#isHeld || this.#queue.length === 0) return;
    try {
      while (this.#queue[0]?.type !== undefined) buffer.changeType(this.#queue.shift().type);
      const count = this.#countOfOneOffset();
      if (count === 0) return;
      const pieces = this.#queue.slice(0, count);
      const offset = pieces.find((piece) => piece.offset !== undefined)?.offset;
      if (offset !== undefined) buffer.timestampOffset = offset;
      buffer.appendBuffer(joined(pieces));
      this.#queue.splice(0, count);
      this.#queuedBytes -= pieces.reduce((sum, { bytes }) => sum + bytes.length, 0);
    } catch (error) {
      if (error.name !== "QuotaExceededError" || !this.#remove(this.#video.currentTime)) this.#fail(error.message);
    }
  }

  #countOfOneOffset() {
    let offset;
    const end = this.#queue.findIndex((piece) => {
      if (piece.type !== undefined) return true;
      offset ??= piece.offset;
      return piece.offset !== undefined && piece.offset !== offset;
    });
    return end < 0 ? this.#queue.length : end;
  }

  /** Keeps the visible frame close to the end of the video. */
  #follow() {
    const video = this.#video;
    const { buffered, currentTime } = video;
    if (buffered.length === 0) return;
    if (video.paused) video.play().catch(({ name }) => (this.#isRefused = name === "NotAllowedError"));
    const [start, end] = [buffered.start(buffered.length - 1), buffered.end(buffered.length - 1)];
    const lead = LEAD_S + this.#reordering;
    const surplus = end - currentTime - lead;
    if (!video.seeking && (currentTime < start || this.#isWorthAJump(surplus))) {
      this.#jump(Math.max(start, end - lead));
    }
    if (!ONLY_SEEKS) {
      if (surplus > SLACK_S) video.playbackRate = FAST;
      else if (surplus <= TOLERANCE_S) video.playbackRate = 1;
    }
    if (currentTime > KEPT_S) this.#remove(currentTime - KEPT_S);
  }

  /** A jump decodes all from the last keyframe on: it must take much less time than it gains. */
  #isWorthAJump(surplus) {
    const costS = this.#jumpCost * (this.#end - (this.#keyframes.at(-1) ?? 0));
    return surplus > LATE_S && surplus > 2 * costS;
  }

  #jump(time) {
    const keyframe = this.#keyframes.findLast((begin) => begin <= time) ?? time;
    const startedAt = performance.now();
    this.#video.onseeked = () => {
      this.#jumpCost = (performance.now() - startedAt) / 1000 / Math.max(1, time - keyframe);
    };
    this.#video.currentTime = time;
  }

  /** Removes the video up to the last keyframe at or before `time`; returns whether there is any to remove. */
  #remove(time) {
    const { buffered } = this.#video;
    // A browser that removes up to another place removes all up to the keyframe behind it.
    const keyframe = this.#keyframes.findLast((begin) => begin <= time);
    if (keyframe === undefined || buffered.length === 0 || keyframe <= buffered.start(0) + TOLERANCE_S) return false;
    if (this.#buffer.updating) return false;
    this.#buffer.remove(0, keyframe);
    this.#keyframes = this.#keyframes.filter((begin) => begin >= keyframe);
    return true;
  }

  #awaitFrame() {
    this.#video.requestVideoFrameCallback((now, { mediaTime }) => {
      if (this.#type === "") return;
      this.#awaitFrame();
      this.#showFrame(mediaTime + TOLERANCE_S);
    });
  }

  #showFrame(time) {
    const passed = this.#frames.filter((frame) => frame.time <= time);
    if (passed.length === 0) return;
    const shown = passed.reduce((best, frame) => (frame.time > best.time ? frame : best));
    this.#frames = this.#frames.filter((frame) => frame.time > shown.time);
    const now = performance.now();
    this.#owedAt = now;
    this.#hasShown = true;
    if (this.#end - shown.time < TOO_LATE_S + this.#reordering) this.#lateSince = null;
    else this.#lateSince ??= now;
    this.#video.className = "seen";
    this.#canvas.showFrame(shown, this.#codec);
  }

  /** A frame has come: looks whether frames are shown too. */
  #watch() {
    const now = performance.now();
    if (now - this.#cameAt > PAUSE_MS || document.hidden || this.#isHeld) {
      this.#owedAt = now;
      this.#lateSince = null;
    }
    this.#cameAt = now;
    if (now - (this.#lateSince ?? now) > TOO_LATE_MS && now - gaveUpAt > TURN_MS) {
      gaveUpAt = now;
      this.#giveUp(`this machine is too slow for all the ${this.#codec} video`, SLOW_AGAIN_MS);
      return;
    }
    if (now - this.#owedAt < PATIENCE_MS) return;
    // A browser whose window is behind others decodes, and shows nothing.
    const { totalVideoFrames } = this.#video.getVideoPlaybackQuality();
    if (totalVideoFrames === this.#decoded) this.#fail(`nothing for ${PATIENCE_MS / 1000} s`);
    this.#decoded = totalVideoFrames;
    this.#owedAt = now;
  }

  /** Asks for pictures instead, for so long. */
  #giveUp(reason, forMs) {
    this.#type = "";
    this.#canvas.showPictures(reason, forMs);
  }

  /** Begins again, or gives up if that has not helped. */
  #fail(why) {
    if (this.#type === "") return;
    const now = performance.now();
    console.warn(`The ${this.#codec} video has stopped: ${why}.`);
    if (this.#isRefused || !this.#hasShown || now - this.#failedAt < TRIAL_MS) {
      const verb = this.#isRefused ? "start" : "show";
      this.#giveUp(`this browser does not ${verb} the ${this.#codec} video`, VIDEO_AGAIN_MS);
      return;
    }
    this.#failedAt = this.#owedAt = now;
    this.#hasShown = false;
    this.#open();
    this.#canvas.onRestart();
  }
}

/** The bytes of all `pieces`, one after the other. */
function joined(pieces) {
  if (pieces.length === 1) return pieces[0].bytes;
  const all = new Uint8Array(pieces.reduce((sum, { bytes }) => sum + bytes.length, 0));
  let at = 0;
  for (const { bytes } of pieces) {
    all.set(bytes, at);
    at += bytes.length;
  }
  return all;
}
