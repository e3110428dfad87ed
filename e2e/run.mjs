// Runs the end-to-end checks: all of them, or those named. `README.md` says what they need.

import { once } from "node:events";
import { mkdirSync } from "node:fs";
import http from "node:http";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { checks as accesses } from "./checks/access.mjs";
import { checks as brokens } from "./checks/broken.mjs";
import { checks as clients } from "./checks/client.mjs";
import { checks as days } from "./checks/day.mjs";
import { checks as dropIns } from "./checks/drop_in.mjs";
import { checks as events } from "./checks/events.mjs";
import { checks as examples } from "./checks/example.mjs";
import { checks as films } from "./checks/film.mjs";
import { checks as full } from "./checks/full.mjs";
import { checks as histories } from "./checks/history.mjs";
import { checks as pages } from "./checks/page.mjs";
import { checks as panels } from "./checks/panel.mjs";
import { checks as rtsp } from "./checks/rtsp.mjs";
import { checks as sizes } from "./checks/sizes.mjs";
import { checks as slow } from "./checks/slow.mjs";
import { checks as stills } from "./checks/still.mjs";
import { checks as stocks } from "./checks/stock.mjs";
import { checks as walls } from "./checks/wall.mjs";
import { checks as waysOut } from "./checks/way_out.mjs";
import { checks as words } from "./checks/words.mjs";
import { checks as inVm } from "./checks/vm/all.mjs";
import { launch } from "./lib/browser.mjs";
import { Framecast } from "./lib/framecast.mjs";
import { Proxy } from "./lib/proxy.mjs";
import { find } from "./lib/tool.mjs";
import { Vm } from "./lib/vm.mjs";

const HERE = [...pages, ...accesses, ...walls, ...words, ...events, ...days, ...histories, ...brokens, ...sizes, ...panels, ...films, ...stills, ...stocks, ...full, ...clients, ...examples, ...dropIns, ...rtsp, ...slow, ...waysOut];
const ALL = [...HERE, ...inVm];
const LIMIT_MS = 120000;
let machine = null;
const OUT = fileURLToPath(new URL("./out/", import.meta.url));

/** What a check is given: everything started through it ends with the check. */
class Stage {
  #ends = [];
  #servers = [];

  defer(end) {
    this.#ends.push(end);
  }

  async framecast(cameras = [], port = undefined) {
    const framecast = await Framecast.start(cameras, port);
    this.#servers.push(framecast);
    this.defer(() => framecast.stop());
    return framecast;
  }

  /** The virtual machine with all its devices as after boot: `{ vm, single, multi, webcam }`, the latter their nodes. */
  async machine() {
    machine ??= Vm.boot();
    const vm = await machine;
    return { vm, ...(await vm.fresh()) };
  }

  /** Framecast in the virtual machine. */
  async guestFramecast(args, options) {
    const framecast = await (await machine).framecast(args, options);
    this.#servers.push(framecast);
    this.defer(() => framecast.stop());
    return framecast;
  }

  async browser(name, options) {
    const browser = await launch(name, options);
    this.defer(() => browser.close());
    return browser;
  }

  /** A proxy before `framecast` that lets no WebSocket pass, until its `isOpen` is set. */
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
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    this.defer(() => {
      server.closeAllConnections();
      server.close();
    });
    return `http://localhost:${server.address().port}/`;
  }

  /** Where a picture for people to look at goes. */
  out(name) {
    mkdirSync(OUT, { recursive: true });
    return path.join(OUT, name);
  }

  get logs() {
    return this.#servers.map((framecast) => framecast.log.trim()).filter(Boolean).join("\n---\n");
  }

  async end() {
    for (const end of this.#ends.reverse()) {
      try {
        await end();
      } catch (error) {
        console.log(`  while ending: ${error.message}`);
      }
    }
  }
}

async function runOne(check) {
  const stage = new Stage();
  let timer;
  const limitMs = check.limitMs ?? LIMIT_MS;
  const limit = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${limitMs / 1000} s`)), limitMs);
  });
  const startedAt = Date.now();
  try {
    const note = await Promise.race([check.run(stage), limit]);
    const seconds = ((Date.now() - startedAt) / 1000).toFixed(1);
    console.log(`ok ${check.name} (${[note, `${seconds} s`].filter(Boolean).join(", ")})`);
    return true;
  } catch (error) {
    console.log(`not ok ${check.name}: ${error.message}`);
    if (stage.logs) console.log(stage.logs.replaceAll(/^/gm, "  | "));
    return false;
  } finally {
    clearTimeout(timer);
    await stage.end();
  }
}

function read() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { "allow-missing": { type: "boolean" }, list: { type: "boolean" } },
  });
  const names = positionals.flatMap((name) => (name === "vm" ? inVm.map((check) => check.name) : [name]));
  const unknown = names.filter((name) => !ALL.some((check) => check.name === name));
  if (unknown.length > 0) {
    console.error(`no check is called ${unknown.join(", ")}; there are: vm, ${ALL.map((check) => check.name).join(", ")}`);
    process.exit(2);
  }
  const chosen = names.length === 0 ? (values.list ? ALL : HERE) : ALL.filter((check) => names.includes(check.name));
  return { chosen, mayMiss: values["allow-missing"] === true, isList: values.list === true };
}

async function endMachine() {
  const vm = await machine?.catch(() => null);
  await vm?.down().catch((error) => console.log(`  while ending: ${error.message}`));
}

// A machine that this leaves running would only end itself after minutes.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.once(signal, () => endMachine().finally(() => process.exit(130)));
}

async function main() {
  const { chosen, mayMiss, isList } = read();
  if (isList) return console.log(chosen.map((check) => check.name).join("\n"));
  let passed = 0;
  let failed = 0;
  for (const check of chosen) {
    const missing = check.needs.filter((program) => find(program) === null);
    if (missing.length === 0) missing.push(...(check.lacking?.() ?? []));
    if (missing.length === 0) {
      if (await runOne(check)) passed += 1;
      else failed += 1;
      continue;
    }
    const reason = `${missing.join(" and ")} not installed`;
    if (process.env.CI === "true") console.log(`not ok ${check.name}: ${reason}`);
    else console.log(`not run: ${check.name}: ${reason}`);
    if (process.env.CI === "true" || !mayMiss) failed += 1;
  }
  await endMachine();
  console.log(`${passed} passed, ${failed} failed`);
  // A browser that will not go must not keep this from ending.
  process.exit(failed === 0 && passed > 0 ? 0 : 1);
}

await main();
