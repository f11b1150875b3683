/** @file How filters look into items: `attribute='a.b.0'`, and ignoring case. */

import { getItem } from './access.js'
import { parseInteger } from './numbers.js'
import type { Runtime } from './runtime.js'
import { CLASSES } from './unicode.js'
import { Markup, Undefined, type Value } from './values.js'

/** Strings in lower case, everything else as it is. */
export function ignoreCase(value: Value): Value {
  if (typeof value === 'string') return value.toLowerCase()
  return value instanceof Markup ? value.text.toLowerCase() : value
}

/** Looks up a dotted path; whole numbers in it are indices. Undefined parts become `absent` where that is given. */
export function attributeGetter(
  rt: Runtime,
  attribute: Value | undefined,
  options: { ignoreCase?: boolean; absent?: Value } = {},
): (item: Value) => Value {
  const parts = partsOf(attribute ?? null)
  return (item) => {
    let value = item
    for (const part of parts) {
      value = getItem(rt, value, part)
      if (options.absent !== undefined && options.absent !== null && value instanceof Undefined) value = options.absent
    }
    return options.ignoreCase ? ignoreCase(value) : value
  }
}

/** Looks up several paths, separated by commas: the key that `sort` compares. */
export function attributesGetter(rt: Runtime, attribute: Value | undefined, fold: boolean): (item: Value) => Value[] {
  const attributes: Value[] = typeof attribute === 'string' ? attribute.split(',') : [attribute ?? null]
  const getters = attributes.map((path) => attributeGetter(rt, path, { ignoreCase: fold }))
  return (item) => getters.map((get) => get(item))
}

function partsOf(attribute: Value): Value[] {
  if (attribute === null) return []
  if (typeof attribute !== 'string') return [attribute]
  return attribute.split('.').map((part) => (CLASSES.isdigit?.test(part) ? parseInteger(part, 10) : part))
}
