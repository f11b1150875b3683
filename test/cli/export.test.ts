/** @file `lowrank export`: what is said of files for other programs, when it fails, and how mistakes are answered. */

import { readdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import type { ExportReport } from '../../src/export/export-model.js'
import { temporaryDirectory, tinyAdapter, tinyModel, writeTinyModel } from '../support/tiny-model.js'
import { lowrank } from './run-cli.js'

const folder = temporaryDirectory()
const base = join(folder, 'base')
const adapter = join(folder, 'adapter')

beforeAll(async () => {
  await writeTinyModel(base)
  const model = await tinyModel()
  const trained = tinyAdapter(model, { r: 20 })
  trained.baseModelName = base
  await trained.save(adapter)
  model.dispose()
  model.device.close()
})

describe('lowrank export', () => {
  it('writes an adapter for mlx-lm, and says in a table how near it is and what did not run', async () => {
    const output = join(folder, 'mlx')
    const args = ['export', '--adapter', adapter, '--format', 'mlx-adapter', '--output', output]
    const { code, stdout, stderr } = await lowrank([...args, '--compare-tokens', '40'])
    expect(stderr).toBe('')
    expect(code).toBe(0)
    const lines = stdout.split('\n')
    expect(lines[0]).toBe(`Exported 2 files to ${output} (mlx-adapter, float32)`)
    expect(lines[1]).toMatch(/^compared with the source {2,}found {2,}allowed$/)
    expect(lines[2]).toMatch(/^lines with other ids {2,}none compared, there is no tokenizer in the files$/)
    expect(lines[3]).toMatch(/^largest logit difference, 40 tokens {2,}0 {2,}[\d.e-]+$/)
    expect(lines[5]).toMatch(/^same most likely token {2,}40 of 40$/)
    expect(lines[6]).toMatch(/^first differing token {2,}none$/)
    expect(lines[7]).toBe(
      'Not compared: mlx-lm did not run; its files were read back by its names and shapes, and computed here',
    )
    expect(lines[8]).toBe('Passed: the export computes what its source does')
    expect(await readdir(output)).toEqual(['adapter_config.json', 'adapters.safetensors'])
  })

  it('fails with exit code 1 beyond the threshold, with the report as JSON and the files in place', async () => {
    const output = join(folder, 'rounded')
    const lines = join(folder, 'lines.txt')
    await writeFile(lines, 'one two three\n\nfour five\n')
    const args = ['export', base, '--adapter', adapter, '--format', 'merged', '--output', output, '--lines', lines]
    const { code, stdout } = await lowrank([...args, '--max-logit-difference', '0', '--json'])
    expect(code).toBe(1)
    const report = JSON.parse(stdout) as ExportReport
    expect(report).toMatchObject({ passed: false, format: 'merged', dtype: 'bfloat16', maxLogitDifference: 0 })
    expect(report).toMatchObject({ encodedLines: 2, differentLines: 0 })
    expect(report.logitDifference).toBeGreaterThan(0)
    expect(JSON.parse(await readFile(join(output, 'config.json'), 'utf8'))).toMatchObject({ model_type: 'llama' })
  })

  it('says what loaders would refuse, with versions, and fails where one refuses', async () => {
    const args = ['export', '--adapter', adapter, '--check', 'vllm,peft']
    const { code, stdout } = await lowrank(args)
    expect(code).toBe(0)
    const lines = stdout.split('\n')
    expect(lines[0]).toMatch(/^vllm \(0\.33\.0; rules read in .+\):$/)
    expect(lines[1]).toBe('  needs  r  it serves rank 20 only when started with --max-lora-rank 32; its default is 16')
    expect(lines[2]).toMatch(/^peft \(0\.21\.2; .+\): nothing is refused$/)
    const settings = join(adapter, 'adapter_config.json')
    const text = await readFile(settings, 'utf8')
    await writeFile(settings, JSON.stringify({ ...JSON.parse(text), use_dora: true }))
    const refused = await lowrank([...args, '--json'])
    await writeFile(settings, text)
    expect(refused.code).toBe(1)
    expect(JSON.parse(refused.stdout).findings).toContainEqual({
      ...{ loader: 'vllm', version: '0.33.0', effect: 'refused', feature: 'use_dora' },
      message: "it does not have DoRA; export the merged model (format 'merged')",
    })
  })

  it.each<[string, string[], string]>([
    [
      'nothing to export',
      ['--format', 'merged', '--output', 'x'],
      'expected MODEL, or --adapter DIR, which names it; got neither',
    ],
    ['nothing to do', ['m'], 'expected --format NAME or --check NAMES, got neither; formats are merged, peft, vllm,'],
    ['no place', ['m', '--format', 'peft'], 'expected --format NAME and --output DIR together, got --format alone'],
    ['no such format', ['m', '--format', 'onnx'], 'for --format, got "onnx"'],
    [
      'no such loader',
      ['m', '--check', 'tgi'],
      'expected a list of vllm, llama.cpp, ollama, mlx, peft, transformers for --check',
    ],
    ['the model as a flag', ['--model', 'm'], 'the model as MODEL, without a flag'],
  ])('refuses %s', async (_, args, message) => {
    const { code, stderr } = await lowrank(['export', ...args])
    expect(stderr).toContain(message)
    expect(code).toBe(2)
  })
})
