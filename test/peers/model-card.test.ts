/** @file The card of a run as huggingface_hub and PEFT read it. */

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { updateModelCard } from '../../src/evaluate/update-card.js'
import { REPORT } from '../support/evaluation-report.js'
import { temporaryDirectory, tinyRows, trainTiny, writeTinyModel } from '../support/tiny-model.js'
import { describeWithPython, runPython } from './python.js'

const script = fileURLToPath(new URL('model_card.py', import.meta.url))
const directory = temporaryDirectory()

describeWithPython('the card of a run', () => {
  it('has metadata and results that huggingface_hub reads, whatever the run is called, and PEFT goes on with', async () => {
    const model = await writeTinyModel(join(directory, 'model'))
    const adapter = join(directory, 'run', 'adapter')
    const runName = 'a: "b" \\ #c\n---\n- x: [*y, &z] {é} \u{1f600} \u2028 | \x7f'
    const { run } = await trainTiny(
      {
        model,
        outputDir: join(directory, 'run'),
        evalDataset: tinyRows(7, 31),
        baseModelName: 'org/base',
        training: { runName, maxSteps: 4, evalSteps: 2 },
      },
      adapter,
    )
    await updateModelCard(adapter, REPORT)
    const { code, stdout, stderr } = await runPython([script, model, adapter])
    expect(code, stderr).toBe(0)
    const { before, after, warnings } = JSON.parse(stdout)
    expect(warnings).toEqual([])
    const own = { task: 'text-generation', dataset: 'rows of a program', dataset_type: 'rows of a program' }
    const answers = { task: 'text-generation', dataset: 'answers (held-out.jsonl)', dataset_type: 'held-out.jsonl' }
    const topics = { task: 'text-classification', dataset: 'topics (org/topics)', dataset_type: 'org/topics' }
    expect(before).toEqual({
      base_model: 'org/base',
      library_name: 'peft',
      license: null,
      pipeline_tag: 'text-generation',
      tags: ['base_model:adapter:org/base', 'lora', 'lowrank'],
      model_name: runName,
      index_name: runName,
      same_results: true,
      results: [
        { ...own, metric: 'loss', name: 'Loss', value: run.evaluation?.loss, verified: false },
        { ...own, metric: 'perplexity', name: 'Perplexity', value: run.evaluation?.perplexity, verified: false },
        { ...answers, metric: 'rougeL', name: 'ROUGE-L', value: 0.5, verified: false },
        { ...answers, metric: 'perplexity', name: 'Perplexity', value: 6.25, verified: false },
        { ...topics, metric: 'f1_macro', name: 'F1 macro', value: 0.75, verified: false },
      ],
      headings: [
        '# LoRA adapter for org/base',
        '## How to load it',
        '## Loss',
        '## Options',
        '### Framework versions',
        '## Evaluation',
      ],
      header_ends: true,
    })
    // PEFT adds its tags and its version, and names the base model as it was loaded.
    const { tags, base_model: _, ...rest } = after
    const { tags: __, base_model: ___, ...expected } = before
    expect(rest).toEqual(expected)
    expect(tags).toContain('lora')
    expect(await readFile(join(adapter, 'README.md'), 'utf8')).toMatch(
      /### Framework versions\n\n- PEFT [\d.]+\n- lowrank/,
    )
  })
})
