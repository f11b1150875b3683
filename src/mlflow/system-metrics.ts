/** @file What a process takes of its machine, by MLflow's names for system metrics. */

import { freemem, totalmem } from 'node:os'

const MEGABYTE = 1e6

/** Samples of the machine, at least `interval` seconds apart. */
export interface SystemMetrics {
  /** Figures since the last sample by name; undefined where that is not long ago. */
  sample(now?: number): Readonly<Record<string, number>> | undefined
}

/** @param interval seconds */
export function createSystemMetrics(interval: number): SystemMetrics {
  let last: number | undefined
  let usage = process.cpuUsage()
  return {
    sample(now = performance.now()) {
      if (last !== undefined && now - last < 1000 * interval) return undefined
      const since = process.cpuUsage(usage)
      const elapsed = last === undefined ? undefined : now - last
      usage = process.cpuUsage()
      last = now
      const total = totalmem()
      const used = total - freemem()
      const busy = (since.user + since.system) / 1000
      return {
        'system/system_memory_usage_megabytes': rounded(used / MEGABYTE),
        'system/system_memory_usage_percentage': rounded((100 * used) / total),
        'system/process_memory_usage_megabytes': rounded(process.memoryUsage.rss() / MEGABYTE),
        'system/process_cpu_time_seconds': rounded(process.cpuUsage().user / 1e6 + process.cpuUsage().system / 1e6),
        ...(elapsed !== undefined &&
          elapsed > 0 && { 'system/process_cpu_utilization_percentage': rounded((100 * busy) / elapsed) }),
      }
    },
  }
}

function rounded(value: number): number {
  return Math.round(10 * value) / 10
}
