/** @file Amounts of memory as people write them. */

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB']

/** Bytes in the largest binary unit that keeps the figure above 1. */
export function formatBytes(bytes: number): string {
  let value = bytes
  let unit = 0
  while (value >= 1024 && unit < UNITS.length - 1) {
    value /= 1024
    unit++
  }
  return `${unit === 0 ? value : value.toFixed(1)} ${UNITS[unit]}`
}

/** The bytes of `8GiB`, `7.5 GB`, `500M` (= MiB) or a plain number; undefined for other text. */
export function parseBytes(text: string): number | undefined {
  const [, digits, prefix = '', rest = ''] = /^\s*(\d+(?:\.\d+)?)\s*([kmgt])?(i?b)?\s*$/i.exec(text) ?? []
  if (digits === undefined || (prefix === '' && rest.length > 1)) return undefined
  const base = rest.toLowerCase() === 'b' ? 1000 : 1024
  return Math.round(Number(digits) * base ** ' kmgt'.indexOf(prefix.toLowerCase() || ' '))
}
