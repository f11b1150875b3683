/**
 * @file Whether weights hold numbers. A step whose loss and gradient are finite can still leave weights that are not.
 */

import type { Parameter } from '../autograd/parameter.js'
import { Turns } from '../turns.js'

/** Numbers looked at without a pause. */
const SLICE = 1 << 18

/** A number that is none. */
export interface BadWeight {
  readonly name: string
  readonly value: number
  readonly index: number
}

/**
 * The first NaN or infinity in the parameters that can be read; undefined where there is none. Codes of NF4 are always
 * numbers.
 */
export async function firstBadWeight(
  parameters: Iterable<readonly [string, Parameter]>,
): Promise<BadWeight | undefined> {
  const turns = new Turns()
  for (const [name, parameter] of parameters) {
    if (parameter.nf4) continue
    const values = await parameter.read()
    for (let start = 0; start < values.length; start += SLICE) {
      const at = values.subarray(start, start + SLICE).findIndex((value) => !Number.isFinite(value))
      if (at >= 0) return { name, value: values[start + at] as number, index: start + at }
      if (turns.isOver) await turns.next()
    }
  }
  return undefined
}
