// The page's title and icon, which tell of lost cameras even while the page is in a background tab.

import { visible } from "./format.js";

const link = document.querySelector('link[rel="icon"]');
const usual = link.href;
const lostIcon = usual.replace("icon.svg", "icon-lost.svg");

/** Shows `title`, preceded by `warning`, such as "2 lost"; an empty warning shows the usual title and icon. */
export function setTitle(title, warning) {
  const text = visible(warning ? `(${warning}) ${title}` : title);
  if (document.title !== text) document.title = text;
  const icon = warning ? lostIcon : usual;
  if (link.href !== icon) link.href = icon;
}
