/** @file Adapters that lowrank writes, opened in PEFT: the same tensors, the same logits. */

import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'
import { describeWithPython, runPython } from './python.js'

const golden = fileURLToPath(new URL('../golden/', import.meta.url))
const run = promisify(execFile)

const CASES = [
  { model: 'llama-plain', options: { r: 5, loraAlpha: 7 } },
  { model: 'gpt2-plain', options: { r: 3, useRslora: true, bias: 'lora_only' } },
  { model: 'qwen3-plain', options: { r: 4, targetModules: ['q_proj', 'down_proj'], modulesToSave: ['lm_head'] } },
]

describeWithPython('an adapter of lowrank in PEFT', () => {
  it.each(CASES)('gives the same logits on $model with $options', async ({ model, options }) => {
    const directory = await mkdtemp(join(tmpdir(), 'lowrank-peft-'))
    try {
      const modelPath = join(golden, 'cases', model)
      await run(process.execPath, [join(golden, 'write-adapter.mjs'), modelPath, directory, JSON.stringify(options)])
      const script = join(golden, 'check_adapter.py')
      const { code, stdout, stderr } = await runPython([
        script,
        modelPath,
        directory,
        join(directory, 'logits.safetensors'),
      ])
      expect(code, stderr).toBe(0)
      expect(JSON.parse(stdout)).toMatchObject({ agrees: true, unmatched: [] })
    } finally {
      await rm(directory, { recursive: true })
    }
  })
})
