/** @file Commands that are watched and sent signals while they run, as processes. */

import { type ChildProcess, spawn } from 'node:child_process'
import { afterEach } from 'vitest'
import { Screen } from '../support/screen.js'
import { environment, mainScript } from './run-cli.js'

/** Processes that a test would leave behind. */
const children = new Set<ChildProcess>()

/**
 * Ends what a test leaves behind. Each file calls it: files share this module, and a hook here would be that of the
 * first file alone.
 */
export function endLeftBehind(): void {
  afterEach(() => {
    for (const child of children) child.kill('SIGKILL')
    children.clear()
  })
}

/**
 * JavaScript that is busy from when it has written `text` on, until the file `until` is there; it says so itself, past
 * Node's streams. Without `until` it is busy for ever.
 */
export function busyAt(stream: 'stdout' | 'stderr', text: string, until?: string): Record<string, string> {
  const source = `
    import { existsSync, writeSync } from 'node:fs'
    const { write } = process.${stream}
    let isDone = false
    process.${stream}.write = function (...args) {
      const result = write.apply(this, args)
      if (!isDone && String(args[0]).includes(${JSON.stringify(text)})) {
        isDone = true
        writeSync(1, '{"type":"BUSY"}\\n')
        while (!${until ? `existsSync(${JSON.stringify(until)})` : 'false'});
      }
      return result
    }`
  return { NODE_OPTIONS: `--import=data:text/javascript,${encodeURIComponent(source)}` }
}

export interface Running {
  readonly child: ChildProcess
  readonly pid: number
  /** Once the output has this text. */
  shows(text: string): Promise<void>
  readonly ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>
  readonly output: () => string
}

export function start(program: string, args: readonly string[], env: Record<string, string>): Running {
  const child = spawn(program, args, { env: { ...environment(), ...env }, stdio: ['pipe', 'pipe', 'pipe'] })
  children.add(child)
  // A process that is ended does not read what is pressed meanwhile.
  child.stdin.on('error', () => {})
  let output = ''
  const waiting = new Map<string, () => void>()
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (piece: string) => {
      output += piece
      for (const [text, resolve] of waiting) if (output.includes(text)) resolve()
    })
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve) =>
    child.on('close', (code, signal) => resolve({ code, signal })),
  )
  const shows = (text: string): Promise<void> =>
    Promise.race([
      new Promise<void>((resolve) => (output.includes(text) ? resolve() : waiting.set(text, resolve))),
      ended.then(() => Promise.reject(new Error(`ended before ${text}: ${output}`))),
    ])
  return { child, pid: child.pid as number, shows, ended, output: () => output }
}

/** As people do: again and again, some time apart, until it has ended. @returns how often */
export async function press(running: Running, send: () => void): Promise<number> {
  let count = 0
  const again = (): void => {
    count++
    try {
      send()
    } catch {
      // It has just ended.
    }
  }
  again()
  const timer = setInterval(again, 150)
  await running.ended
  clearInterval(timer)
  return count
}

/** What \`stty -g\` prints. */
export const settings = /^[0-9a-f]+(:[0-9a-f]+)+\r?$/gm

/**
 * The command line under a terminal of 80 columns, with the settings of that before and after, and the code that a
 * shell sees.
 */
export function onTerminal(args: readonly string[], env: Record<string, string>): Running {
  const line = [process.execPath, mainScript, ...args].map((word) => `'${word}'`).join(' ')
  const inside = `stty cols 80 rows 24; stty -g; ${line}; echo "code $?"; stty -g`
  return start('script', ['-qfec', `trap : INT; ${inside}`, '/dev/null'], { TERM: 'xterm-256color', ...env })
}

/** The last row that a terminal shows. @throws where a part of a bar is left on it */
export async function shownAtEnd(running: Running): Promise<string | undefined> {
  const screen = new Screen(80)
  screen.write(
    running
      .output()
      .replace(settings, '')
      .replace(/\{"type":"BUSY"\}\r?\n/, '')
      // Keys that were pressed once more behind the end of the program.
      .replace(/\^C(?=code \d)|(?<=code \d+\s*)\^C\s*$/g, ''),
  )
  const rows = (await screen.rows()).filter((row) => row !== '')
  const bar = rows.find((row) => /[\u2591\u2588]/.test(row))
  if (bar !== undefined) throw new Error(`[test] expected no bar on the screen, got ${bar}`)
  return rows.at(-1)
}
