// The ways to show coded video, best first: by WebCodecs (`decoder_player.js`), and by Media Source Extensions
// (`video_player.js`). If one fails, the next is tried, and `canvas.means` says why no better one is used. After the
// last one, the canvas asks for pictures. `canvas.js` loads this file for the first coded video.

import { DecoderPlayer, LACKING } from "./decoder_player.js";
import { HAS_SOURCE, VideoPlayer } from "./video_player.js";

// The codecs, as the server announces them, that WebCodecs lacks in this browser, with the reason in words.
const lacking = new Map();

export class VideoLadder {
  #canvas;
  #holder;
  #player = null;
  #label = "";
  // Why WebCodecs is not used, and until when; by `performance.now()`.
  #reason = LACKING;
  #againAt = LACKING === "" ? 0 : Infinity;

  /** `canvas` learns of each frame that is shown; `holder` is the element for the video. */
  constructor(canvas, holder) {
    this.#canvas = canvas;
    this.#holder = holder;
  }

  set label(text) {
    this.#label = text;
    if (this.#player) this.#player.label = text;
  }

  /** The server announces video, or video of another format. */
  begin(announcement) {
    const reason = this.#reasonAgainst(announcement);
    if (reason === "") this.#use(DecoderPlayer);
    else if (HAS_SOURCE) this.#use(VideoPlayer);
    else {
      this.#canvas.showPictures(reason, this.#againAt - performance.now());
      return;
    }
    this.#canvas.means = reason === "" ? "by WebCodecs" : `by Media Source Extensions: ${reason}`;
    this.#player.begin(announcement);
  }

  /** An init segment or a fragment: `{ bytes, place, takenAtMs, isInit, isKeyframe }`. */
  take(piece) {
    this.#player?.take(piece);
  }

  /** No video comes for a while. */
  rest() {
    if (this.#player instanceof DecoderPlayer) this.#player.rest();
  }

  /** Removes the video from the page. */
  close() {
    this.#player?.close();
    this.#player = null;
  }

  /** Why WebCodecs is not used for this video; empty if it is. */
  #reasonAgainst({ content_type: type }) {
    if (performance.now() < this.#againAt) return this.#reason;
    if (lacking.has(type)) return lacking.get(type);
    return this.#player instanceof DecoderPlayer || DecoderPlayer.isFree ? "" : DecoderPlayer.FULL;
  }

  #use(Player) {
    if (this.#player instanceof Player) return;
    this.close();
    const onFailure = (failure) => this.#descend(failure);
    this.#player = new Player(this.#canvas, this.#holder, onFailure);
    this.#player.label = this.#label;
  }

  /** WebCodecs has failed: the server begins again with the newest keyframe, for the next way. */
  #descend({ reason, forMs, lacks, isSlow }) {
    if (isSlow) {
      // Another decoder would not be faster.
      this.#player.rest();
      this.#canvas.showPictures(reason, forMs);
      return;
    }
    if (lacks) lacking.set(lacks, reason);
    this.#reason = reason;
    this.#againAt = performance.now() + forMs;
    this.#canvas.onRestart();
  }
}
