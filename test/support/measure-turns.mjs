// @ts-check
/** @file The turns of the event loop while some work goes on, in milliseconds of this thread's processor time. */

import { readFileSync } from 'node:fs'
import { PerformanceObserver } from 'node:perf_hooks'

/** No turn may take longer. */
export const LIMIT = 20

/** Milliseconds of processor time of this thread. */
export const processorTime = () => Number(readFileSync('/proc/thread-self/schedstat', 'utf8').split(' ')[0]) / 1e6

/** Pauses of the collector of garbage. @type {{ startTime: number, duration: number }[]} */
const collections = []
new PerformanceObserver((list) => collections.push(...list.getEntries())).observe({ entryTypes: ['gc'] })

/** The processor time of a turn; of a long one without the pauses of the collector that fell into it. */
const workOf = (/** @type {{ cost: number, begin: number, end: number }} */ { cost, begin, end }) => {
  if (cost < LIMIT) return cost
  const within = collections.filter(({ startTime }) => startTime >= begin && startTime < end)
  return cost - within.reduce((sum, { duration }) => sum + duration, 0)
}

/**
 * The longest turn, turns that were too long with their pauses, the number of turns, and what the work gave.
 * @template T @param {() => Promise<T>} work
 */
export async function measureTurns(work) {
  /** @type {{ cost: number, begin: number, end: number }[]} */
  const all = []
  let running = true
  let last = processorTime()
  let begin = performance.now()
  const turn = () => {
    const now = processorTime()
    const end = performance.now()
    all.push({ cost: now - last, begin, end })
    last = now
    begin = end
    if (running) setImmediate(turn)
  }
  setImmediate(turn)
  const given = await work()
  running = false
  // The collector's pauses are told of a turn later.
  await new Promise((resolve) => setTimeout(resolve, 1))
  const longest = Math.max(...all.map(workOf))
  return { longest, collected: all.filter(({ cost }) => cost >= LIMIT).length, turns: all.length, given }
}
