// The choice to show lost cameras first. The browser remembers it.

const KEY = "framecast-lost-first";

/** Whether the browser remembers the choice; a browser that stores nothing for this site does not. */
function remembered() {
  try {
    return localStorage.getItem(KEY) === "1";
  } catch {
    return false;
  }
}

function remember(isChosen) {
  try {
    if (isChosen) localStorage.setItem(KEY, "1");
    else localStorage.removeItem(KEY);
  } catch {
    // The choice lasts as long as the page.
  }
}

export class LostFirst {
  #button;
  #isChosen = remembered();

  /** `button` is a toggle; `onChange` is called after each click. */
  constructor(button, onChange) {
    this.#button = button;
    this.#show();
    button.onclick = () => {
      this.#isChosen = !this.#isChosen;
      remember(this.#isChosen);
      this.#show();
      onChange();
    };
  }

  /** Offers the choice if there is more than one camera. */
  setOffered(isOffered) {
    this.#button.hidden = !isOffered;
  }

  /** `cameras` in the order in which the page shows them. */
  order(cameras) {
    if (!this.#isChosen) return cameras;
    const isLost = (camera) => camera.state === "lost";
    return [...cameras.filter(isLost), ...cameras.filter((camera) => !isLost(camera))];
  }

  #show() {
    this.#button.setAttribute("aria-pressed", String(this.#isChosen));
  }
}
