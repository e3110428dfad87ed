// The checks in the virtual machine, which boots once for all of them.

import { vividVm } from "../../lib/vm.mjs";
import { checks as colours } from "./colour.mjs";
import { checks as controls } from "./control.mjs";
import { checks as devices } from "./devices.mjs";
import { checks as faults } from "./fault.mjs";
import { checks as refusals } from "./refusal.mjs";
import { checks as replugs } from "./replug.mjs";
import { checks as timings } from "./timing.mjs";
import { checks as watched } from "./watched.mjs";
import { checks as webcams } from "./webcam.mjs";

const lacking = () => (vividVm() === null ? ["vivid-vm"] : []);

export const checks = [webcams, colours, devices, replugs, faults, watched, controls, refusals, timings]
  .flat()
  .map((check) => ({ needs: [], lacking, ...check }));
