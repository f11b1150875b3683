/**
 * @file Runs of the command line whose readers, terminals and disks fail, and those that are stopped from outside, as
 * processes.
 */

import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { TrainEvent } from '../../src/train/events.js'
import { isLong } from '../support/long.js'
import { temporaryDirectory, tinyRows, trainedBytes, writeTinyModel } from '../support/tiny-model.js'
import { environment, mainScript } from './run-cli.js'

const folder = temporaryDirectory()
const at = (...names: string[]) => join(folder, ...names)
let model: string
let whole: string

beforeAll(async () => {
  model = await writeTinyModel(at('model'))
  const lines = tinyRows(40).map((row) => `${JSON.stringify(row)}\n`)
  await writeFile(at('rows.jsonl'), lines.join(''))
  await shell(command('whole'))
  whole = await trainedBytes(at('whole', 'adapter'))
})

/** Processes that a test that fails would leave behind. */
const children = new Set<ChildProcess>()

afterEach(() => {
  for (const child of children) child.kill('SIGKILL')
  children.clear()
})

/** A command line for the shell. Six steps unless told otherwise. */
function command(out: string, settings: Record<string, string | number> = {}, flags = ''): string {
  const all = {
    model,
    dataset: at('rows.jsonl'),
    outputDir: at(out),
    dtype: 'float32',
    'lora.r': 4,
    'training.maxSteps': 6,
    'training.gradientAccumulationSteps': 1,
    'training.loggingSteps': 1,
    'training.evalSplit': 8,
    'training.evalSteps': 3,
    ...settings,
  }
  const sets = Object.entries(all).map(([name, value]) => `--set '${name}=${value}'`)
  return `'${process.execPath}' '${mainScript}' train ${flags} ${sets.join(' ')}`
}

