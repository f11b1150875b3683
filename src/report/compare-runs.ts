/** @file Runs below a directory, and how they differ: in their options, and in what came of them. */

import { readdir } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { expectPath } from '../errors.js'
import { LowrankError } from '../lowrank-error.js'
import { readDirectory } from '../regular-file.js'
import { isRunDirectory, type RunData, readRun } from './read-run.js'
import { optionRows } from './run-sections.js'

/** One run of a comparison. */
export interface ComparedRun {
  /** Path from the directory that was searched; '.' for that itself. */
  readonly path: string
  readonly name: string | undefined
  readonly state: RunData['state']
  readonly step: number
  readonly totalSteps: number | undefined
  readonly seconds: number | undefined
  /** When it began, as in `2026-01-31T12:00:00.000Z`. */
  readonly startedAt: string | undefined
  /** Results by name: loss, best, eval_loss and other scores of the last evaluation, tokensPerSecond. */
  readonly results: Readonly<Record<string, number>>
  /** What the best evaluation was judged by. */
  readonly bestMetric: string | undefined
  /** Every option, by name: `training.learningRate`. */
  readonly options: Readonly<Record<string, string>>
}

/** Deeper folders are not searched. */
const DEEPEST = 6
/** More folders than these are no collection of runs. */
const MOST_FOLDERS = 20_000

/**
 * The runs below a directory, by path. Folders that begin with a dot, and links, are left out.
 * @throws LowrankError where the directory cannot be read, or holds more folders than any collection of runs
 */
export async function findRuns(directory: string): Promise<ComparedRun[]> {
  const found: string[] = []
  let folders = 0
  const search = async (path: string, depth: number): Promise<void> => {
    const entries = await readdir(path, { withFileTypes: true }).catch(() => [])
    if (isRunDirectory(entries.map(({ name }) => name))) {
      found.push(path)
      return
    }
    for (const entry of entries) {
      if (!entry.isDirectory() || entry.name.startsWith('.') || entry.name === 'node_modules' || depth === DEEPEST)
        continue
      folders++
      if (folders > MOST_FOLDERS) {
        throw new LowrankError(
          'FILE',
          `[runs] expected at most ${MOST_FOLDERS} folders below ${directory}, got more; give a directory nearer to the runs`,
        )
      }
      await search(join(path, entry.name), depth + 1)
    }
  }
  expectPath('runs', 'directory', directory)
  // What cannot be read at all is an error; below it is left out.
  await readDirectory('runs', directory)
  await search(directory, 0)
  const runs: ComparedRun[] = []
  for (const path of found.sort())
    runs.push(compared(await readRun(path, { evaluations: false }), relative(directory, path) || '.'))
  return runs
}

function compared(run: RunData, path: string): ComparedRun {
  const { name, state, step, totalSteps, seconds, best, log, status } = run
  const last = log.steps.at(-1)?.figures ?? {}
  const scores = log.evaluations.at(-1)?.figures ?? {}
  const speeds = log.steps.map(({ figures }) => figures.tokensPerSecond).filter((speed) => typeof speed === 'number')
  const speed = speeds.length === 0 ? undefined : speeds.reduce((sum, each) => sum + each, 0) / speeds.length
  const results = { loss: last.loss, best: best?.value, ...scores, tokensPerSecond: speed }
  return {
    path,
    name,
    state,
    step,
    totalSteps,
    seconds,
    startedAt: status?.sessions[0]?.startedAt,
    results: Object.fromEntries(
      Object.entries(results).filter((entry): entry is [string, number] => typeof entry[1] === 'number'),
    ),
    bestMetric: best?.metric,
    options: Object.fromEntries(optionRows(run.options).filter(([option]) => !OWN.has(option))),
  }
}

/** Options that every run has of its own. */
const OWN: ReadonlySet<string> = new Set(['outputDir', 'training.runName', 'resumeFromCheckpoint'])

/** Options that are not the same in all runs which tell theirs, in the order in which they come. */
export function differingOptions(runs: readonly ComparedRun[]): string[] {
  const telling = runs.filter(({ options }) => Object.keys(options).length > 0)
  const names = new Set(telling.flatMap(({ options }) => Object.keys(options)))
  return [...names].filter((name) => new Set(telling.map(({ options }) => options[name])).size > 1)
}

/** Names of results that some run has. */
export function resultNames(runs: readonly ComparedRun[]): string[] {
  return [...new Set(runs.flatMap(({ results }) => Object.keys(results)))]
}

/** Losses and errors, by the names that they have. */
const LESS_IS_BETTER = /(?:loss|perplexity|ece|brier_score)$/

/** More is better for scores of evaluations that are no losses, as the best model of a run is chosen. */
function isMoreBetter(name: string, runs: readonly ComparedRun[]): boolean {
  if (name === 'tokensPerSecond') return true
  if (name !== 'best') return name.startsWith('eval_') && !LESS_IS_BETTER.test(name)
  const judged = runs.find(({ bestMetric }) => bestMetric !== undefined)
  const told = judged?.options['training.greaterIsBetter']
  if (told === 'true' || told === 'false') return told === 'true'
  return judged?.bestMetric !== undefined && !LESS_IS_BETTER.test(judged.bestMetric)
}

/**
 * The runs with the best first; those that do not have the result come last.
 * @param metric a name of `resultNames`; with `-` in front the other way round
 */
export function sortRuns(runs: readonly ComparedRun[], metric: string): ComparedRun[] {
  const isTurned = metric.startsWith('-')
  const name = isTurned ? metric.slice(1) : metric
  const direction = isMoreBetter(name, runs) !== isTurned ? -1 : 1
  const rank = ({ results }: ComparedRun): number => {
    const value = Object.hasOwn(results, name) ? results[name] : undefined
    return value === undefined ? Number.POSITIVE_INFINITY : value * direction
  }
  return [...runs].sort((a, b) => (rank(a) === rank(b) ? 0 : rank(a) - rank(b)))
}
