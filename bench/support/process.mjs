// @ts-check
/** @file What the operating system says of this process, and programs that run beside it. */

import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** The most memory that the process had resident (VmHWM), as the operating system counted it. */
export function peakRssMib() {
  const match = /VmHWM:\s+(\d+) kB/.exec(readFileSync('/proc/self/status', 'utf8'))
  return Math.round(Number(match?.[1]) / 1024)
}

/**
 * Runs a program; `onLine` gets each line of its standard output as it comes. Standard error is shown as it comes.
 * @param {string} program @param {readonly string[]} args @param {(line: string) => void} onLine @param {NodeJS.ProcessEnv} [env]
 * @returns {Promise<void>}
 */
export function runLines(program, args, onLine, env = process.env) {
  return new Promise((resolve, reject) => {
    const child = spawn(program, [...args], { env, stdio: ['ignore', 'pipe', 'inherit'] })
    let rest = ''
    child.stdout.setEncoding('utf8').on('data', (text) => {
      const lines = (rest + text).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) if (line !== '') onLine(line)
    })
    child.on('error', reject)
    child.on('close', (code, signal) => {
      if (code === 0) resolve()
      else reject(new Error(`${program} ${args.join(' ')} ended with ${signal ?? `status ${code}`}`))
    })
  })
}
