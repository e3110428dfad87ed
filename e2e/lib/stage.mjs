// The argument of a check: everything started through it ends with the check.

import { once } from "node:events";
import { mkdirSync } from "node:fs";
import http from "node:http";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { launch } from "./browser.mjs";
import { Framecast } from "./framecast.mjs";
import { Proxy } from "./proxy.mjs";
import { reportPages } from "./report.mjs";
import { Vm } from "./vm.mjs";

const OUT = fileURLToPath(new URL("../out/", import.meta.url));

// Of each log, in the report of a failed check.
const LOG_CHARACTERS = 2000;

let machine = null;

/** Boots the virtual machine, unless that has begun already. */
export function bootMachine() {
  machine ??= Vm.boot();
  return machine;
}

/** Stops the virtual machine, if there is one; returns what went wrong. */
export async function endMachine() {
  const vm = await machine?.catch(() => null);
  machine = null;
  return vm?.down().catch((error) => error.message);
}

export class Stage {
  #name;
  #ends = [];
  #servers = [];
  #browsers = [];
  #isOver = false;

  /** `name` is that of the check. */
  constructor(name) {
    this.#name = name;
  }

  /** Registers `end` to be called at the end of the check, or calls it now if the check is over. */
  defer(end) {
    if (!this.#isOver) this.#ends.push(end);
    else {
      // The result of the check is printed already, so this goes on a line of its own.
      const complain = (error) => console.log(`  cleanup of ${this.#name} failed: ${error.message}`);
      Promise.resolve().then(end).catch(complain);
    }
  }

  async framecast(cameras = [], port = undefined, account = {}) {
    const framecast = await Framecast.start(cameras, port, account);
    this.#servers.push(framecast);
    this.defer(() => framecast.stop());
    return framecast;
  }

  /** The virtual machine with all its devices as after boot: `{ vm, single, multi, webcam }`, the latter their nodes. */
  async machine() {
    const vm = await bootMachine();
    return { vm, ...(await vm.fresh()) };
  }

  /** Framecast in the virtual machine. */
  async guestFramecast(args, options) {
    const framecast = await (await bootMachine()).framecast(args, options);
    this.#servers.push(framecast);
    this.defer(() => framecast.stop());
    return framecast;
  }

  async browser(name, options) {
    const browser = await launch(name, options);
    this.#browsers.push(browser);
    this.defer(() => browser.close());
    return browser;
  }

  /** A proxy in front of `framecast` that blocks WebSockets, until its `isOpen` is set. */
  async proxy(framecast) {
    const proxy = await Proxy.start(framecast.port);
    this.defer(() => proxy.stop());
    return proxy;
  }

  /** Serves `html` from another origin than any Framecast; returns its address. */
  async page(html) {
    const server = http.createServer((_, response) => {
      response.setHeader("Content-Type", "text/html; charset=utf-8");
      response.end(`<!doctype html><title>elsewhere</title><body style="margin:0">${html}`);
    });
    return `http://localhost:${await this.listen(server)}/`;
  }

  /** Lets `server` listen on 127.0.0.1; returns its port. */
  async listen(server) {
    const sockets = new Set();
    server.on("connection", (socket) => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    this.defer(() => {
      for (const socket of sockets) socket.destroy();
      server.close();
    });
    return server.address().port;
  }

  /** The path for a screenshot for people to look at. */
  out(name) {
    mkdirSync(OUT, { recursive: true });
    return path.join(OUT, name);
  }

  /** What the pages show now, for the report of a failed check: at most about ten lines. */
  pages() {
    return reportPages(this.#browsers);
  }

  /** The ends of the servers' logs. */
  get logs() {
    return this.#servers.map((framecast) => framecast.log.slice(-LOG_CHARACTERS).trim()).filter(Boolean).join("\n---\n");
  }

  /** Ends everything; returns the errors, one a line. */
  async end() {
    const complaints = [];
    this.#isOver = true;
    for (const end of this.#ends.splice(0).reverse()) {
      try {
        await end();
      } catch (error) {
        complaints.push(`  cleanup failed: ${error.message}`);
      }
    }
    return complaints;
  }
}
