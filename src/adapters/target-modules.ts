/** @file Which modules an adapter changes, by PEFT's rules. Knows paths and kinds, not the modules themselves. */

import { describeValue, listNames, nearestName } from '../errors.js'
import { OptionError } from '../lowrank-error.js'
import { MERGE_IN_PEFT } from './peft-names.js'
import { endMatches, fullMatches, numbersBehind } from './python-regex.js'

/**
 * A module that could have an adapter. `head` is the output head, also where it shares its weight with the embedding.
 */
export interface TargetableModule {
  path: string
  kind: 'linear' | 'conv1d' | 'embedding' | 'head'
}

/** Names that are a path or its dotted end, or a regular expression for whole paths (Python's, as in PEFT). */
type ModuleNames = readonly string[] | string

/** What narrows the target modules down; see LoraConfig. */
export interface TargetLimits {
  excludeModules?: ModuleNames
  layersToTransform?: number | readonly number[] | null
  layersPattern?: string | readonly string[] | null
  /** They and what is inside them never match. */
  modulesToSave?: readonly string[]
}

/** Stands for every linear layer but the output head. */
export const ALL_LINEAR = 'all-linear'

/**
 * The paths of the modules that `target` means within the limits, in the order of `modules`.
 * @param target names, a regular expression, or 'all-linear'
 * @param onUnmatched takes the names of a list that match nothing; without it they are an error.
 * @throws when nothing is left, a name of the list matches nothing, or an embedding matches, naming the nearest module
 */
export function matchTargetModules(
  target: ModuleNames,
  modules: readonly TargetableModule[],
  limits: TargetLimits = {},
  onUnmatched?: (names: readonly string[]) => void,
): string[] {
  const { excludeModules = [], layersToTransform, layersPattern, modulesToSave = [] } = limits
  const unmatched = typeof target === 'string' ? [] : unmatchedNames(target, modules)
  const named = targeted(target, modules)
  if (named.length === 0 || (unmatched.length > 0 && !onUnmatched))
    throw noMatch('targetModules', unmatched[0] ?? String(target), modules)
  if (unmatched.length > 0) onUnmatched?.(unmatched)
  const inLayers = withinLayers(target, named, limits)
  if (inLayers.length === 0) {
    const behind = layersPattern ? ` behind ${describeValue(layersPattern)}` : ''
    throw new OptionError(
      `[layersToTransform] ${describeValue(target)} matches no module in ${describeValue(layersToTransform)}${behind}; ${describeLayers(named, limits)}`,
    )
  }
  const excluded = selected('excludeModules', excludeModules, inLayers)
  const remaining = inLayers.filter((module) => !excluded.has(module))
  const saved = new Set(modulesToSave)
  const matched = remaining.filter(({ path }) => !isInsideOne(path, saved))
  if (matched.length === 0) {
    const [where, reason] =
      remaining.length === 0
        ? ['excludeModules', `excluded by ${describeValue(excludeModules)}; exclude fewer`]
        : ['targetModules', `in modulesToSave (${listNames(modulesToSave)}); name other modules`]
    throw new OptionError(`[${where}] every module that ${describeValue(target)} matches is ${reason}`)
  }
  const embedding = matched.find(({ kind }) => kind === 'embedding')
  if (embedding !== undefined) {
    const remedy = onUnmatched ? MERGE_IN_PEFT : 'leave it out, or train it in full with modulesToSave'
    throw new OptionError(`[targetModules] LoRA on the embedding ${embedding.path} is not supported yet; ${remedy}`)
  }
  return matched.map(({ path }) => path)
}

/**
 * Looks for limits that do nothing. PEFT ignores them or warns, and files may have them; in options they are mistakes.
 * @throws on a name or expression of `excludeModules` that matches nothing, and on a layer that the model does not have
 */
export function checkTargetLimits(
  target: ModuleNames,
  modules: readonly TargetableModule[],
  { excludeModules = [], layersToTransform, layersPattern }: TargetLimits,
): void {
  const [idle] =
    typeof excludeModules === 'string'
      ? [excludeModules].filter((expression) => selected('excludeModules', expression, modules).size === 0)
      : unmatchedNames(excludeModules, modules)
  if (idle !== undefined) throw noMatch('excludeModules', idle, modules)
  const named = targeted(target, modules)
  const numbers = new Set(layerNumbers(named, { layersPattern }))
  const missing = [layersToTransform ?? []].flat().find((layer) => !numbers.has(layer))
  if (missing !== undefined) {
    throw new OptionError(
      `[layersToTransform] expected layers of the model, got ${missing}; ${describeLayers(named, { layersPattern })}`,
    )
  }
}

/**
 * The values that `rankPattern` or `alphaPattern` gives to paths: of its keys, names or regular expressions for the end
 * of a path, the first that matches counts.
 * @param mustMatch a key that matches no path is an error; PEFT warns and goes on
 */