interface Ended {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

/** Runs a line of the shell; `watch` sees what stdout holds so far. */
function shell(line: string, watch?: (stdout: string, pid: number) => void, env = {}): Promise<Ended> {
  return new Promise((resolve) => {
    const child = spawn('bash', ['-c', line], { env: { ...environment(), ...env }, stdio: ['ignore', 'pipe', 'pipe'] })
    children.add(child)
    let stdout = ''
    let stderr = ''
    child.stderr.setEncoding('utf8').on('data', (text) => {
      stderr += text
    })
    child.stdout.setEncoding('utf8').on('data', (text) => {
      stdout += text
      watch?.(stdout, child.pid as number)
    })
    child.on('close', (code, signal) => resolve({ code, signal, stdout, stderr }))
  })
}

describe('a run whose reader fails', () => {
  const cases: [string, string][] = [
    ['head that reads one line of events', "{ RUN; echo $? > 'CODE'; } | head -n 1"],
    ['a closed stderr', "RUN 2>&-; echo $? > 'CODE'"],
    ['a full disk of stdout', "RUN > /dev/full; echo $? > 'CODE'"],
    ['a full disk of both', "RUN > /dev/full 2>&1; echo $? > 'CODE'"],
    ['a closed stdout', "RUN >&-; echo $? > 'CODE'"],
    ['both closed', "RUN >&- 2>&-; echo $? > 'CODE'"],
    ['a full disk of stderr', "RUN 2> /dev/full; echo $? > 'CODE'"],
    ['a reader of lines that has gone', "{ RUN 2>&1; echo $? > 'CODE'; } | head -n 1"],
  ]

  // The first four are one of each kind.
  it.each(isLong ? cases : cases.slice(0, 4))(
    'goes on to its end, with the same weights and 0: %s',
    async (name, template) => {
      const out = `reader-${name.replaceAll(' ', '-')}`
      const flags = template.includes('2>') ? '' : '--json'
      const line = template.replace('RUN', command(out, {}, flags)).replaceAll('CODE', at(`${out}.code`))
      const { stderr } = await shell(line)
      expect(readFileSync(at(`${out}.code`), 'utf8')).toBe('0\n')
      expect((await trainedBytes(at(out, 'adapter'))) === whole).toBe(true)
      const log = readFileSync(at(out, 'log.jsonl'), 'utf8').trimEnd().split('\n')
      expect(log.map((entry) => (JSON.parse(entry) as { step: number }).step)).toEqual([1, 2, 3, 3, 4, 5, 6, 6])
      // Who has gone knows it; who runs out of space is told once.
      if (name === 'a full disk of stdout')
        expect(stderr).toBe('warning: stdout cannot be written: no space is left (ENOSPC); the work goes on\n')
      if (name.startsWith('head')) expect(stderr).toBe('')
    },
  )

  it('is not held up by a reader that never reads', async () => {
    const out = 'never-read'
    // The pipe holds 64 KiB: far less than the events of these steps.
    const settings = { 'training.maxSteps': 150, 'training.evalSteps': 500 }
    const run = command(out, settings, '--json')
    const wait = `until [ -e '${at(out, 'adapter', 'adapter_model.safetensors')}' ]; do sleep 0.1; done`
    const { stdout } = await shell(`{ ${run}; echo $? > '${at('never.code')}'; } | { ${wait}; tail -n 1; }`)
    expect(readFileSync(at('never.code'), 'utf8')).toBe('0\n')
    expect(JSON.parse(stdout)).toMatchObject({ type: 'save', kind: 'adapter' })
  })

  it('ends with 1 where the result itself could not be written', async () => {
    const plan = command('plan')
      .replace(' train ', ' plan ')
      .replace(/--set 'outputDir=[^']*'/, '')
    const { code, stderr } = await shell(`${plan} > /dev/full`)
    expect(stderr).toBe('error: stdout cannot be written: no space is left (ENOSPC)\n')
    expect(code).toBe(1)
    const blocked = at('blocked')
    await writeFile(blocked, 'a file where the output directory should be')
    expect((await shell(`${command('blocked')} 2> /dev/full > /dev/full`)).code).toBe(1)
  })
})

/** @returns false where the process has ended. */
function interrupt(pid: number): boolean {
  try {
    return process.kill(pid, 'SIGINT')
  } catch {
    return false
  }
}

describe('a run that is stopped from outside', () => {
  const long = { 'training.maxSteps': 100_000, 'training.saveSteps': 1_000_000, 'training.evalSteps': 1_000_000 }

  it.each(isLong ? (['SIGHUP', 'SIGINT', 'SIGTERM'] as const) : (['SIGHUP'] as const))(
    'a run that is stopped from outside by %s ends after its step, with a checkpoint',
    async (name) => {
      const out = `stopped-${name}`
      let isSent = false
      const { code, stdout, stderr } = await shell(`exec ${command(out, long, '--json')}`, (text, pid) => {
        if (!isSent && text.includes('"type":"step"')) isSent = process.kill(pid, name)
      })
      expect(stderr).toMatch(
        /^Stopping after this step; a second Ctrl-C stops at once\nerror: stopped at step \d+; go on with --resume\n$/,
      )
      expect(code).toBe(1)
      const events = stdout
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as TrainEvent)
      const end = events.find((event) => event.type === 'end')
      expect(end).toMatchObject({ reason: 'aborted' })
      const step = end?.type === 'end' ? end.step : 0
      expect(await readdir(at(out))).toContain(`checkpoint-${step}`)
      expect(existsSync(at(out, 'adapter'))).toBe(false)
      await rm(at(out), { recursive: true })
    },
  )

  it('a run that is stopped from outside by a terminal that is closed has a checkpoint', async () => {
    const out = 'closed-terminal'
    const pidFile = at('closed.pid')
    const inside = `echo $$ > '${pidFile}'; stty cols 80 rows 24; exec ${command(out, long)}`
    const child = spawn('script', ['-qfec', inside, '/dev/null'], {
      env: environment(),
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    children.add(child)
    // The terminal goes with whoever holds its other end.
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      if (/step +\d+\/100000/.test(text)) child.kill('SIGKILL')
    })
    await new Promise((resolve) => child.on('close', resolve))
    const pid = Number(readFileSync(pidFile, 'utf8'))
    const isRunning = (): boolean => {
      try {
        // A process that has ended and that nobody has asked for yet is a zombie.
        return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
      } catch {
        return false
      }
    }
    await expect.poll(isRunning, { timeout: 60_000 }).toBe(false)
    const names = await readdir(at(out))
    expect(names.filter((name) => name.startsWith('checkpoint-'))).toHaveLength(1)
    expect(names).not.toContain('adapter')
  }, 120_000)

  it('a run that is stopped from outside under nohup goes on when the terminal is closed', async () => {
    const out = 'nohup'
    let isSent = false
    const run = command(out, { 'training.maxSteps': 40, 'training.evalSteps': 100 }, '--json')
    const { code, stderr } = await shell(`nohup ${run}`, (text, pid) => {
      if (!isSent && text.includes('"type":"step"')) isSent = process.kill(pid, 'SIGHUP')
    })
    expect(stderr.replace(/^nohup: .*\n/m, '')).toBe('')
    expect(code).toBe(0)
    expect(existsSync(at(out, 'adapter', 'adapter_model.safetensors'))).toBe(true)
  })

  /** JavaScript that does not come back once a text was written. */
  const busyAt = (text: string): string => {
    const source = `
      const write = process.stdout.write
      process.stdout.write = function (...args) {
        const result = write.apply(this, args)
        if (String(args[0]).includes(${JSON.stringify(text)})) for (;;);
        return result
      }`
    return `--import=data:text/javascript,${encodeURIComponent(source)}`
  }

  it('a run that is stopped from outside by Ctrl-C while JavaScript is busy with the rows ends at once, by the operating system', async () => {
    let isSent = false
    const { signal } = await shell(
      `exec ${command('busy', {}, '--json')}`,
      (text, pid) => {
        if (!isSent && text.includes('"type":"prepare"')) isSent = process.kill(pid, 'SIGINT')
      },
      { NODE_OPTIONS: busyAt('"type":"prepare"') },
    )
    expect(signal).toBe('SIGINT')
  })

  it('a run that is stopped from outside by a second Ctrl-C ends at once, by the operating system, and leaves no bar behind', async () => {
    let timer: NodeJS.Timeout | undefined
    let isSent = false
    const { signal, stderr } = await shell(
      `exec ${command('twice', long, '--json')}`,
      (text, pid) => {
        if (!isSent && text.includes('"type":"step"')) isSent = process.kill(pid, 'SIGINT')
        // JavaScript hangs in the end of the run. What comes within 100 ms of the first is the same request, so again
        // and again.
        if (text.includes('"type":"end"')) timer ??= setInterval(() => void interrupt(pid), 50)
      },
      { NODE_OPTIONS: busyAt('"type":"end"') },
    )
    clearInterval(timer)
    expect(stderr).toBe('Stopping after this step; a second Ctrl-C stops at once\n')
    expect(signal).toBe('SIGINT')
  })
})
