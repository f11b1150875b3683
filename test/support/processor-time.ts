/** @file Time that a busy machine does not stretch: what this process spent on a processor. */

/** Milliseconds of processor time, of all threads of this process, since the returned function was made. */
export function processorTime(): () => number {
  const begin = process.cpuUsage()
  return () => {
    const { user, system } = process.cpuUsage(begin)
    return (user + system) / 1000
  }
}
