/** @file Runs the built command line in a process of its own, as a user does. */

import { spawn } from 'node:child_process'
import { relative } from 'node:path'
import { fileURLToPath } from 'node:url'

export const mainScript = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))

/** How the command line calls itself where it is run by this process's working directory. */
export const program = `node ${relative('.', mainScript)}`

/** The environment without what npm adds for its children, by which the command line would know npx. */
export function environment(): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name)))
}

export interface CliResult {
  code: number | null
  stdout: string
  stderr: string
}

/** `lowrank ARGS` with nothing on stdin unless `input` is given. */
export function lowrank(
  args: readonly string[],
  { env = {}, cwd, input = '' }: { env?: Record<string, string>; cwd?: string; input?: string | Buffer } = {},
): Promise<CliResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [mainScript, ...args], { cwd, env: { ...environment(), ...env } })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text) => {
      stdout += text
    })
    child.stderr.setEncoding('utf8').on('data', (text) => {
      stderr += text
    })
    child.on('error', reject)
    child.on('close', (code) => resolve({ code, stdout, stderr }))
    // A command that does not read stdin may close it before all is written.
    child.stdin.on('error', () => {})
    child.stdin.end(input)
  })
}
