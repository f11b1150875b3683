/** @file Which modules an adapter changes: PEFT's rules for `target_modules`. Knows paths and kinds, not the modules themselves. */

import { describeValue, listNames, nearestName } from '../errors.js'
import { fullMatches } from './python-regex.js'

/** A module that could have an adapter. `head` is the output head, also where it shares its weight with the embedding. */
export interface TargetableModule {
  path: string
  kind: 'linear' | 'conv1d' | 'embedding' | 'head'
}

/** Stands for every linear layer but the output head. */
export const ALL_LINEAR = 'all-linear'

/**
 * The paths of the modules that `target` means, in the order of `modules`.
 * @param target names that are a path or its dotted end; a regular expression for whole paths (Python's, as in PEFT); 'all-linear'
 * @param modulesToSave names of modules that are trained in full: they and what is inside them never match
 * @throws when nothing matches, a name of the list matches nothing, or an embedding matches, naming the nearest module
 */
export function matchTargetModules(
  target: readonly string[] | string,
  modules: readonly TargetableModule[],
  modulesToSave: readonly string[] = [],
): string[] {
  const where = 'targetModules'
  const candidates = modules.filter(({ path }) => !modulesToSave.some((name) => isInside(path, name)))
  let matched: TargetableModule[]
  if (typeof target !== 'string') {
    const unused = target.find((name) => !modules.some(({ path }) => isNamed(path, name)))
    if (unused !== undefined) throw noMatch(where, unused, modules)
    matched = candidates.filter(({ path }) => target.some((name) => isNamed(path, name)))
  } else if (target === ALL_LINEAR) {
    matched = candidates.filter(({ kind }) => kind === 'linear' || kind === 'conv1d')
  } else {
    const paths = candidates.map(({ path }) => path)
    const found = new Set(fullMatches(where, target, paths))
    if (found.size === 0) throw noMatch(where, target, modules)
    matched = candidates.filter(({ path }) => found.has(path))
  }
  if (matched.length === 0) {
    throw new Error(
      `[${where}] every module that ${describeValue(target)} matches is in modulesToSave (${listNames(modulesToSave)}); ` +
        'name other modules',
    )
  }
  const embedding = matched.find(({ kind }) => kind === 'embedding')
  if (embedding !== undefined) {
    throw new Error(
      `[${where}] LoRA on the embedding ${embedding.path} is not supported yet; leave it out, or train it in full with modulesToSave`,
    )
  }
  return matched.map(({ path }) => path)
}

/**
 * A short list of names that means exactly the modules at `matched`: what adapter_config.json holds in place of 'all-linear', since
 * not every loader knows that word.
 */
export function targetNames(
  matched: readonly string[],
  modules: readonly TargetableModule[],
  modulesToSave: readonly string[] = [],
): string[] {
  const wanted = new Set(matched)
  const others = modules.filter(({ path }) => !wanted.has(path) && !modulesToSave.some((name) => isInside(path, name)))
  const names = new Set<string>()
  for (const path of matched) {
    const parts = path.split('.')
    let name = ''
    // The shortest dotted end that no other module shares.
    for (let from = parts.length - 1; from >= 0; from--) {
      name = parts.slice(from).join('.')
      const end = name
      if (!others.some((other) => isNamed(other.path, end))) break
    }
    names.add(name)
  }
  return [...names].sort()
}

function isNamed(path: string, name: string): boolean {
  return path === name || path.endsWith(`.${name}`)
}

/** Whether the module at `path` is one that `name` means, or is inside it. */
function isInside(path: string, name: string): boolean {
  return `.${path}.`.includes(`.${name}.`)
}

function noMatch(where: string, name: string, modules: readonly TargetableModule[]): Error {
  const suffixes = [...new Set(modules.map(({ path }) => path.slice(path.lastIndexOf('.') + 1)))].sort()
  const last = name.slice(name.lastIndexOf('.') + 1)
  const nearest = nearestName(last, suffixes)
  const hint = nearest === undefined || nearest === last ? '' : ` did you mean "${nearest}"?`
  return new Error(
    `[${where}] ${describeValue(name)} matches no module of this model;${hint} it has: ${listNames(suffixes, suffixes.length)}`,
  )
}
