// The plugged-in devices, as the program and the API list them: each URL works when pasted, and only cameras are
// listed.

import { ensure } from "../../lib/wait.mjs";
import { snapshot } from "../../lib/watch.mjs";

/** The arguments in the commands that `framecast devices` prints, as a shell parses them. */
const commandsIn = (text) => [...text.matchAll(/\bframecast (.*v4l2:.*)$/gm)].map(([, words]) => words);

async function listDevices(stage) {
  const { vm, single, multi, webcam } = await stage.machine();
  // udev makes the links with stable names, as on any installed system.
  await vm.exec("cam-ctl udev-start");
  const printed = await vm.command("devices");
  for (const name of ["Fake Webcam", "vivid", "uvcvideo", "mjpeg", "yuyv", "1280x720"]) {
    ensure(printed.includes(name), `framecast devices does not name ${name}:\n${printed}`);
  }
  const framecast = await stage.guestFramecast(["first=test:?size=320x180&fps=5"]);
  const { devices } = await (await fetch(`${framecast.url}/api/devices`)).json();
  const listed = devices.map(({ path }) => path).sort();
  ensure(listed.join() === [single, multi, webcam].sort().join(), `/api/devices lists ${listed}`);
  const format = devices.find(({ path }) => path === webcam).formats.find((one) => one.format === "mjpeg");
  const size = format?.sizes.find(({ width, height }) => width === 1280 && height === 720);
  ensure(size?.fps.includes(30), `/api/devices reports for the webcam: ${JSON.stringify(format)}`);

  const sources = devices.map(({ source }) => source);
  const commands = commandsIn(printed);
  ensure(commands.length === devices.length, `framecast devices prints ${commands.length} commands:\n${printed}`);
  ensure(new Set(sources).size === devices.length, `two devices have the same source: ${sources}`);
  const webcamSource = devices.find(({ path }) => path === webcam).source;
  ensure(!webcamSource.includes("/dev/video"), `the webcam's source is not stable: ${webcamSource}`);
  await framecast.stop();

  // Cameras without a name are called camera, camera2, and so on.
  const pasted = await stage.guestFramecast(commands.join(" "));
  const names = commands.map((_, n) => (n === 0 ? "camera" : `camera${n + 1}`));
  const paths = [];
  for (const [n, name] of names.entries()) {
    const { status } = await snapshot(pasted, name);
    const { reason, capture } = await pasted.camera(name);
    ensure(status === 200, `${commands[n]} does not work: ${reason}`);
    const [, shown] = capture.device.match(/\((.*)\)$/) ?? [];
    paths.push((await vm.exec(`readlink -f '${shown}'`)).trim());
  }
  ensure(paths.sort().join() === listed.join(), `the commands show the devices ${paths}`);
  return commands.join(" ");
}

export const checks = [{ name: "vm-devices", run: listDevices }];
