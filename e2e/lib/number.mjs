// The number of a frame, in a strip at the lower edge of the picture: a white and a black cell, 24 bits from the
// highest on, a black and a white cell. Framecast's test pattern has such a strip too.

import { luma, meanColour } from "./colour.mjs";

export const CELLS = 28;
const BITS = 24;
// Where the strip is read, above the lower edge.
export const STRIP = { top: 20, bottom: 10 };

/** The number that the brightness of the cells means, `whites` from the left; null if the strip is not whole. */
export function numberOf(whites) {
  const [white, black, ...bits] = whites;
  const [otherBlack, otherWhite] = bits.splice(BITS);
  if (!white || black || otherBlack || !otherWhite) return null;
  return bits.reduce((number, bit) => 2 * number + Number(bit), 0);
}

/** The number of the frame in `picture`, which is decoded; null if the strip is not whole. */
export function frameNumber(picture) {
  const { width, height } = picture;
  const edge = (cell) => Math.floor((cell * width) / CELLS);
  const isWhite = (_, cell) => {
    const middle = { left: edge(cell) + 4, right: edge(cell + 1) - 4, top: height - STRIP.top, bottom: height - STRIP.bottom };
    return luma(meanColour(picture, middle)) > 128;
  };
  return numberOf(Array.from({ length: CELLS }, isWhite));
}

/** A filter of ffmpeg that draws the strip into pictures of `width`x`height`. */
export function stripFilter({ width, height }) {
  const box = (cell, colour, when = "1") => {
    const [left, right] = [cell, cell + 1].map((edge) => Math.floor((edge * width) / CELLS));
    return `drawbox=x=${left}:y=${height - 30}:w=${right - left}:h=30:t=fill:color=${colour}:enable='${when}'`;
  };
  const frame = [box(0, "white"), box(1, "black"), box(CELLS - 2, "black"), box(CELLS - 1, "white")];
  const bits = Array.from({ length: BITS }, (_, bit) => {
    const cell = bit + 2;
    const weight = 2 ** (BITS - 1 - bit);
    return [box(cell, "black"), box(cell, "white", `mod(floor(n/${weight}),2)`)];
  });
  return [...frame, ...bits.flat()].join(",");
}
