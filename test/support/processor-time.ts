/** @file Time that a busy machine does not stretch: what this process spent on a processor. */

/** Milliseconds of processor time, of all threads of this process, since the returned function was made. */
export function processorTime(): () => number {
  const begin = process.cpuUsage()
  return () => {
    const { user, system } = process.cpuUsage(begin)
    return (user + system) / 1000
  }
}

/**
 * The least milliseconds of processor time `work` took: it runs again, four times at most, until it takes less than
 * `most`. Other programs share the caches of a machine: they can only lengthen a run.
 */
export async function leastProcessorTime(most: number, work: () => void | Promise<void>): Promise<number> {
  let least = Infinity
  for (let run = 0; run < 4 && least >= most; run++) {
    const elapsed = processorTime()
    await work()
    least = Math.min(least, elapsed())
  }
  return least
}
