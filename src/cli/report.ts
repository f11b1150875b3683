/** @file `lowrank report`: the HTML of a run or of an evaluation. */

import { spawn } from 'node:child_process'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { pathToFileURL } from 'node:url'
import { boolean, integer, path } from '../options/rules.js'
import type { Command } from './command.js'
import { untilSignal } from './until-signal.js'
import { UsageError } from './usage-error.js'

interface ReportFlags {
  readonly output?: string
  readonly title?: string
  readonly open?: boolean
  readonly watch?: boolean
  readonly interval: number
}

interface Checked extends ReportFlags {
  readonly source: string
}

/** Seconds between two looks at a run that goes on. */
const WATCH_SECONDS = 10

export const command: Command<ReportFlags, Checked> = {
  summary: 'write one HTML file that shows a run or an evaluation',
  details:
    'Of a run it shows curves, evaluations, checkpoints, data and options, whether the run has ended or goes on. The file needs no ' +
    'network and sends nothing.',
  arguments: [{ name: 'source', help: 'outputDir of a run, or a JSON file that lowrank eval wrote' }],
  flags: {
    output: {
      rule: path,
      help: 'where the HTML goes',
      otherwise: 'report.html in the directory of the run, or beside the JSON',
      flag: { name: '--output', argument: 'file', group: 'Output' },
    },
    title: {
      rule: { ...path, expected: 'text' },
      help: 'the heading',
      otherwise: 'the name of the run',
      flag: { name: '--title', argument: 'text' },
    },
    open: { rule: boolean, help: 'open it in the browser', flag: { name: '--open' } },
    watch: {
      rule: boolean,
      help: 'write it again and again until the run has ended; the open page follows',
      flag: { name: '--watch' },
    },
    interval: {
      rule: integer({ min: 1 }),
      default: WATCH_SECONDS,
      help: 'with --watch: seconds between two pages',
      flag: { name: '--interval', argument: 'seconds' },
    },
  },
  examples: [
    { text: 'Look at a run', line: 'report out/mine --open' },
    { text: 'Follow a run that goes on', line: 'report out/mine --watch --open' },
    { text: 'Make a page of an evaluation', line: 'report eval.json --output eval.html' },
  ],
  check({ flags, words: [source] }) {
    if (source === undefined)
      throw new UsageError('[report] expected the directory of a run, or the JSON of an evaluation, got nothing')
    return { ...flags, source }
  },
  run: report,
}

async function report({ source, output, title, open, watch, interval }: Checked): Promise<void> {
  const [{ stat }, { readRun }, { writeReport }, { parseEvaluation }, { readRegularFile, readError }] =
    await Promise.all([
      import('node:fs/promises'),
      import('../report/read-run.js'),
      import('../report/write-report.js'),
      import('../report/read-evaluation.js'),
      import('../regular-file.js'),
    ])
  const status = await stat(source).catch((error: unknown) => {
    throw readError('report', source, error)
  })
  const named = title === undefined ? {} : { title }
  if (!status.isDirectory()) {
    if (watch) throw new UsageError('[report] expected the directory of a run with --watch, got a file')
    const target = output ?? `${source.replace(/\.json$/i, '')}.html`
    await writeReport(target, {
      ...named,
      evaluations: [parseEvaluation(parsedJson(await readRegularFile(source, { where: 'report' })), source)],
    })
    tell(target, open)
    return
  }
  const target = output ?? join(source, 'report.html')
  const write = async (): Promise<boolean> => {
    const run = await readRun(source)
    const goesOn = run.state === 'running'
    await writeReport(target, { ...named, run, ...(watch && goesOn && { refreshSeconds: interval }) })
    return goesOn
  }
  let goesOn = await write()
  tell(target, open)
  if (!watch) return
  await untilSignal(async (signal) => {
    while (goesOn) {
      await sleep(interval * 1000, undefined, { signal })
      goesOn = await write()
    }
  })
}

/** What is no JSON is told of by the one who looks for fields in it. */
function parsedJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString())
  } catch {
    return bytes.toString()
  }
}

function tell(target: string, open: boolean | undefined): void {
  process.stdout.write(`Wrote ${target}\n`)
  if (open) openInBrowser(resolve(target))
}

/** By the program that the system has for it. Where there is none, the path was told. */
function openInBrowser(file: string): void {
  const url = pathToFileURL(file).href
  const [program, ...args] =
    process.platform === 'darwin'
      ? ['open', url]
      : process.platform === 'win32'
        ? ['rundll32', 'url.dll,FileProtocolHandler', url]
        : ['xdg-open', url]
  const child = spawn(program as string, args, { stdio: 'ignore', detached: true })
  child.on('error', () => process.stderr.write(`No browser was found: open ${url}\n`))
  child.unref()
}
