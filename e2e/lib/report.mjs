// What the pages of a failed check show, in a few lines: often only this text of a failure is kept.

import { loadavg } from "node:os";
import { within } from "./wait.mjs";

const LIMIT_MS = 4000;
const MOST_PAGES = 4;
const MOST_CHARACTERS = 300;

const short = (text) => (text.length > MOST_CHARACTERS ? `${text.slice(0, MOST_CHARACTERS)}…` : text);

/** Runs in the page: where the focus is, and the texts that tell a person how things are. */
function look() {
  const named = (element) => {
    const { id, className, dataset, href } = element ?? {};
    const classes = typeof className === "string" && className ? `.${className.trim().replaceAll(/\s+/g, ".")}` : "";
    return `${element?.localName ?? "nothing"}${id ? `#${id}` : ""}${classes}${dataset?.control ? `[${dataset.control}]` : ""}${href ? ` ${href}` : ""}`;
  };
  const telling = "#summary, #state, #reason, #figures, #news, .tile .state, .tile .figures, .veil, .problem, dialog[open] h2";
  const seen = [...document.querySelectorAll(telling)].filter((element) => element.checkVisibility());
  const texts = seen.map(({ textContent }) => textContent.trim().replaceAll(/\s+/g, " ")).filter(Boolean);
  return {
    state: `${document.readyState}, ${document.visibilityState}, ${document.hasFocus() ? "focus" : "no focus"} at ${named(document.activeElement)}`,
    told: texts.length > 0 ? texts.join(" | ") : document.body?.innerText.trim().replaceAll(/\s+/g, " "),
  };
}

async function reportPage(page) {
  const seen = await within("the page's answer", page.evaluate(look), LIMIT_MS).catch(({ message }) => ({ state: message, told: "" }));
  const errors = page.errors ?? [];
  const console = errors.length > 0 ? [`  its console says: ${short(errors.slice(-3).join(" | "))}`] : [];
  return [`  page ${page.url()}: ${seen.state}`, ...(seen.told ? [`  it says: ${short(seen.told)}`] : []), ...console];
}

/** The newest pages of `browsers`, up to three lines each, and how busy the machine is. */
export async function reportPages(browsers) {
  const busy = `  load of the last minutes: ${loadavg().map((value) => value.toFixed(1)).join(" ")}`;
  const listed = browsers.map((browser) => within("the list of pages", browser.pages(), LIMIT_MS).catch(() => []));
  const pages = (await Promise.all(listed)).flat().filter((page) => page.url() !== "about:blank").slice(-MOST_PAGES);
  return [busy, ...(await Promise.all(pages.map(reportPage))).flat()];
}
