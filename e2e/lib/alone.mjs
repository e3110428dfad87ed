/** The same check, during which no other runs: it measures, and another one would be in its figures. */
export const alone = (check) => ({ ...check, isAlone: true });
