/** @file How figures and emphasis look on a terminal. Colours only where someone looks and has not refused them. */

/** The part of a stream that output needs. */
export interface Output {
  readonly isTTY?: boolean
  /** Width of the terminal. */
  readonly columns?: number
  /** Width and height of the terminal. */
  getWindowSize?(): readonly [columns: number, rows: number]
  /** Bytes that nobody has read yet. */
  readonly writableLength?: number
  write(text: string): unknown
  on?(event: 'resize', listener: () => void): unknown
  removeListener?(event: 'resize', listener: () => void): unknown
}

/**
 * Whether to write colours to the stream: to a terminal, unless NO_COLOR (https://no-color.org) or TERM=dumb says no.
 * FORCE_COLOR, which is asked first, says so for everything: 0 and false no, 1, 2, 3, true and nothing yes.
 */
export function hasColors(stream: Output, env: NodeJS.ProcessEnv = process.env): boolean {
  const { FORCE_COLOR: force } = env
  if (force !== undefined) return ['', '1', '2', '3', 'true'].includes(force)
  return !env.NO_COLOR && isScreen(stream, env)
}

/** Whether the stream is a terminal that erases lines when asked. */
export function isScreen(stream: Output, env: NodeJS.ProcessEnv = process.env): boolean {
  return stream.isTTY === true && env.TERM !== 'dumb'
}

const CODES = { red: 31, green: 32, yellow: 33, cyan: 36, bold: 1, dim: 2 } as const

export type Style = keyof typeof CODES

/** Wraps text in a colour where the stream shows colours. */
export type Paint = (style: Style, text: string) => string

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

/** `1 row`, `1,638 rows`. */
export function countOfRows(count: number): string {
  return `${formatCount(count)} ${count === 1 ? 'row' : 'rows'}`
}

/**
 * Four digits behind the point, or few digits and an exponent where that would be long or all zeros; `-` for what is no
 * number.
 */
export function formatFigure(value: number): string {
  if (!Number.isFinite(value)) return '-'
  const size = Math.abs(value)
  return value === 0 || (size >= 0.001 && size < 1000) ? value.toFixed(4) : value.toExponential(2)
}
