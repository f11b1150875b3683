/** @file An adapter that is merged into its base for a server: what is packed, and that nothing is left behind. */

import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import { ownedName } from '../../src/file-owner.js'
import { loadModel } from '../../src/index.js'
import { withMergedModel } from '../../src/mlflow/merged-model.js'
import { relativeDifference } from '../support/golden.js'
import { rejection, temporaryDirectory, tinyAdapter, tinyModel, writeTinyModel } from '../support/tiny-model.js'

const folder = temporaryDirectory()
const base = join(folder, 'base')
const adapter = join(folder, 'adapter')
const merging = join(folder, 'merged')
const IDS = [[5, 17, 300, 41]]
let expected: Float32Array

beforeAll(async () => {
  await writeTinyModel(base)
  await writeFile(join(base, 'LICENSE'), 'The terms of the base')
  const model = await tinyModel()
  const made = tinyAdapter(model)
  made.baseModelName = base
  await made.save(adapter)
  expected = await logitsOf(model)
  model.dispose()
  model.device.close()
})

async function logitsOf(model: Awaited<ReturnType<typeof loadModel>>): Promise<Float32Array> {
  const { logits } = model.forward({ inputIds: IDS }, { logits: true })
  return await logits.read()
}

describe('withMergedModel', () => {
  it('packs a model that computes what model and adapter do, and removes it once it is used', async () => {
    let place = ''
    const returned = await withMergedModel(
      adapter,
      { dtype: 'float32', temporaryDirectory: merging },
      async (merged) => {
        const weights = merged.model.files.find(({ path }) => path === 'model/model.safetensors')
        place = String(weights?.source)
        const license = merged.model.files.find(({ path }) => path === 'LICENSE')
        expect(await readFile(String(license?.source), 'utf8')).toBe('The terms of the base')
        expect(merged.merge.mergedModules).toBeGreaterThan(0)
        const model = await loadModel(join(place, '..'), { dtype: 'float32' })
        const logits = await logitsOf(model)
        // Sums of float32 in another order.
        expect(relativeDifference(logits, expected)).toBeLessThan(2e-5)
        model.dispose()
        return merged.model.mlmodel
      },
    )
    expect(returned).toMatchObject({ metadata: { lowrank: { kind: 'model', base_model: base } } })
    await expect(stat(place)).rejects.toThrow('ENOENT')
    expect(await readdir(merging)).toEqual([])
  })

  it('removes the merged model where its use fails, and what a killed process left', async () => {
    const left = join(merging, `model-${await endedOwner()}`)
    const others = join(merging, 'model-of-someone')
    await mkdir(join(left, 'x'), { recursive: true })
    await mkdir(others)
    const failing = withMergedModel(adapter, { temporaryDirectory: merging }, () =>
      Promise.reject(new Error('no room')),
    )
    expect(await rejection(failing)).toBe('no room')
    expect(await readdir(merging)).toEqual(['model-of-someone'])
  })

  it('looks for a tokenizer before it merges, and stops where a signal says so', async () => {
    const bare = join(folder, 'bare')
    await cp(base, bare, { recursive: true })
    await rm(join(bare, 'tokenizer.json'))
    const options = { temporaryDirectory: merging, onProgress: () => expect.fail('merged') }
    const use = () => expect.fail('used')
    expect(await rejection(withMergedModel(adapter, { ...options, baseModel: bare }, use))).toContain(
      `expected a tokenizer in ${bare} or beside the adapter in ${adapter}, got none`,
    )
    const signal = AbortSignal.abort(new Error('enough'))
    expect(await rejection(withMergedModel(adapter, { ...options, signal }, use))).toBe('enough')
  })
})

/** The owner part of the name of a file of a process of this machine that has ended. */
async function endedOwner(): Promise<string> {
  const child = spawn(process.execPath, ['-e', ''])
  const { pid } = child
  await once(child, 'exit')
  return ownedName('').replace(/^(\w+)-\d+-/, `$1-${pid}-`)
}
