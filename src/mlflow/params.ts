/** @file The options of a run as params of MLflow: one text by one dotted name. */

import { isPlainObject } from '../values.js'
import { type CutValue, cutText, keyOf, LONGEST_PARAM } from './limits.js'

export interface Params {
  readonly params: Readonly<Record<string, string>>
  /** Those that are longer than MLflow keeps. */
  readonly cut: readonly CutValue[]
}

/** `{ lora: { r: 8 } }` becomes `lora.r` = `8`; lists are JSON, and what is null is not there. */
export function paramsOf(options: Readonly<Record<string, unknown>>): Params {
  const params: Record<string, string> = {}
  const cut: CutValue[] = []
  const add = (path: string, value: unknown): void => {
    if (value === undefined || value === null) return
    if (isPlainObject(value) && Object.keys(value).length > 0) {
      for (const [name, inner] of Object.entries(value)) add(path === '' ? name : `${path}.${name}`, inner)
      return
    }
    const key = keyOf(path)
    const whole = typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value))
    // An empty text is no param to a server of MLflow.
    if (whole === '') return
    params[key] = cutText(whole, LONGEST_PARAM)
    if (whole.length > LONGEST_PARAM) cut.push({ key, whole })
  }
  add('', options)
  return { params, cut }
}
