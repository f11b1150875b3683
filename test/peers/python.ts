/**
 * @file Runs the Python libraries that lowrank's files have to open in. LOWRANK_TEST_PYTHON names a Python with
 * test/peers/requirements.txt; without it the suites of this folder are skipped, which LOWRANK_TEST_PEERS=required
 * forbids.
 */

import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process'
import { describe } from 'vitest'

const python = process.env.LOWRANK_TEST_PYTHON || undefined
if (python === undefined && process.env.LOWRANK_TEST_PEERS === 'required') {
  throw new Error('[test] expected LOWRANK_TEST_PYTHON to name a Python with test/peers/requirements.txt, got nothing')
}

/** A suite that needs Python's libraries. */
export const describeWithPython = describe.skipIf(python === undefined)

/** The end of a Python script: its exit code and all that it wrote. */
export interface PythonResult {
  code: number | null
  stdout: string
  stderr: string
}

/** Starts a script that serves until its stdin ends. */
export function startPython(args: readonly string[]): ChildProcessWithoutNullStreams {
  if (python === undefined) throw new Error('[test] expected LOWRANK_TEST_PYTHON')
  return spawn(python, args)
}

/** Runs a script to its end. `input` goes to its stdin. */
export async function runPython(
  args: readonly string[],
  input = '',
  variables: NodeJS.ProcessEnv = {},
): Promise<PythonResult> {
  if (python === undefined) throw new Error('[test] expected LOWRANK_TEST_PYTHON')
  const child = spawn(python, args, {
    env: {
      ...process.env,
      HF_HUB_OFFLINE: '1',
      TRANSFORMERS_VERBOSITY: 'error',
      TOKENIZERS_PARALLELISM: 'false',
      ...variables,
    },
  })
  const result = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      result[name] += text
    })
  }
  child.stdin.end(input)
  const code = await new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve))
  return { code, ...result }
}
