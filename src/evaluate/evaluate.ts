/**
 * @file evaluate: tasks asked of a model with and without adapters, which one loaded model has one after the other, and
 * the report that compares them.
 */

import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { AdapterSet } from '../adapters/adapter-set.js'
import { LoraAdapter } from '../adapters/lora-adapter.js'
import { CausalLM } from '../causal-lm/causal-lm.js'
import { LOAD_MODEL_OPTIONS, type LoadModelOptions, loadModel } from '../checkpoint/load-model.js'
import { describeValue, nearestName } from '../errors.js'
import { LowrankError, OptionError } from '../lowrank-error.js'
import { anything, boolean, either, instance, listOf, objectOf, text } from '../options/rules.js'
import { type OptionTable, readOptions } from '../options/table.js'
import { asTokenizer, type ForeignTokenizer } from '../tokenizer/adapt.js'
import { loadTokenizer, type Tokenizer } from '../tokenizer/tokenizer.js'
import { isPlainObject } from '../values.js'
import { packageVersion } from '../version.js'
import { compareBehaviour } from './behaviour/compare-behaviour.js'
import { BEHAVIOUR_OPTIONS, type BehaviourOptions, type BehaviourReport } from './behaviour/options.js'
import { adapterDirectory, BASE, type NamedAdapter, namedAdapters } from './evaluated-adapters.js'
import type { EvaluationReport } from './evaluation-report.js'
import { RUNNING_OPTIONS, type RunTasksOptions } from './run-options.js'
import { type ModelVariant, prepareTasks, readTasks, runPrepared } from './run-tasks.js'
import type { EvaluationTask } from './task-options.js'

export interface EvaluateModelsOptions
  extends Omit<RunTasksOptions, 'modelName'>,
    Pick<LoadModelOptions, 'revision' | 'device' | 'dtype' | 'quantization' | 'onEvent'> {
  /** What is evaluated: a Hub id, a directory, a GGUF file, an address, or a model that is loaded. */
  model: string | CausalLM
  /**
   * Tokenizer and chat template of all prompts.
   * @default that beside the first adapter which has one, else the model's
   */
  tokenizer?: Tokenizer | ForeignTokenizer
  /**
   * Adapters that are compared: directories, those of runs and checkpoints too, Hub ids, or uc:// addresses; a list,
   * or an object from names to them.
   * @default none
   */
  adapters?: readonly string[] | Readonly<Record<string, string>>
  /** What is computed of which rows. */
  tasks: readonly EvaluationTask[]
  /**
   * Also compares each adapter with the base on prompts that come with this package, and finds rows of training that
   * it recites; see `compareBehaviour`. `{}` takes the defaults.
   * @default none: nothing else is compared
   */
  behaviour?: Omit<BehaviourOptions, 'onFraction' | 'signal'>
  /**
   * Whether the model without an adapter is evaluated too, as 'base'.
   * @default true
   */
  includeBase?: boolean
  /**
   * Name of the model that the others are compared with.
   * @default 'base', or the first adapter without it
   */
  baseline?: string
}

const { revision, device, dtype, quantization, onEvent } = LOAD_MODEL_OPTIONS
const { onFraction: _, signal: __, ...EVALUATED_BEHAVIOUR } = BEHAVIOUR_OPTIONS

/** The options of `evaluate`. */
export const EVALUATE_MODELS_OPTIONS = {
  model: {
    heading: 'Models',
    rule: {
      ...instance(
        'a directory, a Hub id or what loadModel() gives',
        (value) => text.accepts(value) || value instanceof CausalLM,
      ),
      schema: text.schema ?? {},
    },
    isRequired: true,
    help: 'Hub id, directory, GGUF file or address of the model, or a model that is loaded',
  },
  tokenizer: {
    rule: instance(
      'a tokenizer',
      (value) => value !== null && (typeof value === 'object' || typeof value === 'function'),
    ),
    otherwise: "that beside the first adapter which has one, else the model's",
    help: 'tokenizer and chat template of all prompts',
  },
  adapters: {
    rule: either(listOf(text, 'a list of adapters'), objectOf(text, 'an object from names to adapters')),
    otherwise: 'none',
    help: 'adapters that are compared: directories, those of runs and checkpoints too, Hub ids or uc:// addresses',
  },
  revision,
  device,
  dtype,
  quantization,
  onEvent,
  tasks: {
    heading: 'Tasks',
    rule: listOf(anything, 'a list of tasks', { minItems: 1 }),
    isRequired: true,
    help: 'what is computed of which rows',
  },
  behaviour: {
    rule: instance('an object of options of compareBehaviour', isPlainObject),
    otherwise: 'none: nothing else is compared',
    help: 'also compares each adapter with the base on prompts of this package, and finds rows that it recites',
    table: EVALUATED_BEHAVIOUR,
  },
  includeBase: { rule: boolean, default: true, help: 'evaluate the model without an adapter too' },
  baseline: {
    rule: text,
    otherwise: "'base', or the first adapter without it",
    help: 'name of the model that the others are compared with',
  },
  ...RUNNING_OPTIONS,
} as const satisfies OptionTable<EvaluateModelsOptions>

