/** @file How options are spelled: camelCase here, snake_case in Python, and older names. Knows no option. */

import type { OptionProblems } from './problems.js'

/** `num_train_epochs` as this library spells it; names in camelCase stay as they are. */
export function camelCase(name: string): string {
  return name.replace(/(?<=[a-zA-Z0-9])_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase())
}

/** `numTrainEpochs` as Python spells it. */
export function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)
}

/** How the caller spelled each option, so that messages show what was written. */
export type Spelling = ReadonlyMap<string, string>

/**
 * Keys as this library spells them. Values left undefined count as not given; an option that comes twice is a problem.
 * @param path of the options themselves: empty at the top
 */
export function camelCaseKeys(
  problems: OptionProblems,
  path: readonly string[],
  raw: object,
  oldNames: ReadonlyMap<string, string>,
): [Record<string, unknown>, Spelling] {
  const spelledBy = new Map<string, string>()
  const values = new Map<string, unknown>()
  for (const [key, value] of Object.entries(raw)) {
    if (value === undefined) continue
    const camel = camelCase(key)
    const name = oldNames.get(camel) ?? camel
    const earlier = spelledBy.get(name)
    if (earlier !== undefined) {
      const where = path.at(-1) ?? 'train'
      problems.add(
        [earlier, key].map((spelled) => [...path, spelled]),
        `[${where}] expected ${name} once, got it as ${earlier} and as ${key}; remove one`,
      )
      continue
    }
    spelledBy.set(name, key)
    values.set(name, value)
  }
  return [Object.fromEntries(values), spelledBy]
}
