/** @file How a report writes numbers, times and sizes. */

/** `1,234,567`. */
export function count(value: number): string {
  return Math.round(value)
    .toString()
    .replace(/\B(?=(\d{3})+$)/g, ',')
}

/** Four significant digits, with an exponent where that is shorter; a dash for what is no number. */
export function figure(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–'
  if (value === 0) return '0'
  const size = Math.abs(value)
  if (Number.isInteger(value) && size < 1e9) return value < 0 ? `-${count(size)}` : count(value)
  if (size >= 1e6 || size < 1e-3) return Number(value.toPrecision(3)).toExponential().replace('e+', 'e')
  return size >= 1000 ? count(value) : Number(value.toPrecision(4)).toString()
}

/** A score: as many digits as tell it from another. */
export function score(value: number | null | undefined): string {
  if (value === null || value === undefined || !Number.isFinite(value)) return '–'
  const size = Math.abs(value)
  return size >= 1e5 ? value.toExponential(2).replace('e+', 'e') : value.toFixed(size >= 1000 ? 0 : size >= 10 ? 2 : 4)
}

/** The same with a sign. */
export function difference(value: number | null | undefined): string {
  const text = score(value)
  return text === '–' ? text : text.startsWith('-') ? `−${text.slice(1)}` : `+${text}`
}

/** `p < 0.001`, `p = 0.042`. */
export function pValue(value: number | null): string {
  if (value === null || !Number.isFinite(value)) return ''
  return value < 0.001 ? 'p < 0.001' : `p = ${value.toFixed(3)}`
}

/** `45 s`, `3 min 05 s`, `2 h 07 min`. */
export function duration(seconds: number): string {
  if (!Number.isFinite(seconds)) return '–'
  if (seconds < 10) return `${Number(seconds.toPrecision(2))} s`
  const whole = Math.round(seconds)
  if (whole < 60) return `${whole} s`
  const minutes = Math.floor(whole / 60)
  if (minutes < 60) return `${minutes} min ${String(whole % 60).padStart(2, '0')} s`
  return `${Math.floor(minutes / 60)} h ${String(minutes % 60).padStart(2, '0')} min`
}

/** `2026-01-31 12:00 UTC`; what is no time stays as it is. */
export function time(text: string): string {
  const date = new Date(text)
  return Number.isNaN(date.getTime()) ? text : `${date.toISOString().slice(0, 16).replace('T', ' ')} UTC`
}