export function patternValues(
  where: string,
  pattern: Readonly<Record<string, number>>,
  paths: readonly string[],
  mustMatch: boolean,
): Map<string, number> {
  const keys = Object.keys(pattern)
  const values = new Map<string, number>()
  if (keys.length === 0) return values
  endMatches(where, keys, paths).forEach((matched, index) => {
    const key = keys[index] as string
    if (mustMatch && matched.length === 0) {
      const adapted = paths.map((path) => ({ path }))
      throw noMatch(where, key, adapted, 'no module that the adapter changes')
    }
    for (const path of matched) if (!values.has(path)) values.set(path, pattern[key] as number)
  })
  return values
}

/**
 * A short list of names that means exactly the modules at `matched`: what adapter_config.json holds in place of
 * 'all-linear', since not every loader knows that word.
 */
export function targetNames(
  matched: readonly string[],
  modules: readonly TargetableModule[],
  { excludeModules = [], modulesToSave = [] }: TargetLimits = {},
): string[] {
  const wanted = new Set(matched)
  const saved = new Set(modulesToSave)
  const excluded = selected('excludeModules', excludeModules, modules)
  const others = new Set<string>()
  for (const module of modules) {
    if (wanted.has(module.path) || excluded.has(module) || isInsideOne(module.path, saved)) continue
    for (const end of endsOf(module.path)) others.add(end)
  }
  const names = new Set<string>()
  for (const path of matched) {
    // The shortest dotted end that no other module shares.
    names.add(endsOf(path).find((end) => !others.has(end)) ?? path)
  }
  return [...names].sort()
}

type WithPath = Pick<TargetableModule, 'path'>

/**
 * What a path can be named by: itself and its dotted ends, the shortest first. Lists of names can be long, paths are
 * not.
 */
function endsOf(path: string): string[] {
  const parts = path.split('.')
  return parts.map((_, i) => parts.slice(parts.length - 1 - i).join('.'))
}

/** Those of the names that mean no module. */
function unmatchedNames(names: readonly string[], modules: readonly WithPath[]): string[] {
  const ends = new Set(modules.flatMap(({ path }) => endsOf(path)))
  return names.filter((name) => !ends.has(name))
}

/** Whether the module at `path` is one that a name means, or is inside it. */
function isInsideOne(path: string, names: ReadonlySet<string>): boolean {
  if (names.size === 0) return false
  const parts = path.split('.')
  return parts.some((_, end) => endsOf(parts.slice(0, end + 1).join('.')).some((run) => names.has(run)))
}

/** The modules that names or an expression mean. */
function selected(where: string, names: ModuleNames, modules: readonly TargetableModule[]): Set<TargetableModule> {
  if (typeof names !== 'string') {
    const all = new Set(names)
    return new Set(modules.filter(({ path }) => endsOf(path).some((end) => all.has(end))))
  }
  const paths = modules.map(({ path }) => path)
  const found = new Set(fullMatches(where, names, paths))
  return new Set(modules.filter(({ path }) => found.has(path)))
}

function targeted(target: ModuleNames, modules: readonly TargetableModule[]): TargetableModule[] {
  if (target === ALL_LINEAR) return modules.filter(({ kind }) => kind === 'linear' || kind === 'conv1d')
  return [...selected('targetModules', target, modules)]
}

/** Those of the named modules that are in one of the layers; a whole path in a list of targets says enough. */
function withinLayers(target: ModuleNames, named: TargetableModule[], limits: TargetLimits): TargetableModule[] {
  const { layersToTransform } = limits
  const layers = new Set<number | undefined>([layersToTransform ?? []].flat())
  if (layers.size === 0) return named
  const numbers = layerNumbers(named, limits)
  const wholePaths = new Set(typeof target === 'string' ? [] : target)
  return named.filter(({ path }, i) => wholePaths.has(path) || layers.has(numbers[i]))
}

/** The layer of each module; undefined where it is in none. */
function layerNumbers(modules: readonly WithPath[], { layersPattern }: TargetLimits): (number | undefined)[] {
  const paths = modules.map(({ path }) => path)
  const patterns = [layersPattern ?? []].flat()
  // Without a pattern: a number behind any name, but not in first place.
  return numbersBehind('layersPattern', patterns.length > 0 ? patterns : [String.raw`(?<=\.)[^.]*`], paths)
}

function describeLayers(named: readonly WithPath[], limits: TargetLimits): string {
  const numbers = layerNumbers(named, limits).filter((number) => number !== undefined)
  if (numbers.length === 0) return 'these modules are in no layers of that name; change layersPattern, or leave it out'
  return `these modules are in layers ${Math.min(...numbers)} to ${Math.max(...numbers)}`
}

function noMatch(where: string, name: string, modules: readonly WithPath[], what = 'no module of this model'): Error {
  const suffixes = [...new Set(modules.map(({ path }) => path.slice(path.lastIndexOf('.') + 1)))].sort()
  const last = name.slice(name.lastIndexOf('.') + 1)
  const nearest = nearestName(last, suffixes)
  const hint = nearest === undefined || nearest === last ? '' : ` did you mean "${nearest}"?`
  return new OptionError(
    `[${where}] ${describeValue(name)} matches ${what};${hint} it has: ${listNames(suffixes, suffixes.length)}`,
  )
}
