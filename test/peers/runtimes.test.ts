/**
 * @file The same program in Deno and Bun as in Node. LOWRANK_TEST_RUNTIMES names a node_modules folder with the
 * packages of test/peers/runtimes.txt; without it the suite is skipped, which LOWRANK_TEST_PEERS=required forbids.
 */

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'

const runtimes = process.env.LOWRANK_TEST_RUNTIMES || undefined
if (runtimes === undefined && process.env.LOWRANK_TEST_PEERS === 'required') {
  throw new Error(
    '[test] expected LOWRANK_TEST_RUNTIMES to name a node_modules folder with test/peers/runtimes.txt, got nothing',
  )
}

const PROGRAM = fileURLToPath(new URL('train.mjs', import.meta.url))
const MODEL = fileURLToPath(new URL('../../models/lowrank-base-5m', import.meta.url))
const INDEX = new URL('../../dist/index.js', import.meta.url).href

describe.skipIf(runtimes === undefined)('another runtime', () => {
  const program = (name: string) => join(runtimes as string, '.bin', name)
  const run = promisify(execFile)
  let folder: string
  let expected: string

  async function digestOfAdapter(command: string, ...args: string[]): Promise<string> {
    const target = await mkdtemp(join(folder, 'adapter-'))
    const { stdout } = await run(command, [...args, PROGRAM, MODEL, target])
    expect(stdout).toBe('3 steps\n')
    return createHash('sha256')
      .update(await readFile(join(target, 'adapter_model.safetensors')))
      .digest('hex')
  }

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'lowrank-runtimes-'))
    expected = await digestOfAdapter(process.execPath)
  })

  afterAll(async () => {
    await rm(folder, { recursive: true })
  })

  it('Deno trains the same adapter, to the byte', async () => {
    expect(await digestOfAdapter(program('deno'), 'run', '-A')).toBe(expected)
  })

  it('Bun trains the same adapter, to the byte', async () => {
    expect(await digestOfAdapter(program('bun'))).toBe(expected)
  })

  it('Deno imports the library without any permission', async () => {
    const code = `import { trainLora } from ${JSON.stringify(INDEX)}; console.log(typeof trainLora)`
    const { stdout } = await run(program('deno'), ['eval', '--no-lock', code], {
      env: { ...process.env, NO_COLOR: '1' },
    })
    expect(stdout).toBe('function\n')
  })
})
