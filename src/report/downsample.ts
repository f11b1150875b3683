/** @file Fewer points of a curve that show the same, and a smoother one. */

/** Points of a curve in the order of x. Gaps are null. */
export interface Points {
  readonly x: readonly number[]
  readonly y: readonly (number | null)[]
}

/**
 * At most `most` points: of each stretch of the curve the lowest and the highest, so that no spike is lost, and the
 * first and the last of all. A gap stays one.
 */
export function downsample({ x, y }: Points, most: number): Points {
  if (x.length <= most) return { x, y }
  // Two points of each stretch, and three where it has a gap; the ends are two more.
  const stretches = Math.max(1, Math.floor((most - 2) / 3))
  const kept = new Set([0, x.length - 1])
  for (let stretch = 0; stretch < stretches; stretch++) {
    const start = Math.floor((stretch * x.length) / stretches)
    const end = Math.floor(((stretch + 1) * x.length) / stretches)
    let low = -1
    let high = -1
    let gap = -1
    for (let at = start; at < end; at++) {
      const value = y[at] ?? null
      if (value === null) gap = gap === -1 ? at : gap
      else {
        if (low === -1 || value < (y[low] as number)) low = at
        if (high === -1 || value > (y[high] as number)) high = at
      }
    }
    for (const at of [low, high, gap]) if (at !== -1) kept.add(at)
  }
  const order = [...kept].sort((a, b) => a - b)
  return { x: order.map((at) => x[at] as number), y: order.map((at) => y[at] ?? null) }
}

/** Fewer points than this have no noise to smooth. */
const LEAST_POINTS = 20

/** Whether smoothing a curve of so many points shows anything. */
export function canSmooth({ y }: Points): boolean {
  return y.length >= LEAST_POINTS
}

/**
 * The exponential moving average, without the pull of its first value to 0, as in TensorBoard. Its reach grows with
 * the number of points: about a fortieth of them.
 */
export function smooth({ x, y }: Points): Points {
  const weight = Math.min(0.99, Math.max(0.6, 1 - 40 / Math.max(1, y.length)))
  let sum = 0
  let share = 0
  const smoothed = y.map((value) => {
    if (value === null) return null
    sum = weight * sum + (1 - weight) * value
    share = weight * share + (1 - weight)
    return sum / share
  })
  return { x, y: smoothed }
}
