/** @file How figures and emphasis look on a terminal. Colours only where someone looks and has not refused them. */

/** The part of a stream that output needs. */
export interface Output {
  readonly isTTY?: boolean
  write(text: string): unknown
}

/** Whether the stream is a terminal that shows colours (https://no-color.org). */
export function hasColors(stream: Output, env: NodeJS.ProcessEnv = process.env): boolean {
  return stream.isTTY === true && !env.NO_COLOR && env.TERM !== 'dumb'
}

const CODES = { red: 31, green: 32, yellow: 33, cyan: 36, bold: 1, dim: 2 } as const

/** Wraps text in a colour where the stream shows colours. */
export type Paint = (style: keyof typeof CODES, text: string) => string

export function paintFor(stream: Output, env?: NodeJS.ProcessEnv): Paint {
  return hasColors(stream, env) ? (style, text) => `\u001b[${CODES[style]}m${text}\u001b[0m` : (_, text) => text
}

/** `45 s`, `3 min 05 s`, `2 h 07 min`. */
export function formatDuration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '?'
  const whole = Math.max(0, Math.round(seconds))
  if (whole < 60) return `${whole} s`
  const minutes = Math.floor(whole / 60)
  if (minutes < 60) return `${minutes} min ${String(whole % 60).padStart(2, '0')} s`
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`
}

/** 'on', 'off', or the name of what is on. */
export function describeSwitch(setting: boolean | string): string {
  if (typeof setting === 'string') return setting
  return setting ? 'on' : 'off'
}

/** `1,234,567`. */
export function formatCount(count: number): string {
  return Math.round(count)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ',')
}
