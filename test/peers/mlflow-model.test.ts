/**
 * @file Model directories in MLflow's own Python client with transformers and PEFT: the logits of this engine, the
 * signature, the example, and predictions through the flavor that servers use.
 */

import { cpSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, expect, it, vi } from 'vitest'
import { pushAdapter } from '../../src/databricks.js'
import { LoraAdapter, type LoraOptions, loadModel, trainLora } from '../../src/index.js'
import { withMergedModel } from '../../src/mlflow/merged-model.js'
import { packAdapter, writeModelDirectory } from '../../src/mlflow.js'
import { startWorkspace } from '../../src/testing.js'
import { hubCase } from '../hub/hub-case.js'
import { relativeDifference } from '../support/golden.js'
import { refuse } from '../support/hub-answers.js'
import {
  TINY_GPT2_CONFIG,
  TINY_QWEN3_CONFIG,
  temporaryDirectory,
  tinyRows,
  writeTinyModel,
} from '../support/tiny-model.js'
import { IDS, inPython, logitsOf, type Seen, TOLERANCE } from './mlflow-model.js'
import { describeWithPython } from './python.js'

const BASE = fileURLToPath(new URL('../../models/lowrank-base-5m', import.meta.url))
/** Saves an adapter that changes every logit. @returns the logits of model and adapter */
async function saveAdapter(base: string, directory: string, options: LoraOptions): Promise<Float32Array> {
  const model = await loadModel(base, { dtype: 'float32' })
  const adapter = LoraAdapter.create(model, options)
  for (const [name, parameter] of adapter.parameters())
    if (!name.includes('lora_A')) parameter.set((await parameter.read()).map((value, i) => value + 0.1 * Math.sin(i)))
  await adapter.save(directory)
  const logits = await logitsOf(model)
  model.dispose()
  return logits
}

/** A few steps of training. @returns the logits of model and adapter */
async function train(base: string, directory: string): Promise<Float32Array> {
  const run = await trainLora({
    model: base,
    dataset: tinyRows(12),
    dtype: 'float32',
    lora: { r: 4, loraAlpha: 32 },
    training: { maxSteps: 4, learningRate: 2e-2, lrSchedulerType: 'constant' },
  })
  await run.save(directory)
  const logits = await logitsOf(run.model)
  run.dispose()
  return logits
}

