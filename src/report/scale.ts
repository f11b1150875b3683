/** @file Where values lie on an axis, and which of them are written beside it. */

/** An axis from 0 at `low` to 1 at `high`. */
export interface Scale {
  readonly kind: 'linear' | 'log'
  readonly low: number
  readonly high: number
  place(value: number): number
}

/** The axis of some values, with a little room around them. Those of a logarithmic one are above 0. */
export function scaleOf(values: readonly number[], kind: 'linear' | 'log'): Scale {
  const turned = kind === 'log' ? Math.log10 : (value: number) => value
  let low = Number.POSITIVE_INFINITY
  let high = Number.NEGATIVE_INFINITY
  for (const value of values) {
    low = Math.min(low, turned(value))
    high = Math.max(high, turned(value))
  }
  // One value alone, or values that differ by rounding only, lie in the middle.
  const size = Math.max(Math.abs(low), Math.abs(high), 1e-300)
  const room = high - low > size * 1e-9 ? (high - low) * 0.06 : kind === 'log' ? 0.1 : size * 0.1
  const isBelow = kind === 'linear' && low >= 0 && low - room < 0
  const from = isBelow ? 0 : low - room
  const to = high + room
  const back = kind === 'log' ? (value: number) => 10 ** value : (value: number) => value
  return { kind, low: back(from), high: back(to), place: (value) => (turned(value) - from) / (to - from) }
}

/** About five round numbers in a range. */
export function linearTicks(low: number, high: number): readonly number[] {
  if (!(high > low)) return [low]
  const rough = (high - low) / 5
  const power = 10 ** Math.floor(Math.log10(rough))
  const step = ([1, 2, 5, 10].find((factor) => factor * power >= rough) ?? 10) * power
  const ticks: number[] = []
  for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at++)
    ticks.push(Number((at * step).toPrecision(12)))
  return ticks
}

/** Powers of ten in a range, with 2 and 5 between them where it is short; round numbers where it holds few of these. */
export function logTicks(low: number, high: number): readonly number[] {
  const decades = Math.log10(high / low)
  const factors = decades > 3 ? [1] : [1, 2, 5]
  const stride = Math.max(1, Math.ceil(decades / 8))
  const ticks: number[] = []
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
    if (power % stride !== 0) continue
    for (const factor of factors) {
      const tick = Number((factor * 10 ** power).toPrecision(12))
      if (tick >= low && tick <= high) ticks.push(tick)
    }
  }
  return ticks.length >= 3 ? ticks : linearTicks(low, high).filter((tick) => tick > 0)
}
