/**
 * @file Which files of a folder are which split: lowrank and the package datasets say the same, by names, by patterns
 * and by the configurations of a README.md.
 */

import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { expect, it } from 'vitest'
import { findFiles } from '../../src/data/sources/find-files.js'
import { temporaryDirectory } from '../support/tiny-model.js'
import { describeWithPython, runPython } from './python.js'

const SCRIPT = `
import json, sys
from datasets import get_dataset_config_names, load_dataset_builder
out = []
for path, name, data_files in json.load(sys.stdin):
    options = {**({'name': name} if name else {}), **({'data_files': data_files} if data_files else {})}
    files = load_dataset_builder(path, **options).config.data_files
    out.append({str(split): sorted(file[len(path) + 1:] for file in paths) for split, paths in files.items()})
print(json.dumps(out))
`

const CARD = `---
configs:
- config_name: one
  data_files:
  - split: train
    path: ["a/*.jsonl", "b/[0-4].jsonl"]
  - split: dev
    path: "**/held.jsonl"
- config_name: two
  default: true
  data_dir: c
---
`

/** Files of a folder, and which configurations and patterns are asked for. */
const FOLDERS: readonly (readonly [
  files: readonly string[],
  card: string,
  asked: readonly (readonly [string?, string?])[],
])[] = [
  [['data/train-00000-of-00002.jsonl', 'data/train-00001-of-00002.jsonl', 'data/test-00000-of-00001.jsonl'], '', [[]]],
  [['data/train_sft-00000-of-00001.jsonl', 'data/test_sft-00000-of-00001.jsonl', 'other/train.jsonl'], '', [[]]],
  [
    ['train.jsonl', 'dev.jsonl', 'evaluation.jsonl', 'sub/my-training_part.jsonl'],
    '',
    [[], [undefined, 'sub/*.jsonl']],
  ],
  [['train/a.jsonl', 'valid/test.jsonl', 'b.jsonl'], '', [[]]],
  [['rows.jsonl', 'more/rows.jsonl', 'trainer.jsonl', 'contest.jsonl'], '', [[]]],
  [['x/val 1.jsonl', 'x/1.test.jsonl', 'x/pretrain.jsonl'], '', [[]]],
  [
    ['a/1.jsonl', 'a/x/2.jsonl', 'b/3.jsonl', 'b/7.jsonl', 'd/held.jsonl', 'c/train.jsonl', 'c/test.jsonl'],
    CARD,
    [['one'], ['two'], []],
  ],
]

describeWithPython('splits of a folder', () => {
  const root = temporaryDirectory()

  it('the files of every split of a folder are those that datasets takes', async () => {
    const questions: (readonly [string, string | undefined, string | undefined])[] = []
    for (const [index, [files, card, asked]] of FOLDERS.entries()) {
      const folder = join(root, String(index))
      for (const file of files) {
        await mkdir(dirname(join(folder, file)), { recursive: true })
        await writeFile(join(folder, file), '{"text": "a"}\n')
      }
      if (card !== '') await writeFile(join(folder, 'README.md'), card)
      for (const [name, patterns] of asked) questions.push([folder, name, patterns])
    }
    const { code, stdout, stderr } = await runPython(['-c', SCRIPT], JSON.stringify(questions))
    expect(code, stderr).toBe(0)
    const expected = JSON.parse(stdout.trim().split('\n').at(-1) ?? '') as Record<string, string[]>[]
    for (const [index, [folder, name, dataFiles]] of questions.entries()) {
      const splits = expected[index] as Record<string, string[]>
      const found: Record<string, string[]> = {}
      for (const split of Object.keys(splits)) {
        const paths = await findFiles(folder, split, { name, dataFiles })
        found[split] = paths.map((path) => path.slice(folder.length + 1)).sort()
      }
      expect(found, `${folder} ${name ?? ''}`).toEqual(splits)
    }
    expect(expected.flatMap((splits) => Object.keys(splits)).length).toBeGreaterThan(12)
  })
})
