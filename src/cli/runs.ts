/** @file `lowrank runs`: a table of runs, with the options that differ and what came of each. */

import { textOf } from '../options/rules.js'
import type { ComparedRun } from '../report/compare-runs.js'
import type { Command } from './command.js'
import { JSON_OBJECT } from './flags.js'
import { UsageError } from './usage-error.js'

interface RunsFlags {
  readonly sort?: string
  readonly json?: boolean
}

interface Checked extends RunsFlags {
  readonly directory: string
}

export const command: Command<RunsFlags, Checked> = {
  summary: 'compare runs by their options and results',
  details: 'It shows the options in which the runs differ, the last loss, the best evaluation and the last scores.',
  arguments: [{ name: 'dir', help: 'directory below which runs are looked for', default: '.' }],
  flags: {
    sort: {
      rule: textOf('the name of a result, such as eval_loss'),
      help: 'result by which the best run comes first, as eval_loss; -eval_loss turns the order round',
      otherwise: 'best, where runs have one',
      flag: { name: '--sort', argument: 'metric', group: 'Output' },
    },
    json: { ...JSON_OBJECT, flag: { name: '--json' } },
  },
  examples: [
    { text: 'Compare all runs of a directory', line: 'runs out' },
    { text: 'See which run is fastest', line: 'runs out --sort tokensPerSecond' },
  ],
  check: ({ flags, words: [directory = '.'] }) => ({ ...flags, directory }),
  run: compare,
}

async function compare({ directory, sort, json }: Checked): Promise<void> {
  const { differingOptions, findRuns, resultNames, sortRuns } = await import('../report/compare-runs.js')
  const found = await findRuns(directory)
  const names = resultNames(found)
  const by = sort?.replace(/^-/, '')
  if (by !== undefined && found.length > 0 && !names.includes(by)) {
    const { nearestName } = await import('../errors.js')
    const near = nearestName(by, names)
    throw new UsageError(
      `[runs] expected a result for --sort, got "${by}"; ${near === undefined ? '' : `did you mean "${near}"? `}these runs have ${names.join(', ') || 'none'}`,
    )
  }
  const runs = sortRuns(found, sort ?? 'best')
  const options = differingOptions(runs)
  if (json) {
    process.stdout.write(`${JSON.stringify({ directory, differingOptions: options, runs })}\n`)
    return
  }
  if (runs.length === 0) {
    process.stdout.write(`No runs below ${directory}\n`)
    return
  }
  const { terminalTable } = await import('./terminal-table.js')
  const { formatCount, formatDuration, formatFigure, paintFor } = await import('../progress/terminal.js')
  const { harmless } = await import('../progress/text-width.js')
  const paint = paintFor(process.stdout)
  const shown = names.filter((name) => name !== 'tokensPerSecond').slice(0, MOST_RESULTS)
  const figureOf = ({ results }: ComparedRun, name: string): string => {
    const value = results[name]
    return value === undefined ? '-' : formatFigure(value)
  }
  const rows = runs.map((run) => [
    harmless(run.path),
    run.state,
    `${formatCount(run.step)}${run.totalSteps === undefined ? '' : `/${formatCount(run.totalSteps)}`}`,
    ...shown.map((name) => figureOf(run, name)),
    run.results.tokensPerSecond === undefined ? '-' : formatCount(run.results.tokensPerSecond),
    run.seconds === undefined ? '-' : formatDuration(run.seconds),
    ...options.map((name) => harmless(lastPart(run.options[name] ?? '-'))),
  ])
  const heads = ['run', 'state', 'steps', ...shown, 'tokens/s', 'time', ...options.map(shortName)]
  const right = (column: number): boolean => column > 1 && column < 5 + shown.length
  for (const [at, line] of terminalTable([heads, ...rows], right).entries())
    process.stdout.write(`${at === 0 ? paint('bold', line) : line}\n`)
}

/** More columns of results stand in `--json` alone. */
const MOST_RESULTS = 6
const LONGEST_OPTION = 32

/** `training.learningRate` as `learningRate`. */
function shortName(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1)
}

/** A path by its last name, and no value wider than a column may be. */
function lastPart(value: string): string {
  const short = /^(?:\/|[A-Za-z]:\\)/.test(value) ? (value.split(/[\\/]/).at(-1) ?? value) : value
  return short.length > LONGEST_OPTION ? `${short.slice(0, LONGEST_OPTION - 1)}…` : short
}
