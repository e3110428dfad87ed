// What the page announces to screen readers, and when: the page's own module, in a browser, with a clock of the check.

import { open } from "../lib/browser.mjs";
import { ensure } from "../lib/wait.mjs";

/** A change of state waits until the answer to a person's action has been heard, and changes come together. */
async function announces(stage) {
  const framecast = await stage.framecast(["front=emulated"]);
  const page = await open(await stage.browser("chromium"), framecast.url);
  const found = await page.evaluate(async () => {
    const { Announcer } = await import(new URL("static/announcer.js", location.href));
    const { setTimeout, clearTimeout } = globalThis;
    const timers = new Map();
    let nowMs = 0;
    let started = 0;
    const pass = (ms) => {
      const endMs = nowMs + ms;
      for (;;) {
        const [next] = [...timers].filter(([, { atMs }]) => atMs <= endMs).sort(([, a], [, b]) => a.atMs - b.atMs);
        if (next === undefined) break;
        timers.delete(next[0]);
        nowMs = next[1].atMs;
        next[1].run();
      }
      nowMs = endMs;
    };
    /** All that a new announcer says during `steps`; "–" where it falls silent. */
    const heard = (...steps) => {
      const texts = [];
      const announcer = new Announcer({ set textContent(text) { texts.push(text || "–"); } });
      for (const subject of ["front", "yard"]) announcer.report(subject, "live");
      for (const step of steps) step(announcer);
      pass(60000);
      return texts.join(" | ");
    };
    const lost = (subject) => (announcer) => announcer.report(subject, "lost");
    const answer = (announcer) => announcer.announce("Marked");
    const wait = (ms) => () => pass(ms);
    // Nothing else on the page runs before they are put back.
    globalThis.setTimeout = (run, ms) => {
      started += 1;
      timers.set(started, { run, atMs: nowMs + ms });
      return started;
    };
    globalThis.clearTimeout = (timer) => timers.delete(timer);
    try {
      return {
        change: heard(lost("front")),
        together: heard(lost("front"), wait(1000), lost("yard")),
        apart: heard(lost("front"), wait(2000), lost("yard")),
        before: heard(lost("front"), answer),
        meanwhile: heard(answer, wait(1000), lost("front"), wait(2000), lost("yard")),
        again: heard(answer, wait(4000), answer, lost("front"), wait(4000), lost("yard")),
      };
    } finally {
      Object.assign(globalThis, { setTimeout, clearTimeout });
    }
  });
  const wanted = {
    change: "front: lost.",
    together: "front: lost. yard: lost.",
    apart: "front: lost. | yard: lost.",
    before: "Marked | – | front: lost.",
    meanwhile: "Marked | – | front: lost. yard: lost.",
    again: "Marked | Marked | – | front: lost. yard: lost.",
  };
  for (const [what, value] of Object.entries(wanted)) ensure(found[what] === value, `${what}: ${found[what]} instead of ${value}`);
}

export const checks = [{ name: "announcer", needs: ["chromium"], run: announces }];
