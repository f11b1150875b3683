/**
 * @file Runs node-llama-cpp, which GGUF files have to open in. LOWRANK_TEST_LLAMA_CPP names a node_modules folder with
 * the packages of test/peers/llama-cpp.txt; without it the suites are skipped, which LOWRANK_TEST_PEERS=required
 * forbids.
 */

import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe } from 'vitest'

const packages = process.env.LOWRANK_TEST_LLAMA_CPP || undefined
if (packages === undefined && process.env.LOWRANK_TEST_PEERS === 'required') {
  throw new Error(
    '[test] expected LOWRANK_TEST_LLAMA_CPP to name a node_modules folder with test/peers/llama-cpp.txt, got nothing',
  )
}

/** The folder of the native libraries of llama.cpp. */
export const LLAMA_LIBRARIES =
  packages === undefined ? '' : join(packages, '@node-llama-cpp', 'linux-x64', 'bins', 'linux-x64')

/** A suite that needs node-llama-cpp. */
export const describeWithLlamaCpp = describe.skipIf(packages === undefined)

/** What is asked; see llama-cpp.mjs. */
export interface LlamaCppInput {
  readonly model: string
  readonly adapter?: string
  readonly texts?: readonly string[]
  readonly prompts?: readonly (readonly number[])[]
  readonly maxTokens?: number
  readonly conversations?: readonly (readonly { role: string; content: string }[])[]
}

/** What comes back. */
export interface LlamaCppOutput {
  readonly ids: number[][]
  readonly addBos: boolean
  readonly bos: number | null
  readonly eos: number | null
  readonly answers: { ids: number[]; ended: boolean }[]
  readonly rendered: number[][]
}

const PROGRAM = fileURLToPath(new URL('llama-cpp.mjs', import.meta.url))

export async function runLlamaCpp(input: LlamaCppInput): Promise<LlamaCppOutput> {
  const child = spawn(process.execPath, [PROGRAM, join(packages as string, 'node-llama-cpp')])
  const result = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].setEncoding('utf8').on('data', (text: string) => {
      result[name] += text
    })
  }
  child.stdin.end(JSON.stringify(input))
  const code = await new Promise<number | null>((resolve, reject) => child.on('error', reject).on('close', resolve))
  if (code !== 0) throw new Error(`[test] node-llama-cpp ended with ${code}: ${result.stderr.slice(-2000)}`)
  return JSON.parse(result.stdout) as LlamaCppOutput
}
