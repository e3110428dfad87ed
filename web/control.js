// One control of a camera's device on the page: its label, its input, its reset button and its error. `controls.js`
// tells it the device's values, and sends what a person sets here.

import { Problem } from "./problem.js";
import { make, setText } from "./tile.js";
import { visible } from "./format.js";

const INACTIVE = "Cannot be set now: another control or the stream locks it.";

let made = 0;

/** Whether a slider can set it: JavaScript's numbers are exact up to 2^53, the kernel's up to 2^63. */
function isSlider({ type, min, max }) {
  return type === "integer" && Number.isSafeInteger(min) && Number.isSafeInteger(max);
}

/** The properties that decide which input a control needs; its value is not among them. */
export function shapeOf(control) {
  const { value, inactive, kept, ...shape } = control;
  return JSON.stringify(shape);
}

export class ControlRow {
  #control;
  #onSet;
  #input = null;
  #output = null;
  #reset = null;
  #hint = make("p", "hint");
  #problem = new Problem();
  /** Whether a finger or pointer holds the slider, or someone is typing. */
  #isHeld = false;

  /** `onSet(value)`: a person has set the control; `null` for the default. */
  constructor(control, onSet) {
    this.#control = control;
    this.#onSet = onSet;
    this.element = make("div", "control");
    const id = `control-${(made += 1)}`;
    this.#hint.id = `${id}-hint`;
    this.#problem.element.id = `${id}-problem`;
    this.#build(id);
    this.element.append(this.#hint, this.#problem.element);
    this.update(control);
  }

  #build(id) {
    const { name, type, read_only: isReadOnly } = this.#control;
    this.element.dataset.type = type;
    if (isReadOnly) {
      this.#output = make("output", "value");
      this.element.append(make("span", "label", name), this.#output);
      return;
    }
    this.#input = this.#makeInput();
    this.#input.id = id;
    this.#input.dataset.control = this.#control.id;
    this.#input.setAttribute("aria-describedby", `${this.#hint.id} ${this.#problem.element.id}`);
    if (type === "button") {
      this.element.append(this.#input);
      return;
    }
    const label = make("label", "label", name);
    label.htmlFor = id;
    this.element.append(label);
    if (isSlider(this.#control)) {
      this.#output = make("output", "value");
      this.#output.htmlFor = id;
      this.element.append(this.#output);
    }
    // In Tab order: the reset follows the input that it resets, wherever it is displayed.
    this.element.append(this.#input, this.#makeReset());
  }

  #makeInput() {
    const { type, name, min, max, step, menu } = this.#control;
    const commit = (value) => this.#commit(value);
    switch (isSlider(this.#control) ? "slider" : type) {
      case "slider": {
        const input = Object.assign(make("input", ""), { type: "range", min, max, step });
        input.oninput = () => {
          setText(this.#output, input.value);
          commit(input.valueAsNumber);
        };
        input.onpointerdown = () => (this.#isHeld = true);
        input.onpointerup = input.onpointercancel = () => (this.#isHeld = false);
        return input;
      }
      case "boolean": {
        const input = Object.assign(make("input", ""), { type: "checkbox" });
        input.onchange = () => commit(input.checked);
        return input;
      }
      case "menu": {
        const options = menu.map((entry) => Object.assign(make("option", "", entry.name), { value: entry.value }));
        const select = make("select", "", ...options);
        select.onchange = () => commit(Number(select.value));
        return select;
      }
      case "button": {
        const button = Object.assign(make("button", "button small", name), { type: "button" });
        button.onclick = () => commit(true);
        return button;
      }
      default: {
        const input = Object.assign(make("input", "text"), { type: "text", spellcheck: false });
        input.oninput = () => (this.#isHeld = true);
        input.onchange = () => {
          this.#isHeld = false;
          // A bitmask may be written as 0x1F too. Text that is no number is sent unchanged, and the answer says what is
          // expected.
          const number = Number(input.value);
          const isNumber = type !== "text" && input.value.trim() !== "" && Number.isSafeInteger(number);
          commit(isNumber ? number : input.value);
        };
        return input;
      }
    }
  }

  #makeReset() {
    const { name, default: initial } = this.#control;
    this.#reset = make("button", "reset", "Reset", make("span", "visually-hidden", ` ${name}`));
    this.#reset.type = "button";
    this.#reset.title = visible(`Reset to ${valueText(this.#control, initial)}`);
    this.#reset.onclick = () => {
      // The button disappears once the default is reached; the focus of a keyboard user stays on this control.
      this.#input.focus();
      this.#commit(null);
    };
    return this.#reset;
  }

  #commit(value) {
    this.#problem.clear();
    this.#onSet(value);
  }

  /** Shows the device's value. `isPending`: a value set here is still on its way, and stays displayed. */
  update(control, isPending = false) {
    this.#control = control;
    this.#problem.settle();
    if (this.#output && (!this.#input || !(isPending || this.#isHeld))) setText(this.#output, valueText(control, control.value));
    if (!this.#input) return;
    this.#input.disabled = control.inactive;
    setText(this.#hint, [control.inactive ? INACTIVE : "", differsFromSaved(control) ? returning(control) : ""].join(" ").trim());
    if (this.#reset) this.#reset.disabled = !canReset(control);
    if (!isPending && !this.#isHeld) this.#show(control.value);
  }

  #show(value) {
    const { type } = this.#control;
    if (type === "boolean") this.#input.checked = value === true || value === 1;
    else if (type === "bitmask") this.#input.value = valueText(this.#control, value);
    else if (type !== "button") this.#input.value = value ?? "";
  }

  /** Shows why it could not be set. */
  fail({ message, isPassing }) {
    this.#problem.say(message, isPassing);
  }

  /** Removes the error after a success. */
  succeed() {
    this.#problem.clear();
  }
}

/** The display text of a control's value. */
function valueText({ type, menu }, value) {
  if (value === null || value === undefined) return "";
  if (type === "boolean") return value === true || value === 1 ? "on" : "off";
  if (type === "menu") return menu.find((entry) => entry.value === value)?.name ?? String(value);
  if (type === "bitmask") return `0x${value.toString(16)}`;
  return String(value);
}

/** The display text of its saved value. */
const savedText = (control) => valueText(control, control.kept ?? control.default);
const returning = (control) => `The saved value is ${savedText(control)}. The server sets it again at its next start.`;

function differsFromSaved(control) {
  return control.kept !== undefined && savedText(control) !== valueText(control, control.value);
}

/** Whether a reset would change anything; with `isKept`, also the saved value. */
export function canReset(control, isKept = false) {
  const { default: initial, value, read_only: isReadOnly, inactive } = control;
  return !isReadOnly && !inactive && initial !== null && (value !== initial || (isKept && differsFromSaved(control)));
}
