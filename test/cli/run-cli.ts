/** @file Runs the built command line in a process of its own, as a user does. */

import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export const mainScript = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))

export interface CliResult {
  code: number | null
  stdout: string
  stderr: string
}

/** `lowrank ARGS` with nothing on stdin unless `input` is given. */
export function lowrank(
  args: readonly string[],
  { env = {}, cwd, input = '' }: { env?: Record<string, string>; cwd?: string; input?: string } = {},
): Promise<CliResult> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [mainScript, ...args], { cwd, env: { ...process.env, ...env } })
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
