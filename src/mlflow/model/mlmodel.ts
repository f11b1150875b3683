/** @file The file MLmodel: which flavors load a directory, what goes in and comes out, and what it was made of. */

import { packageVersion } from '../../version.js'
import { yamlText } from '../../yaml-text.js'
import { MLFLOW_VERSION, PYTHON_VERSION, TRANSFORMERS_VERSION } from './environment.js'
import { exampleOf, type PackTask, signatureOf } from './signature.js'

/** The name of the file. */
export const MLMODEL_FILE = 'MLmodel'

/** What MLmodel is made of. */
export interface MlmodelParts {
  readonly task: PackTask
  /** What differs between adapters and whole models. */
  readonly flavor: Readonly<Record<string, unknown>>
  /** What stands under `metadata.lowrank`. */
  readonly facts: Readonly<Record<string, unknown>>
  /** Bytes of the other files. */
  readonly size: number
}

/** What is another one every time that a directory is packed. */
export interface Passing {
  readonly hash: string
  readonly runId: string | undefined
  readonly modelId: string | undefined
  readonly createdAt: Date
}

/** Files with the example of an input, as MLflow writes them. */
const EXAMPLE_FILE = 'input_example.json'
const SERVING_EXAMPLE_FILE = 'serving_input_example.json'

/** The files with the example of an input. */
export function exampleFiles(task: PackTask, text: string): Readonly<Record<string, string>> {
  const { input, served } = exampleOf(task, text)
  return { [EXAMPLE_FILE]: JSON.stringify(input), [SERVING_EXAMPLE_FILE]: JSON.stringify(served) }
}

/** The content of MLmodel; without `passing`, what is the same every time, of which the hash is made. */
export function mlmodelOf({ task, flavor, facts, size }: MlmodelParts, passing?: Passing): Record<string, unknown> {
  const { hash, runId, modelId, createdAt } = passing ?? {}
  const isChat = task === 'llm/v1/chat'
  return {
    flavors: {
      python_function: {
        env: { conda: 'conda.yaml', virtualenv: 'python_env.yaml' },
        loader_module: 'mlflow.transformers',
        python_version: PYTHON_VERSION,
      },
      transformers: {
        code: null,
        components: ['tokenizer'],
        instance_type: 'TextGenerationPipeline',
        task: 'text-generation',
        ...(isChat && { inference_task: task }),
        tokenizer_type: 'AutoTokenizer',
        transformers_version: TRANSFORMERS_VERSION,
        ...flavor,
      },
    },
    is_signature_from_type_hint: false,
    metadata: {
      // Databricks goes by it.
      ...(isChat && { task }),
      lowrank: { ...facts, ...(hash !== undefined && { version: packageVersion() ?? null, content_hash: hash }) },
    },
    mlflow_version: MLFLOW_VERSION,
    model_size_bytes: size,
    ...(passing && {
      model_id: modelId ?? null,
      model_uuid: hash?.slice(0, 32),
      ...(runId !== undefined && { run_id: runId }),
      utc_time_created: createdAt?.toISOString().replace('T', ' ').replace('Z', '000'),
    }),
    prompts: null,
    saved_input_example_info: {
      artifact_path: EXAMPLE_FILE,
      serving_input_path: SERVING_EXAMPLE_FILE,
      type: 'json_object',
    },
    signature: signatureOf(task),
    type_hint_from_example: false,
  }
}

/** The text of MLmodel. */
export function mlmodelText(content: object): string {
  return yamlText(content)
}
