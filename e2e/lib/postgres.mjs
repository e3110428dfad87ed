// A PostgreSQL for one check, on a UNIX socket in a folder that is removed with it.

import { execFile, execFileSync, spawn } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { until } from "./wait.mjs";

const VERSIONS = "/usr/lib/postgresql";

// The account for the server if a check runs as root, as which PostgreSQL refuses to run. Debian's package creates the
// account.
const ACCOUNT = "postgres";

const run = promisify(execFile);

/** The folder of the newest version's programs, which are on no PATH; null if there is none. */
function programs() {
  if (!existsSync(VERSIONS)) return null;
  const newest = readdirSync(VERSIONS).sort((a, b) => Number(b) - Number(a));
  return newest.map((version) => path.join(VERSIONS, version, "bin")).find((bin) => existsSync(path.join(bin, "initdb"))) ?? null;
}

/** For a check's `lacking`. */
export const lackingPostgres = () => (programs() ? [] : ["PostgreSQL's server"]);

/** A running server, with the database `postgres`. */
export class Postgres {
  #folder;
  #server;

  /** Creates a database and starts a server for it, which stops at the end of the check. */
  static async start(stage) {
    const postgres = new Postgres();
    // The path of a socket has at most a hundred characters.
    postgres.#folder = mkdtempSync("/tmp/framecast-pg-");
    stage.defer(() => postgres.#end());
    const folder = postgres.#folder;
    if (process.getuid() === 0) execFileSync("chown", [`${ACCOUNT}:`, folder]);
    await run(...postgres.#program("initdb", "--auth=trust", "--no-sync", "--username=framecast", "-D", postgres.#data), { cwd: "/" });
    const settings = ["listen_addresses=", "fsync=off", `unix_socket_directories=${folder}`].flatMap((setting) => ["-c", setting]);
    const [program, args] = postgres.#program("postgres", "-D", postgres.#data, ...settings);
    postgres.#server = spawn(program, args, { cwd: "/", stdio: "ignore" });
    await until("PostgreSQL is up", () => postgres.ask("SELECT 1"));
    return postgres;
  }

  get #data() {
    return path.join(this.#folder, "data");
  }

  /** The address for the configuration. */
  get url() {
    return `postgres://framecast@/postgres?host=${this.#folder}`;
  }

  /** The result of `sql`. */
  async ask(sql) {
    const psql = this.#program("psql", "-U", "framecast", "-d", "postgres", "-qAtc", sql, "-h", this.#folder);
    return (await run(...psql, { cwd: "/" })).stdout.trim();
  }

  /** Kills the server and all processes that serve its clients, whose connections break at once. */
  kill() {
    const { pid } = this.#server;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
    for (const each of [pid, ...children.filter(Boolean).map(Number)]) {
      try {
        process.kill(each, "SIGKILL");
      } catch (error) {
        // An idle process has ended together with the first one.
        if (error.code !== "ESRCH") throw error;
      }
    }
  }

  #program(name, ...args) {
    const program = path.join(programs(), name);
    if (process.getuid() !== 0) return [program, args];
    return ["setpriv", ["--reuid", ACCOUNT, "--regid", ACCOUNT, "--clear-groups", "--", program, ...args]];
  }

  async #end() {
    if (this.#server?.exitCode === null && this.#server.signalCode === null) this.kill();
    await until("the folder of PostgreSQL is removed", () => {
      rmSync(this.#folder, { recursive: true, force: true });
      return true;
    });
  }
}