/**
 * Scores a model with and without adapters on tasks. One model is loaded, and its adapters are switched; each row is
 * read once.
 * @throws OptionError for wrong options; DataError for rows that have a defect; what loading and generating throw
 */
export async function evaluate(options: EvaluateModelsOptions): Promise<EvaluationReport> {
  const resolved = readOptions('evaluate', options, EVALUATE_MODELS_OPTIONS)
  const { model: given, adapters: givenAdapters = [], tasks, includeBase, baseline, signal } = resolved
  readTasks(tasks)
  const adapters = namedAdapters(givenAdapters)
  const order = orderOf([...(includeBase ? [BASE] : []), ...adapters.map(({ name }) => name)], baseline)
  if (resolved.behaviour !== undefined && adapters.length === 0)
    throw new OptionError('[evaluate] expected adapters for behaviour, got none; give the adapter that is looked at')
  signal?.throwIfAborted()
  const startedAt = new Date().toISOString()
  const start = performance.now()
  const directories = new Map<string, string>()
  for (const { name, adapter } of adapters) directories.set(name, await adapterDirectory(adapter, signal))
  const isOwn = typeof given === 'string'
  const model = isOwn ? await loadModel(given, loadingOf(resolved)) : given
  try {
    const tokenizer = await tokenizerFor(model, resolved.tokenizer, [...directories.values()])
    const prepared = await prepareTasks(model, tokenizer, tasks, { signal })
    const behaviour: Record<string, BehaviourReport> = {}
    const reports = await withAdapters(model, directories, async (variants) => {
      const ordered = order.map((name) => variants.find((variant) => variant.name === name) as ModelVariant)
      const tasksOf = await runPrepared(model, tokenizer, prepared, ordered, resolved)
      for (const variant of resolved.behaviour === undefined ? [] : ordered) {
        if (variant.name === BASE) continue
        variant.use()
        const onFraction = (fraction: number): void =>
          resolved.onProgress?.({ task: 'behaviour', model: variant.name, rows: 0, totalRows: 0, fraction })
        onFraction(0)
        behaviour[variant.name] = await compareBehaviour(model, tokenizer, {
          ...resolved.behaviour,
          signal,
          onFraction,
        })
      }
      return tasksOf
    })
    return {
      version: 1,
      startedAt,
      model: model.nameOrPath,
      models: order.map((name) => evaluatedModel(name, adapters)),
      confidence: resolved.confidence,
      tasks: reports,
      ...(resolved.behaviour !== undefined && { behaviour }),
      seconds: (performance.now() - start) / 1000,
      lowrank: packageVersion() ?? null,
    }
  } finally {
    if (isOwn) model.dispose()
  }
}

function loadingOf({
  revision,
  device,
  dtype,
  quantization,
  onEvent,
  signal,
}: EvaluateModelsOptions): LoadModelOptions {
  const given = { revision, device, dtype, quantization, onEvent, signal }
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined))
}

/** The names of the models, the baseline first. @throws OptionError where there is none of its name, or no model */
function orderOf(names: readonly string[], baseline: string | undefined): readonly string[] {
  if (names.length === 0)
    throw new OptionError(
      '[evaluate] expected adapters where includeBase is false, got none; there is nothing to evaluate',
    )
  if (baseline === undefined) return names
  if (names.includes(baseline)) return [baseline, ...names.filter((name) => name !== baseline)]
  const nearest = nearestName(baseline, names)
  throw new OptionError(
    `[evaluate] expected one of ${names.join(', ')} for baseline, got ${describeValue(baseline)}${nearest ? `; did you mean ${nearest}?` : ''}`,
  )
}

function evaluatedModel(name: string, adapters: readonly NamedAdapter[]): EvaluationReport['models'][number] {
  const adapter = adapters.find((other) => other.name === name)?.adapter
  return { name, ...(adapter !== undefined && { adapter }) }
}

async function tokenizerFor(
  model: CausalLM,
  given: Tokenizer | ForeignTokenizer | undefined,
  directories: readonly string[],
): Promise<Tokenizer> {
  if (given !== undefined) return asTokenizer(given)
  for (const directory of directories) {
    const found = await stat(join(directory, 'tokenizer.json')).catch(() => undefined)
    if (found) return await loadTokenizer(directory)
  }
  if (model.path !== undefined) return await loadTokenizer(model.path)
  throw new LowrankError(
    'INVALID_CALL',
    '[evaluate] expected a tokenizer for a model that was not loaded from files; give what loadTokenizer() returns as tokenizer',
  )
}

/** Loads the adapters beside those that the model has, and leaves it as it was. */
async function withAdapters<T>(
  model: CausalLM,
  directories: ReadonlyMap<string, string>,
  work: (variants: readonly ModelVariant[]) => Promise<T>,
): Promise<T> {
  const set = AdapterSet.of(model)
  const before = set.activeNames
  const loaded: LoraAdapter[] = []
  try {
    const variants: ModelVariant[] = [{ name: BASE, use: () => set.setActive([]) }]
    for (const [name, directory] of directories) {
      const adapter = await LoraAdapter.load(model, directory, { active: false })
      loaded.push(adapter)
      variants.push({ name, use: () => set.setActive([adapter.name]) })
    }
    return await work(variants)
  } finally {
    for (const adapter of loaded) adapter.dispose()
    set.setActive(before)
  }
}
