/** The same check, during which no other runs, because another one would distort its measurements. */
export const alone = (check) => ({ ...check, isAlone: true });
