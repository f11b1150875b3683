/** @file Binding the arguments of a call to the parameters of a function of Python. */

import { typeError, unsupported } from './errors.js'
import { type CallArguments, Markup, typeName, Undefined, type Value } from './values.js'

/**
 * Values in the order of `names`; undefined for those that were not given.
 *
 * @param names a trailing `?` marks a parameter that may be left out, a leading `/` one that has no name.
 * @throws TypeError for too many, unknown, doubled or missing arguments.
 */
export function bind(name: string, given: CallArguments, ...names: readonly string[]): (Value | undefined)[] {
  const { args, kwargs } = given
  if (args.length > names.length) {
    return typeError(`${name}() takes at most ${names.length} arguments (${args.length} given)`)
  }
  const values: (Value | undefined)[] = args.slice()
  let used = 0
  names.forEach((spec, index) => {
    const optional = spec.endsWith('?')
    const plain = spec.replace('/', '').replace('?', '')
    if (kwargs.size > 0 && !spec.startsWith('/') && kwargs.has(plain)) {
      if (index < args.length) typeError(`${name}() got multiple values for argument '${plain}'`)
      values[index] = kwargs.get(plain)
      used++
    }
    if (values[index] === undefined && !optional) typeError(`${name}() missing required argument '${plain}'`)
  })
  if (used < kwargs.size) typeError(`${name}() got an unexpected keyword argument`)
  return values
}

/** The text of an argument that has to be a str. @throws TypeError for other values */
export function plainText(value: Value): string {
  if (value instanceof Undefined) return value.fail()
  if (value instanceof Markup) return unsupported('this filter on escaped text')
  return typeof value === 'string' ? value : typeError(`expected str, got ${typeName(value)}`)
}
