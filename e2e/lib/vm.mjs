// The virtual machine whose kernel has V4L2 devices: vivid and a fake USB webcam on the real uvcvideo driver. Checks
// run commands in it, control the webcam, and run Framecast in it as on a separate machine, with a forwarded port.

import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { accessSync, constants, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { Api, BINARY } from "./framecast.mjs";
import { ensure, until } from "./wait.mjs";

const NAME = `framecast-${process.pid}`;
// Two virtual capture devices: the first supports the single-planar interface and has an output node beside it, the
// second supports the multi-planar one.
const VIVID = "n_devs=2 node_types=0x101,0x1 multiplanar=1,2";
const PORTS = [8080, 8081];
// The machine may boot while the program to check is still being built.
const LIFE_S = 3600;
const WEBCAM = ["dht=1", "pad=0", "truncate=0", "garbage=0", "err=0", "freeze=0", "slow=0"];
// The path of the shared folder in the guest.
const SHARED = "/shared";
const PROGRAM = "/program";

const run = promisify(execFile);

/** The program that runs the machine: `FRAMECAST_VIVID_VM`, or the one beside the repository; null if there is none. */
export function vividVm() {
  const beside = fileURLToPath(new URL("../../../shared/vivid-vm/vivid-vm", import.meta.url));
  const program = process.env.FRAMECAST_VIVID_VM || beside;
  try {
    accessSync(program, constants.X_OK);
    return program;
  } catch {
    return null;
  }
}

export class Vm {
  #folder = mkdtempSync(path.join(tmpdir(), "framecast-vm-"));
  #ports = new Map();
  #framecasts = 0;

  /** Boots it; reuses what was built for it once. */
  static async boot() {
    const vm = new Vm();
    const shares = ["-v", `${path.dirname(path.resolve(BINARY))}:${PROGRAM}`, "-v", `${vm.#folder}:${SHARED}:rw`];
    const ports = PORTS.flatMap((port) => ["-p", `0:${port}`]);
    try {
      await vm.#call(["up", "-n", NAME, "-l", String(LIFE_S), "-V", VIVID, "-u", "", ...ports, ...shares], 300000);
      for (const port of PORTS) vm.#ports.set(port, Number(await vm.#call(["port", "-n", NAME, String(port)])));
    } catch (error) {
      await vm.down();
      throw error;
    }
    return vm;
  }

  async #call(args, timeout = 120000) {
    try {
      const { stdout } = await run(vividVm(), args, { timeout, maxBuffer: 1 << 26 });
      return stdout;
    } catch (error) {
      const told = [error.stdout, error.stderr].filter(Boolean).join("").trim();
      throw Object.assign(new Error(`vivid-vm ${args.join(" ")}: ${told || error.message}`), {
        status: error.code,
        stdout: error.stdout ?? "",
        stderr: error.stderr ?? "",
      });
    }
  }

  /** Runs a shell script in the guest; returns its output. Fails with `status`, `stdout` and `stderr`. */
  exec(script, seconds = 60) {
    return this.#call(["exec", "-n", NAME, "-t", String(seconds), "--", script], (seconds + 30) * 1000);
  }

  /** Starts a shell script in the guest and returns its number at once. */
  async start(script) {
    return (await this.#call(["exec", "-n", NAME, "-d", "--", script])).trim();
  }

  /** Ends what `start` started, with its children, and waits for its end. */
  async end(job, signal = "TERM") {
    await this.#call(["kill", "-n", NAME, "-s", signal, job]);
    // Any exit status is fine; only a job that does not end is an error.
    await this.#call(["wait", "-n", NAME, "-t", "20", job]).catch((error) => {
      if (error.status === 124 || error.status === 125) throw error;
    });
  }

  /** Controls the webcam: `unplug`, `plug`, `set KEY=VALUE`, `stats`. */
  async webcam(...words) {
    return (await this.#call(["uvc", "-n", NAME, ...words])).trim();
  }

  /** Sets controls of a node, as in `set("/dev/video0", { test_pattern: 1 })`. */
  async set(node, values) {
    const words = Object.entries(values).map(([name, value]) => `${name}=${value}`);
    await this.exec(`v4l2-ctl -d ${node} -c ${words.join(",")}`);
  }

  /**
   * Resets all devices as after boot: no fault, controls at their defaults, the webcam plugged in, no udev. Returns
   * their nodes.
   */
  async fresh() {
    await this.webcam("set", ...WEBCAM);
    await this.webcam("plug");
    // The command returns when udev has ended.
    await this.exec("if [ -e /run/udev/control ]; then udevadm control --exit; rm -rf /run/udev /dev/v4l; fi");
    const webcam = (await this.exec(`cam-ctl vivid-reload ${VIVID} && cam-ctl find uvcvideo 20`)).trim();
    const nodes = (await this.exec("cam-ctl list")).trim().split("\n").map((line) => line.split(" "));
    const [single, multi] = nodes.filter(([, driver]) => driver === "vivid").map(([node]) => node);
    ensure(single && multi && webcam, `devices are missing: ${JSON.stringify(nodes)}`);
    return { single, multi, webcam };
  }

  /**
   * Runs Framecast in the guest, with `args` after `--listen`: a list, or a text that the guest's shell parses as it
   * is. `config` is written to its configuration file. `as` goes before the command, to run it as another account.
   */
  async framecast(args, { config = null, port = PORTS[0], as = "" } = {}) {
    this.#framecasts += 1;
    return GuestFramecast.start(this, { args, config, guestPort: port, as, number: this.#framecasts });
  }

  /** Runs one of Framecast's commands in the guest, as in `command("devices")`. */
  command(words) {
    return this.exec(`${this.binary} ${words}`);
  }

  get binary() {
    return `${PROGRAM}/${path.basename(BINARY)}`;
  }

  port(guestPort) {
    return this.#ports.get(guestPort);
  }

  /** A file that host and guest share: its path on each side. */
  shared(name) {
    return { here: path.join(this.#folder, name), there: `${SHARED}/${name}` };
  }

  /**
   * Calls `onEvent({ action, node, at })` for each video node that the guest's kernel adds or removes; `at` is when the
   * event arrived here, at most some 0.2 s late. Returns a function that stops it.
   */
  async watchNodes(onEvent) {
    const script = "udevadm monitor --kernel --subsystem-match=video4linux";
    const child = spawn(vividVm(), ["exec", "-n", NAME, "-t", String(LIFE_S), "--", script]);
    let rest = "";
    let isListening = false;
    child.stdout.on("data", (bytes) => {
      const lines = (rest + bytes).split("\n");
      rest = lines.pop();
      for (const line of lines) {
        isListening ||= line.startsWith("KERNEL - ");
        const [, action, node] = line.match(/^KERNEL\[[\d.]+\] (\w+) .*\/(video\d+) /) ?? [];
        if (action) onEvent({ action, node: `/dev/${node}`, at: Date.now() });
      }
    });
    await until("udevadm in the guest reports video nodes", () => isListening);
    const exit = once(child, "exit");
    return () => {
      // The interrupt reaches the command in the guest.
      child.kill("SIGINT");
      return exit;
    };
  }

  async down() {
    await this.#call(["down", "-n", NAME]);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

/** Framecast in the guest, queried through its forwarded port. */
class GuestFramecast extends Api {
  #vm;
  #job;
  #log;

  static async start(vm, { args, config, guestPort, as, number }) {
    const framecast = new GuestFramecast(`http://127.0.0.1:${vm.port(guestPort)}`);
    framecast.#vm = vm;
    const log = vm.shared(`framecast-${number}.log`);
    framecast.#log = log.here;
    const words = [vm.binary, "--listen", `0.0.0.0:${guestPort}`];
    if (config !== null) {
      const file = vm.shared(`framecast-${number}.toml`);
      writeFileSync(file.here, config);
      words.push("--config", file.there);
    }
    const quote = (word) => `'${word.replaceAll("'", "'\\''")}'`;
    const pasted = typeof args === "string" ? args : args.map(quote).join(" ");
    const command = `${words.join(" ")} ${pasted}`;
    framecast.#job = await vm.start(`exec ${as} ${command} >${log.there} 2>&1`);
    await framecast.#answers();
    return framecast;
  }

  async #answers() {
    await until(`framecast in the guest answers at ${this.url}`, async () => (await this.cameras()).length > 0).catch(
      (error) => {
        throw new Error(`${error.message}\n${this.log}`);
      },
    );
  }

  get log() {
    return readFileSync(this.#log, "utf8").slice(-4000);
  }

  /** Its process id in the guest. */
  async pid() {
    return (await this.#vm.exec(`cat /run/ctl/jobs/${this.#job}/pid`)).trim();
  }

  async stop() {
    await this.#vm.end(this.#job);
  }
}
