/**
 * @file How much of a proof to run. `npm test` runs a reduced series of every proof; `npm run test:long` sets
 * LOWRANK_TEST_LONG and runs all of it. CI lies between: it leaves out nothing that differs from machine to machine.
 */

/** Whether the full series of the proofs runs. */
export const isLong = process.env.LOWRANK_TEST_LONG === '1'

/** Whether every page and every instruction-set level is tried: in CI, and in the full series. */
export const isThorough = isLong || process.env.CI === 'true'

/** Cases of a series: `short` of them in `npm test`, `long` in `npm run test:long`. */
export function cases(short: number, long: number): number {
  return isLong ? long : short
}