describeWithPython("a model directory in MLflow's client", () => {
  const folder = temporaryDirectory()
  const place = hubCase()
  const at = (name: string): string => join(folder, name)
  let plain: Float32Array

  beforeAll(async () => {
    const model = await loadModel(BASE, { dtype: 'float32' })
    plain = await logitsOf(model)
    model.dispose()
  })

  it('a trained adapter and its merged model give the logits of this engine, and predict', async () => {
    cpSync(BASE, at('base'), { recursive: true })
    const logits = await train(at('base'), at('adapter'))
    // The adapter changes what the base computes by far more than the tolerance.
    expect(relativeDifference(logits, plain)).toBeGreaterThan(0.05)
    const packed = await packAdapter(at('adapter'), { inputExample: 'Good day' })
    await writeModelDirectory(packed, at('packed'))
    await withMergedModel(at('adapter'), { dtype: 'float32', temporaryDirectory: at('temporary') }, async ({ model }) =>
      writeModelDirectory(model, at('merged')),
    )
    const [adapter, merged] = (await inPython([
      { uri: at('packed'), ids: IDS },
      { uri: at('merged'), ids: IDS },
    ])) as [Seen, Seen]
    for (const seen of [adapter, merged]) {
      expect(relativeDifference(seen.logits, logits)).toBeLessThan(TOLERANCE)
      expect(seen).toMatchObject({
        inputs: [{ type: 'string', required: true }],
        outputs: [{ type: 'string', required: true }],
        params: [{ name: 'max_new_tokens', default: 256, type: 'long' }],
        template: expect.stringContaining('<|im_start|>'),
      })
      expect(seen.predicted).toEqual(seen.generated)
      expect(seen.predicted).toEqual([
        expect.stringMatching(/^Hello there./s),
        expect.stringMatching(/^Good morning./s),
      ])
    }
    expect(adapter).toMatchObject({
      class: 'PeftModelForCausalLM',
      example: ['Good day'],
      served: { inputs: ['Good day'] },
      metadata: { kind: 'adapter', base_model: at('base'), r: 4, content_hash: packed.hash },
    })
    expect(merged).toMatchObject({ class: 'LlamaForCausalLM', metadata: { kind: 'model' } })
  })

  it('a merged model answers a conversation, with the signature that MLflow gives models of that task', async () => {
    await saveAdapter(BASE, at('small'), { r: 3 })
    const options = { task: 'llm/v1/chat', temporaryDirectory: at('temporary') } as const
    await withMergedModel(at('small'), options, async ({ model }) => writeModelDirectory(model, at('chat')))
    const [seen] = (await inPython([{ uri: at('chat'), ids: IDS }])) as [Seen & { prompt_tokens: number }]
    expect(seen).toMatchObject({
      is_of_task: true,
      server: [200, [{ object: 'chat.completion' }]],
      example: { messages: [{ role: 'user', content: 'Hello' }] },
      answer: {
        object: 'chat.completion',
        choices: [{ index: 0, message: { role: 'assistant', content: expect.any(String) } }],
        usage: { prompt_tokens: seen.prompt_tokens },
      },
    })
  })

  it('adapters of Llama, GPT-2 and Qwen3 load on a base that has moved, with modules of their own and biases', async () => {
    const base = await writeTinyModel(at('before'))
    const options = { r: 3, targetModules: ['q_proj', 'down_proj'], modulesToSave: ['lm_head', 'embed_tokens'] }
    const first = await saveAdapter(base, at('modules'), options)
    const second = await saveAdapter(base, at('rslora'), {
      r: 5,
      useRslora: true,
      rankPattern: { q_proj: 2 },
      bias: 'lora_only',
    })
    const others = { gpt2: TINY_GPT2_CONFIG, qwen3: TINY_QWEN3_CONFIG }
    const logits = [first, second]
    for (const [name, config] of Object.entries(others)) {
      const path = await writeTinyModel(at(`${name}-base`), { config })
      logits.push(await saveAdapter(path, at(name), { r: 3 }))
    }
    for (const name of ['modules', 'rslora', 'gpt2', 'qwen3'])
      await writeModelDirectory(await packAdapter(at(name)), at(`${name}-packed`))
    await withMergedModel(at('gpt2'), { dtype: 'float32', temporaryDirectory: at('temporary') }, async ({ model }) =>
      writeModelDirectory(model, at('gpt2-merged')),
    )
    renameSync(base, at('after'))
    const moved = { ids: IDS, base: at('after') }
    const seen = await inPython([
      { uri: at('modules-packed'), ...moved },
      { uri: at('rslora-packed'), ...moved },
      { uri: at('gpt2-packed'), ids: IDS, base: at('gpt2-base') },
      { uri: at('qwen3-packed'), ids: IDS, base: at('qwen3-base') },
      { uri: at('gpt2-merged'), ids: IDS },
    ])
    for (const [index, ours] of [...logits, logits[2] as Float32Array].entries())
      expect(relativeDifference(seen[index]?.logits ?? [], ours)).toBeLessThan(TOLERANCE)
  })

  it('an adapter of a base of the Hub takes base and tokenizer from there, at the commit of its training', async () => {
    const files = Object.fromEntries(readdirSync(BASE).map((name) => [name, readFileSync(join(BASE, name))]))
    const commit = place.hub.put('acme/base', { files })
    const logits = await train('acme/base', at('of-the-hub'))
    // What main is later is another model.
    place.hub.put('acme/base', { files: { ...files, 'config.json': '{}' }, commit: 'f'.repeat(40) })
    const packed = await packAdapter(at('of-the-hub'))
    await writeModelDirectory(packed, at('of-the-hub-packed'))
    rmSync(place.cache, { recursive: true, force: true })
    place.hub.requests.splice(0)
    // As the Hub answers for a folder that is not there.
    place.hub.intercept = ({ path }, response) => {
      const isAsked = path.includes('/additional_chat_templates')
      if (isAsked) refuse(response, 404, 'EntryNotFound', 'Entry not found')
      return isAsked
    }
    const [seen] = (await inPython([{ uri: at('of-the-hub-packed'), ids: IDS }], { online: true })) as [Seen]
    expect(relativeDifference(seen.logits, logits)).toBeLessThan(TOLERANCE)
    expect(seen.predicted).toEqual(seen.generated)
    expect(seen.metadata).toMatchObject({ base_model: 'acme/base', base_model_revision: commit })
    const fetched = place.hub.requests.filter(({ path }) => path.includes('/resolve/'))
    expect(fetched.length).toBeGreaterThan(0)
    for (const { path } of fetched) expect(path).toContain(commit)
  })

  it('an adapter and a merged model that are registered in Unity Catalog load by alias and version', async () => {
    const workspace = await startWorkspace()
    try {
      cpSync(BASE, at('uc-base'), { recursive: true })
      const logits = await saveAdapter(at('uc-base'), at('uc-adapter'), { r: 4 })
      const databricks = { host: workspace.url, token: workspace.token }
      await pushAdapter(at('uc-adapter'), 'main.default.risk', { alias: 'champion', databricks })
      await pushAdapter(at('uc-adapter'), 'main.default.risk', { merged: true, databricks })
      vi.stubEnv('DATABRICKS_HOST', workspace.url)
      vi.stubEnv('DATABRICKS_TOKEN', workspace.token)
      const uris = { trackingUri: 'databricks', registryUri: 'databricks-uc' }
      const [adapter, merged] = (await inPython(
        ['models:/main.default.risk@champion', 'models:/main.default.risk/2'].map((uri) => ({ uri, ids: IDS })),
        uris,
      )) as [Seen, Seen]
      expect(relativeDifference(adapter.logits, logits)).toBeLessThan(TOLERANCE)
      // The merged weights have the 16 bits of the base.
      expect(relativeDifference(merged.logits, logits)).toBeLessThan(2e-2)
      expect(adapter).toMatchObject({ class: 'PeftModelForCausalLM', metadata: { kind: 'adapter' } })
      expect(merged).toMatchObject({ class: 'LlamaForCausalLM', metadata: { kind: 'model' } })
    } finally {
      await workspace.close()
    }
  })
})
