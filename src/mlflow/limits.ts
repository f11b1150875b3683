/** @file MLflow's limits, and how values are made to keep them. */

/** Items of one request of log-batch. It may have 1,000 of all kinds together: each kind has requests of its own. */
export const MOST_METRICS = 1000
export const MOST_PARAMS = 100
export const MOST_TAGS = 100
/** Bytes of one request, with room for what surrounds the list. */
export const MOST_BYTES = 1_000_000 - 1000
/** Characters; longer ones are cut by the server without a word. */
export const LONGEST_PARAM = 6000
export const LONGEST_TAG = 8000
const LONGEST_KEY = 250
/** Characters of a data set's digest and name. */
export const LONGEST_DIGEST = 36
export const LONGEST_NAME = 500
/** Data sets of one call, on Databricks. */
export const MOST_DATASETS = 10

/** A value that was too long. */
export interface CutValue {
  readonly key: string
  readonly whole: string
}

/** A text of at most `longest` characters that says how long it was where it is cut. */
export function cutText(text: string, longest: number): string {
  if (text.length <= longest) return text
  const mark = `... (cut, ${text.length} characters)`
  return text.slice(0, longest - mark.length) + mark
}

/** A key as MLflow takes it: letters, digits, _ - . / : and blanks. */
export function keyOf(name: string): string {
  return name.replace(/[^\w\-./: ]/g, '_').slice(0, LONGEST_KEY)
}

/** A number as JSON can hold it. */
export function jsonNumber(value: number): number | string {
  if (Number.isFinite(value)) return value
  return Number.isNaN(value) ? 'NaN' : value > 0 ? 'Infinity' : '-Infinity'
}
