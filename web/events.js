// Events of the cameras and the server, sent by the server as they happen over one WebSocket. After a lost connection,
// the next one resumes where it ended. If none can be opened (a proxy does not support upgrades), `isOpen` stays false,
// and the page polls at its usual rate.

import { address } from "./api.js";
import { retryMs } from "./backoff.js";

const OPEN_LIMIT_MS = 4000;
const RETRY_FIRST_MS = 300;
const RETRY_LAST_MS = 120000;
// After a connection that ends sooner than this, the next attempt waits longer.
const PROVEN_MS = 5000;
// Someone who looks at another tab for a moment misses nothing.
const HIDDEN_MS = 30000;

function socketAddress(path, parameters) {
  const url = new URL(address(path));
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  url.search = new URLSearchParams(parameters);
  return url.href;
}

export class Events {
  #parameters;
  #handlers;
  #socket = null;
  #isOpen = false;
  #lastId = null;
  #failures = 0;
  #openedAt = 0;
  #retry = 0;
  #limit = 0;
  #hiding = 0;

  /**
   * `parameters` are those of the API. `onEvent(event)` gets each event. `onOpen()` and `onClose()` are called each
   * time: events from before the opening may never be sent. `onMissed(count)`: the server had to drop events.
   */
  constructor(parameters, { onEvent, onOpen = () => {}, onClose = () => {}, onMissed = () => {} }) {
    this.#parameters = parameters;
    this.#handlers = { onEvent, onOpen, onClose, onMissed };
    document.addEventListener("visibilitychange", () => this.#lookAtPage());
    // A page in the back-forward cache must not keep its connection.
    addEventListener("pagehide", () => this.#drop());
    addEventListener("pageshow", (event) => event.persisted && this.#lookAtPage());
    this.#lookAtPage();
  }

  /** Whether events arrive now. */
  get isOpen() {
    return this.#isOpen;
  }

  /**
   * Reopens the connection, which may be dead: the server was away or was restarted, or this computer slept. A server
   * that stores no events has forgotten them and restarts its ids. So the new connection asks only for new events, and
   * `onOpen` fetches the rest.
   */
  refresh() {
    if (document.hidden) return;
    this.#lastId = null;
    this.#failures = 0;
    this.#open();
  }

  #lookAtPage() {
    clearTimeout(this.#hiding);
    if (document.hidden) this.#hiding = setTimeout(() => this.#drop(), HIDDEN_MS);
    else if (!this.#socket) this.#open();
  }

  #open() {
    this.#drop();
    const since = this.#lastId === null ? {} : { after: this.#lastId };
    let socket;
    try {
      socket = new WebSocket(socketAddress("api/events/live", { ...this.#parameters, ...since }));
    } catch {
      this.#end();
      return;
    }
    this.#socket = socket;
    this.#limit = setTimeout(() => this.#end(), OPEN_LIMIT_MS);
    socket.onopen = () => {
      clearTimeout(this.#limit);
      this.#isOpen = true;
      this.#openedAt = performance.now();
      this.#handlers.onOpen();
    };
    socket.onmessage = ({ data }) => this.#onMessage(JSON.parse(data));
    socket.onclose = () => this.#end();
  }

  /** Ends the connection without opening another one. */
  #drop() {
    clearTimeout(this.#retry);
    clearTimeout(this.#limit);
    const socket = this.#socket;
    const wasOpen = this.#isOpen;
    this.#socket = null;
    this.#isOpen = false;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
    if (wasOpen) this.#handlers.onClose();
  }

  #end() {
    if (this.#isOpen && performance.now() - this.#openedAt > PROVEN_MS) this.#failures = 0;
    this.#drop();
    this.#failures += 1;
    if (document.hidden) return;
    this.#retry = setTimeout(() => this.#open(), retryMs(this.#failures, RETRY_FIRST_MS, RETRY_LAST_MS));
  }

  #onMessage(message) {
    if (message.missed !== undefined) {
      this.#handlers.onMissed(message.missed);
      return;
    }
    if (Number.isInteger(message.id)) this.#lastId = message.id;
    this.#handlers.onEvent(message);
  }
}
