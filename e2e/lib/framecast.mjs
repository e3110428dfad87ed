// Starts the real program on a free port and queries its API. Its log is kept for the message of a failing check.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { sleep, until } from "./wait.mjs";

export const BINARY =
  process.env.FRAMECAST_BIN ?? fileURLToPath(new URL("../../target/release/framecast", import.meta.url));

// Below the ports that the kernel assigns, and separate for each lane: no program takes one between choice and use.
const LANE_PORTS = 10000;
const FIRST_PORT = 10000 + LANE_PORTS * Number(process.env.FRAMECAST_LANE ?? 0);
// The only port of these that `fetch` and browsers refuse: https://fetch.spec.whatwg.org/#port-blocking
const BLOCKED_PORT = 10080;
// A check may look for what the log must not contain.
const LOG_CHARACTERS = 1 << 20;
let nextPort = Math.floor(Math.random() * LANE_PORTS);

/** A port of 127.0.0.1 on which no program listens. */
export async function freePort() {
  for (;;) {
    const port = FIRST_PORT + (nextPort++ % LANE_PORTS);
    if (port === BLOCKED_PORT) continue;
    const server = net.createServer().listen(port, "127.0.0.1");
    const isFree = await once(server, "listening").then(() => true, () => false);
    if (!isFree) continue;
    server.close();
    await once(server, "close");
    return port;
  }
}

// The state folders of servers, by port: a server that is restarted on its port finds its saved state.
const states = new Map();
const folders = [];
process.once("exit", () => folders.forEach((folder) => rmSync(folder, { recursive: true, force: true })));

function stateOf(port) {
  if (!states.has(port)) {
    states.set(port, mkdtempSync(path.join(tmpdir(), "framecast-state-")));
    folders.push(states.get(port));
  }
  return states.get(port);
}

/** Where the examples are: those of the tests' build, which `cargo test` makes. */
export const EXAMPLES =
  process.env.FRAMECAST_EXAMPLES ?? fileURLToPath(new URL("../../target/debug/examples", import.meta.url));

/** The headers with which `user` logs in. */
export const basic = (user, password) => ({ Authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}` });

/** A running Framecast, queried over HTTP. */
export class Api {
  /** `headers` go with each request. */
  constructor(url, headers = {}) {
    this.url = url;
    this.headers = headers;
  }

  async #get(path) {
    const response = await fetch(`${this.url}/api/${path}`, { headers: this.headers });
    return response.json();
  }

  async cameras() {
    return (await this.#get("cameras")).cameras;
  }

  camera(name) {
    return this.#get(`cameras/${name}`);
  }

  async viewers() {
    return (await this.#get("viewers")).viewers;
  }

  /** Events of the history, selected by `query`. */
  async events(query) {
    return (await this.#get(`events?${new URLSearchParams(query)}`)).events;
  }

  /** Sets a mark, of a camera or of the server. */
  async mark(label, camera) {
    const body = JSON.stringify({ label, camera });
    const headers = { ...this.headers, "Content-Type": "application/json" };
    await fetch(`${this.url}/api/events`, { method: "POST", headers, body });
  }
}

/** The program on this machine. */
export class Framecast extends Api {
  #account;
  #child;
  #log = "";

  /**
   * Runs `framecast --listen 127.0.0.1:PORT …cameras`, where a camera is `name=SOURCE`; with `password`, with the
   * account `me`.
   */
  static async start(cameras, port, { password } = {}) {
    const chosen = port ?? (await freePort());
    const framecast = new Framecast(`http://127.0.0.1:${chosen}`, password ? basic("me", password) : {});
    framecast.port = chosen;
    framecast.#account = password ? { args: ["--user", "me"], env: { FRAMECAST_PASSWORD: password } } : { args: [], env: {} };
    // The same port may have belonged to another server before.
    if (port === undefined) states.delete(chosen);
    await framecast.#run(cameras);
    return framecast;
  }

  async #run(cameras) {
    if (!existsSync(BINARY)) throw new Error(`there is no program at ${BINARY}. Build it (cargo build --release), or set FRAMECAST_BIN`);
    const child = spawn(BINARY, ["--listen", `127.0.0.1:${this.port}`, ...this.#account.args, ...cameras], {
      stdio: ["ignore", "pipe", "pipe"],
      env: { ...process.env, ...this.#account.env, XDG_STATE_HOME: stateOf(this.port) },
    });
    this.#child = child;
    const keep = (bytes) => (this.#log = (this.#log + bytes).slice(-LOG_CHARACTERS));
    child.stdout.on("data", keep);
    child.stderr.on("data", keep);
    let failure = null;
    child.on("error", (error) => (failure = error.message));
    child.on("exit", (code, signal) => (failure ??= `ended with ${signal ?? code}`));
    await until(
      `framecast answers at ${this.url}`,
      async () => {
        if (failure) return true;
        return (await this.cameras()).length > 0;
      },
      { everyMs: 50 },
    );
    if (failure) throw new Error(`framecast did not start: ${failure}\n${this.#log}`);
  }

  get log() {
    return this.#log;
  }

  get pid() {
    return this.#child.pid;
  }

  /** Kills it, as a crash would: it closes nothing properly. */
  async kill() {
    await this.#end("SIGKILL");
  }

  async stop() {
    this.thaw();
    await this.#end("SIGTERM");
  }

  /** Suspends it: connections stay open, and nothing comes. */
  freeze() {
    this.#child.kill("SIGSTOP");
  }

  thaw() {
    this.#child.kill("SIGCONT");
  }

  async #end(signal) {
    const child = this.#child;
    if (child.exitCode !== null || child.signalCode !== null) return;
    const exit = once(child, "exit");
    child.kill(signal);
    await Promise.race([exit, sleep(5000)]);
    if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL");
  }
}
