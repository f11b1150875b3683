/** @file What a command line imports: help is quick because it loads nothing that computes, and no package. */

import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'

const root = fileURLToPath(new URL('../../', import.meta.url))

/**
 * Folders of modules that compute, but for a list of names, the arrays of a batch and the options of a device, which
 * tables of options need; and modules beside such tables that compute.
 */
const COMPUTING =
  /^dist\/(?:architecture\/(?!ragged-batch)|autograd|causal-lm|gguf|models|ops|tensor\/(?!(?:addon|device|dtype|engine-error)\.js$)|tokenizer\/(?!named-templates)|weights|(?:checkpoint\/load-model|adapters\/lora-adapter|data\/dataset|generation\/generate-text|train\/(?:train-lora|trainer|plan|resolve-options))\.js$)/

/** Modules by their path in the project. */
function importedBy(...words: readonly string[]): string[] {
  const args = ['--import', './test/support/list-modules.mjs', 'dist/cli/main.js', ...words]
  const { stderr } = spawnSync(process.execPath, args, { cwd: root, encoding: 'utf8' })
  return [...stderr.matchAll(/^imported file:\/\/(.*)$/gm)].map(([, path = '']) => path.slice(root.length))
}

it.each([['--help'], ['help', 'train'], ['doctor', '--help'], ['train', '--help']])(
  'lowrank %s %s imports no module that computes, and no package',
  (...words) => {
    const imported = importedBy(...words)
    expect(imported).toContain('dist/cli/help-text.js')
    expect(imported.filter((path) => COMPUTING.test(path) || path.startsWith('node_modules/'))).toEqual([])
  },
)

it('a command imports what computes when it runs', () => {
  const imported = importedBy('generate', '--model', 'nowhere', '--prompt', 'Hi')
  for (const path of ['dist/causal-lm/causal-lm.js', 'dist/tokenizer/tokenizer.js', 'dist/generation/generate-text.js'])
    expect(imported).toContain(path)
  expect(importedBy('train', 'nowhere.yaml')).toContain('node_modules/yaml/dist/index.js')
})
