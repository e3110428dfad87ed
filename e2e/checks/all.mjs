// All checks. A check is `{ name, needs, lacking, limitMs, isAlone, run }`: `needs` names programs, `lacking` returns
// what else is missing, `limitMs` is for a check that may last longer than others, and one with `isAlone` measures, so
// no other check runs at the same time.

import { alone } from "../lib/alone.mjs";
import { checks as accesses } from "./access.mjs";
import { checks as announcers } from "./announcer.mjs";
import { checks as behinds } from "./behind.mjs";
import { checks as brokens } from "./broken.mjs";
import { checks as clients } from "./client.mjs";
import { checks as days } from "./day.mjs";
import { checks as compat } from "./compat.mjs";
import { checks as elsewhere } from "./elsewhere.mjs";
import { checks as events } from "./events.mjs";
import { checks as examples } from "./example.mjs";
import { checks as films } from "./film.mjs";
import { checks as fronts } from "./front.mjs";
import { checks as full } from "./full.mjs";
import { checks as go2rtcs } from "./go2rtc.mjs";
import { checks as healths } from "./health.mjs";
import { checks as loginThrottle } from "./login_throttle.mjs";
import { checks as histories } from "./history.mjs";
import { checks as monitoring } from "./monitoring.mjs";
import { checks as openapi } from "./openapi.mjs";
import { checks as pages } from "./page.mjs";
import { checks as panels } from "./panel.mjs";
import { checks as rtsp } from "./rtsp.mjs";
import { checks as sizes } from "./sizes.mjs";
import { checks as slow } from "./slow.mjs";
import { checks as stills } from "./still.mjs";
import { checks as stocks } from "./stock.mjs";
import { checks as videos } from "./video.mjs";
import { checks as subVideos } from "./video_sub.mjs";
import { checks as walls } from "./wall.mjs";
import { checks as waysOut } from "./way_out.mjs";
import { checks as words } from "./words.mjs";
import { checks as guests } from "./vm/all.mjs";

/** The checks on this machine. */
export const here = [...compat, ...fronts, ...behinds, ...monitoring, ...slow, ...accesses, ...announcers, ...pages, ...openapi, ...elsewhere, ...walls, ...words, ...events, ...days, ...healths, ...histories, ...brokens, ...sizes, ...panels, ...films, ...stills, ...stocks, ...full, ...clients, ...go2rtcs, ...loginThrottle, ...examples, ...rtsp, ...videos, ...subVideos, ...waysOut];

/** The checks in the virtual machine. There is one machine, and it is slow, so only one check uses it at a time. */
export const inVm = guests.map(alone);

export const all = [...here, ...inVm];
