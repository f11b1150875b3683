/** @file `npm run docs`: the API reference in docs/api/, from the comments of the public API. A missing export or a dead link is an error. */

import { OptionDefaults } from 'typedoc'

/** @type {Partial<import('typedoc').TypeDocOptions>} */
export default {
  name: 'lowrank',
  entryPoints: [
    'src/index.ts',
    'src/databricks.ts',
    'src/hosted.ts',
    'src/mlflow.ts',
    'src/notebook.ts',
    'src/testing.ts',
    'src/tfjs.ts',
  ],
  tsconfig: 'tsconfig.build.json',
  out: 'docs/api',
  readme: 'none',
  disableSources: true,
  excludePrivate: true,
  blockTags: [...OptionDefaults.blockTags, '@file'],
  // Lists of values whose types are shown instead.
  intentionallyNotExported: [
    'ACCELERATOR_TYPES',
    'ADAPTER_KINDS',
    'FORMAT_NAMES',
    'FILE_TYPES',
    'LOADER_NAMES',
    'AVERAGES',
    'CHOICE_METRICS',
    'CLASSIFICATION_METRICS',
    'RESOURCE_KINDS',
    'COMPUTE_DTYPES',
    'FILE_DTYPES',
    'LR_SCHEDULER_TYPES',
    'PACKING_STRATEGIES',
    'ROW_FORM_NAMES',
    'STOPPING_STRATEGIES',
    'BITS',
    'BLEU_TOKENIZERS',
    'SMOOTH_METHODS',
    'NORMALIZATIONS',
    'PROVIDERS',
    'ROUGE_TOKENIZERS',
    'ROUGE_TYPES',
    'SQUAD_VERSIONS',
  ],
  treatWarningsAsErrors: true,
}
