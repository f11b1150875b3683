/**
 * @file The Python environment that loads a model directory, as MLflow writes it. Whoever serves or loads the model
 * installs these packages; lowrank needs none of them.
 */

import { yamlText } from '../../yaml-text.js'

/** The version of MLflow whose layout a model directory has. */
export const MLFLOW_VERSION = '3.17.2'
/** The version of transformers that the flavor names. */
export const TRANSFORMERS_VERSION = '5.24.0'
/** The Python of the environment; transformers 5 needs 3.10 or later. */
export const PYTHON_VERSION = '3.11.7'

const BUILD_DEPENDENCIES = ['pip', 'setuptools', 'wheel']
/**
 * Exact versions, since loaders of another version may name weights and settings otherwise: those with which the logits
 * of model directories are compared with this engine's. Without accelerate, transformers reads a checkpoint on the CPU
 * alone. torchvision, which MLflow adds by itself, loads nothing of a language model.
 */
const PACKAGES = [
  `mlflow==${MLFLOW_VERSION}`,
  `transformers==${TRANSFORMERS_VERSION}`,
  'torch==2.13.0',
  'accelerate==1.15.0',
  'safetensors==0.8.0',
  'tokenizers==0.23.3',
]
/** What an adapter needs more. */
const PEFT = 'peft==0.21.2'

/** Names and texts of the files that say which packages load a model. */
export function environmentFiles(needsPeft: boolean): Readonly<Record<string, string>> {
  const packages = needsPeft ? [...PACKAGES, PEFT].sort() : [...PACKAGES].sort()
  return {
    'requirements.txt': `${packages.join('\n')}\n`,
    'python_env.yaml': yamlText({
      python: PYTHON_VERSION,
      build_dependencies: BUILD_DEPENDENCIES,
      dependencies: ['-r requirements.txt'],
    }),
    'conda.yaml': yamlText({
      channels: ['conda-forge'],
      dependencies: [`python=${PYTHON_VERSION}`, 'pip', { pip: packages }],
      name: 'mlflow-env',
    }),
  }
}
