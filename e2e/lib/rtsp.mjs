// An RTSP server for a check, and a monitor of the command lines of all processes of the machine.

import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { freePort } from "./framecast.mjs";
import { find } from "./tool.mjs";
import { within } from "./wait.mjs";

const SCRIPT = fileURLToPath(new URL("./rtsp_server.py", import.meta.url));
const UDP_SCRIPT = fileURLToPath(new URL("./rtsp_udp_server.py", import.meta.url));

/** A Python that has GStreamer's RTSP server: the one on PATH or Debian's own; null without one. */
function python() {
  for (const program of [find("python3"), "/usr/bin/python3"]) {
    if (program === null) continue;
    try {
      execFileSync(program, [SCRIPT, "--check"], { stdio: "ignore" });
      return program;
    } catch {
      continue;
    }
  }
  return null;
}

/** What the server needs and is missing. */
export const lacking = () => (python() === null ? ["gir1.2-gst-rtsp-server-1.0 or a plugin of GStreamer"] : []);

export class RtspServer {
  #child;

  /** The paths whose sessions clients have ended in the way of the protocol, in order. */
  goodbyes = [];

  /** Starts a server that requires `login`, as in `digest me password`. */
  static async start(stage, login = "") {
    const server = new RtspServer();
    server.python = python();
    server.login = login;
    server.port = await freePort();
    stage.defer(() => server.kill());
    await server.run();
    return server;
  }

  /** The number of clients that are connected to it. */
  connections() {
    // In proc(5): the number of a connection, its own address, the other one, and the state, which is 01 if established.
    const other = ` 0100007F:${this.port.toString(16).toUpperCase().padStart(4, "0")} 01 `;
    return readFileSync("/proc/net/tcp", "utf8").split("\n").filter((line) => line.includes(other)).length;
  }

  /** Restarts it on the same port. */
  async run() {
    const env = { ...process.env, RTSP_LOGIN: this.login };
    this.#child = spawn(this.python, [SCRIPT, String(this.port)], { env, stdio: ["ignore", "pipe", "inherit"] });
    const ready = Promise.race([once(this.#child.stdout, "data"), once(this.#child, "exit")]);
    await within("the start of the RTSP server", ready, 20000);
    if (this.#child.exitCode !== null) throw new Error("the RTSP server did not start");
    const lines = createInterface({ input: this.#child.stdout });
    lines.on("line", (line) => line.startsWith("TEARDOWN ") && this.goodbyes.push(line.split(" ")[1]));
  }

  async kill() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    const exit = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await exit;
  }
}

/** A camera that sends only over UDP; `kind` as in the head of its script. */
export class UdpCamera {
  /** How many pictures it has sent. */
  sent = 0;

  static async start(stage, kind) {
    const camera = new UdpCamera();
    camera.port = await freePort();
    const arguments_ = [UDP_SCRIPT, String(camera.port), kind];
    const child = spawn(find("python3"), arguments_, { stdio: ["ignore", "pipe", "inherit"] });
    stage.defer(() => child.kill("SIGKILL"));
    const ready = Promise.race([once(child.stdout, "data"), once(child, "exit")]);
    await within("the start of the UDP camera", ready, 20000);
    if (child.exitCode !== null) throw new Error("the UDP camera did not start");
    child.stdout.on("data", (text) => (camera.sent = Number(String(text).trim().split("\n").at(-1))));
    return camera;
  }
}

/** Polls all command lines until the check ends; `lines` collects those that contain `word`. */
export function watchCommandLines(stage, word) {
  const lines = new Set();
  const look = () => {
    for (const id of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
      try {
        const line = readFileSync(`/proc/${id}/cmdline`, "utf8").replaceAll("\0", " ").trim();
        if (line.includes(word)) lines.add(line);
      } catch {
        continue;
      }
    }
  };
  const timer = setInterval(look, 10);
  stage.defer(() => clearInterval(timer));
  return lines;
}
