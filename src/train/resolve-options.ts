/**
 * @file Checks and completes the options of `trainLora`. What each may be is in options.ts; here is how they go
 * together.
 */

import { DEFAULT_LORA_CONFIG, type LoraConfig } from '../adapters/lora-config.js'
import { parseLoraOptions, SHORT_LORA_NAMES } from '../adapters/peft-config.js'
import { DATA_OPTIONS, type DataOptions, type ResolvedDataOptions, resolveDataOptions } from '../data/options.js'
import { isDataSource, openSource } from '../data/sources/open-source.js'
import { describeKind, describeValue, unknownOption } from '../errors.js'
import { OptionError } from '../lowrank-error.js'
import { OptionProblems } from '../options/problems.js'
import { boolean, check } from '../options/rules.js'
import { camelCaseKeys, type Spelling } from '../options/spelling.js'
import { aliasesOf, entryOf, namesOf, type OptionTable } from '../options/table.js'
import { isPlainObject } from '../values.js'
import { evalOption, evalSources } from './eval-datasets.js'
import { SHORT_TRAINING_NAMES, UNSUPPORTED_OPTIONS, UNSUPPORTED_SCHEDULERS } from './known-options.js'
import { type MoreOptions, type ResolvedTrainOptions, TRAIN_LORA_OPTIONS, type TrainRunOptions } from './options.js'
import { findPreset, withPreset } from './presets.js'
import { duringRunProblems, resolveDuringRun } from './resolve-during-run.js'
import { asksForStreaming, isTable, streamingProblems } from './streaming-options.js'
import {
  EFFECTIVE_BATCH_SIZE,
  OWN_TRAINING_OPTIONS,
  type ResolvedTrainingOptions,
  TRAINING_DEFAULTS,
  TRAINING_OPTIONS,
  type TrainingOptions,
} from './training-options.js'

const TRAINING_NAMES: readonly string[] = namesOf(TRAINING_OPTIONS)
const OLD_TRAINING_NAMES = aliasesOf(TRAINING_OPTIONS)
const NO_MORE: MoreOptions = { table: {}, check: () => [] }

/**
 * Checks and completes the options of `trainLora`. Keys may be camelCase, or snake_case as in Python.
 *
 * @param more options beside those of training, which are checked and handed on as they are
 * @throws OptionError that tells of everything that is wrong: unknown options (naming the nearest), those that
 * transformers or TRL have and this library does not yet, values outside their range, and options that contradict each
 * other.
 */
export function resolveTrainOptions(raw: unknown, more: MoreOptions = NO_MORE): ResolvedTrainOptions {
  if (!isPlainObject(raw)) throw new OptionError(`[train] expected an object of options, got ${describeValue(raw)}`)
  return new Parser(raw, more).parse()
}

/** The options on their way, with how they were spelled and what is wrong with them so far. */
class Parser {
  readonly #problems = new OptionProblems()
  readonly #topSpelling: Spelling
  readonly #trainingSpelling: Spelling
  /** Options beside `training`, and those in it, by the names that they have here. */
  #given: Record<string, unknown>
  #flags: Record<string, unknown>
  readonly #more: MoreOptions
  /** Every option that may stand beside `training`. */
  readonly #table: OptionTable

  constructor(raw: Record<string, unknown>, more: MoreOptions) {
    this.#more = more
    this.#table = { ...TRAIN_LORA_OPTIONS, ...more.table }
    const [top, topSpelling] = camelCaseKeys(this.#problems, [], raw, aliasesOf(this.#table))
    this.#given = top
    this.#topSpelling = topSpelling
    const nested = isPlainObject(top.training) ? top.training : {}
    const path = this.#top('training')
    const [flags, trainingSpelling] = camelCaseKeys(this.#problems, path, nested, OLD_TRAINING_NAMES)
    this.#flags = flags
    this.#trainingSpelling = trainingSpelling
  }

  parse(): ResolvedTrainOptions {
    this.#applyPreset()
    this.#applyMachineFlags()
    this.#checkTopLevel()
    const more = this.#parseMore()
    const options = this.#given as unknown as TrainRunOptions
    const method = options.method ?? TRAIN_LORA_OPTIONS.method.default
    this.#checkMethod(options)
    const training = this.#parseTraining(options)
    const lora = method === 'lora' ? this.#parseLora(options.lora ?? {}) : undefined
    const resume = options.resumeFromCheckpoint ?? TRAIN_LORA_OPTIONS.resumeFromCheckpoint.default
    if (resume === true && options.outputDir === undefined) {
      this.#problems.add(
        [this.#top('resumeFromCheckpoint')],
        '[train] expected outputDir with resumeFromCheckpoint: true; set it, or give the path of a checkpoint',
      )
    }
    if (options.behaviour === true && (options.outputDir === undefined || method !== 'lora')) {
      const lacking = method === 'lora' ? 'expected outputDir' : "expected method 'lora'"
      this.#problems.add(
        [this.#top('behaviour')],
        `[train] ${lacking} with behaviour: true, which compares the adapter and writes behaviour.json there; set it, or remove behaviour`,
      )
    }
    this.#problems.throwIfAny()
    return {
      ...options,
      ...more,
      method,
      lora,
      training,
      device: options.device ?? TRAIN_LORA_OPTIONS.device.default,
      dtype: options.dtype ?? TRAIN_LORA_OPTIONS.dtype.default,
      resumeFromCheckpoint: resume,
    }
  }

  /** The path of an option beside `training`, as it was spelled. */
  #top(name: string): string[] {
    return [this.#topSpelling.get(name) ?? name]
  }

  /** The path of an option in `training`, as it was spelled. */
  #training(name: string): string[] {
    return [...this.#top('training'), this.#trainingSpelling.get(name) ?? name]
  }

  /** Completes what is given by the preset where one is named. */
  #applyPreset(): void {
    const top = this.#given
    // What is no object is refused as it stands.
    if (top.preset === undefined || (top.lora !== undefined && !isPlainObject(top.lora))) return
    this.#problems.attempt([this.#top('preset')], () => {
      // Keys that come twice are told of where the options of LoRA are read.
      const [lora] = camelCaseKeys(new OptionProblems(), this.#top('lora'), top.lora ?? {}, new Map())
      const all = withPreset(
        findPreset(top.preset),
        { top, training: this.#flags, lora },
        TRAIN_LORA_OPTIONS.method.default,
      )
      const hasLora = top.lora !== undefined || Object.keys(all.lora).length > 0
      this.#given = { ...all.top, ...(hasLora && { lora: all.lora }) }
      this.#flags = { ...all.training }
    })
  }

  /** Turns the flags of TrainingArguments about machine and precision into `device` and `dtype`. */
  #applyMachineFlags(): void {
    const given = this.#given
    const take = (name: string): boolean => {
      const value = this.#flags[name]
      if (value === undefined) return false
      this.#problems.attempt([this.#training(name)], () => check('training', name, value, boolean))
      delete this.#flags[name]
      return value === true
    }
    const flag = (['bf16', 'fp16'] as const).filter(take)
    const [precision] = flag
    if (flag.length > 1) {
      const message = '[training] expected bf16 or fp16, got both; remove one'
      this.#problems.add(
        flag.map((name) => this.#training(name)),
        message,
      )
    } else if (precision !== undefined) {
      const wanted = precision === 'bf16' ? 'bfloat16' : 'float16'
      if (given.dtype !== undefined && given.dtype !== wanted) {
        this.#problems.add(
          [this.#training(precision), this.#top('dtype')],
          `[training] expected ${precision}: true and dtype to agree, got dtype ${describeValue(given.dtype)}; remove one`,
        )
      } else given.dtype = wanted
    }
    const [cpuFlag] = ['useCpu', 'noCuda'].filter(take)
    if (cpuFlag === undefined) return
    if (given.device !== undefined && given.device !== 'cpu') {
      this.#problems.add(
        [this.#training(cpuFlag), this.#top('device')],
        `[training] expected ${cpuFlag}: true and device to agree, got device ${describeValue(given.device)}`,
      )
    } else given.device = 'cpu'
  }

  #checkTopLevel(): void {
    const given = this.#given
    for (const [name, value] of Object.entries(given)) {
      const path = [this.#top(name)]
      const trainingName = SHORT_TRAINING_NAMES.get(name) ?? name
      const entry = entryOf(this.#table, name)
      if (entry) {
        this.#problems.attempt(path, () => check('train', name, value, entry.rule))
      } else if (isTrainingName(trainingName)) {
        this.#problems.add(path, `[train] ${name} is an option of training; write training: { ${trainingName}: ... }`)
      } else {
        const unknown = () => unknownOption('train', this.#topSpelling.get(name) ?? name, namesOf(this.#table)).message
        this.#problems.add(path, misplacedLoraOption('train', name) ?? unknown())
      }
    }
    for (const name of ['model', 'dataset'] as const) {
      if (given[name] !== undefined) continue
      this.#problems.add(
        [this.#top(name)],
        `[train] expected ${TRAIN_LORA_OPTIONS[name].rule.expected} for ${name}, got nothing`,
      )
    }
    const { dataset, evalDataset } = given
    if (isDataSource(dataset)) this.#problems.attempt([this.#top('dataset')], () => openSource(dataset))
    for (const { name, source } of evalSources(evalDataset as TrainRunOptions['evalDataset'])) {
      if (isDataSource(source))
        this.#problems.attempt([this.#top('evalDataset')], () => openSource(source, evalOption(name)))
    }
  }

  /** The options beside those of training, as they are spelled here. */
  #parseMore(): Record<string, unknown> {
    const given = Object.entries(this.#given).filter(([name]) => Object.hasOwn(this.#more.table, name))
    const values = Object.fromEntries(
      given.map(([name, value]) => {
        const { table } = entryOf(this.#more.table, name) ?? {}
        return [name, table && isPlainObject(value) ? this.#parseSection(name, value, table) : value]
      }),
    )
    // How they go together is no question where one of them is wrong by itself.
    if (!given.some(([name]) => this.#problems.concern(this.#top(name)))) {
      for (const { options, message } of this.#more.check(values)) {
        this.#problems.add(
          options.map(([name = '', ...rest]) => [...this.#top(name), ...rest]),
          message,
        )
      }
    }
    return values
  }

  #parseSection(section: string, given: object, table: OptionTable): Record<string, unknown> {
    const path = this.#top(section)
    const [values, spelling] = camelCaseKeys(this.#problems, path, given, aliasesOf(table))
    for (const [name, value] of Object.entries(values)) {
      const spelled = spelling.get(name) ?? name
      this.#problems.attempt([[...path, spelled]], () => {
        const entry = entryOf(table, name)
        if (!entry) throw unknownOption(section, spelled, namesOf(table))
        check(section, name, value, entry.rule)
      })
    }
    return values
  }

  /** What training every weight excludes. */
  #checkMethod({ method, lora, quantization, offloadEmbedding, baseModelName }: TrainRunOptions): void {
    if (method !== 'full') return
    const refuse = (name: string, message: string): void =>
      this.#problems.add([this.#top(name), this.#top('method')], `[train] expected no ${message}`)
    if (lora) refuse('lora', "lora options with method 'full', which trains every weight; remove one of the two")
    if (baseModelName) {
      refuse('baseModelName', "baseModelName with method 'full', which saves a model that needs no other; remove it")
    }
    if (quantization) {
      refuse(
        'quantization',
        "quantization with method 'full': weights in NF4 have no gradient; train an adapter on them, or remove it",
      )
    }
    if (offloadEmbedding) {
      refuse(
        'offloadEmbedding',
        "offloadEmbedding with method 'full', which trains the embeddings; remove it, or train an adapter",
      )
    }
  }

  #parseLora(given: unknown): LoraConfig | undefined {
    if (!isPlainObject(given)) return undefined
    const path = this.#top('lora')
    return parseLoraOptions(given, (names, message) =>
      this.#problems.add(
        names.map((name) => [...path, name]),
        message,
      ),
    )
  }

  #parseTraining({ evalDataset, evalTasks, samplePrompts, outputDir }: TrainRunOptions): ResolvedTrainingOptions {
    const hasEvalDataset = evalDataset !== undefined
    const own: TrainingOptions = {}
    const data: DataOptions = {}
    for (const [name, value] of Object.entries(this.#flags)) {
      this.#problems.attempt([this.#training(name)], () => {
        if (Object.hasOwn(OWN_TRAINING_OPTIONS, name)) {
          checkTraining(name as keyof typeof OWN_TRAINING_OPTIONS, value)
          Object.assign(own, { [name]: value })
        } else if (Object.hasOwn(DATA_OPTIONS, name)) {
          resolveDataOptions({ [name]: value }, 'training')
          Object.assign(data, { [name]: value })
        } else this.#checkForeign(name, value)
      })
    }
    const together = ['packing', 'padding'].map((name) => this.#training(name))
    const resolvedData =
      this.#problems.attempt(together, () => resolveDataOptions(data, 'training')) ?? resolveDataOptions()
    const hasProbes = evalTasks !== undefined || samplePrompts !== undefined
    this.#checkConflicts(own, resolvedData.evalSplit > 0, hasEvalDataset, hasProbes)
    this.#checkBatches(own, resolvedData)
    const streaming = this.#checkStreaming(own, resolvedData)
    const all = { ...TRAINING_DEFAULTS, ...own }
    const parts = {
      hasEvaluation: hasEvalDataset || resolvedData.evalSplit > 0 || hasProbes,
      hasOutput: outputDir !== undefined,
    }
    for (const { names, message } of duringRunProblems(own, parts))
      this.#conflict(
        names.map((name) => this.#training(name)),
        message,
      )
    return {
      ...all,
      ...resolvedData,
      ...resolveDuringRun(own, parts),
      streaming,
      gradientAccumulationSteps:
        all.gradientAccumulationSteps === 'auto'
          ? Math.ceil(all.maxTokensPerBatch === undefined ? EFFECTIVE_BATCH_SIZE / all.perDeviceTrainBatchSize : 1)
          : all.gradientAccumulationSteps,
    }
  }

  /** An option that is not ours: fine when it asks for what happens anyway, else an error that knows it or does not. */
  #checkForeign(name: string, value: unknown): void {
    const known = Object.hasOwn(UNSUPPORTED_OPTIONS, name) ? UNSUPPORTED_OPTIONS[name] : undefined
    if (known?.same.includes(value)) return
    if (Object.hasOwn(this.#table, name))
      throw new OptionError(`[training] ${name} stands beside training, not in it; move it one level up`)
    if (known === undefined) {
      const misplaced = misplacedLoraOption('training', name)
      if (misplaced !== undefined) throw new OptionError(misplaced)
      const spelled = this.#trainingSpelling.get(name) ?? name
      throw unknownOption('training', spelled, TRAINING_NAMES, SHORT_TRAINING_NAMES)
    }
    if (value === null) return
    const shown = known.isSecret ? describeKind(value) : describeValue(value)
    throw new OptionError(`[training] ${name}: ${shown} is real but not supported yet; ${known.remedy}`)
  }

  /** Ways to make batches that exclude each other. */
  #checkBatches(own: TrainingOptions, { packing }: ResolvedDataOptions): void {
    const { maxTokensPerBatch, groupByLength, dataloaderDropLast } = own
    const refuse = (isBoth: unknown, ...names: [string, string]): void => {
      if (isBoth)
        this.#problems.add(
          names.map((name) => this.#training(name)),
          `[training] expected ${names.join(' or ')}, got both; remove one`,
        )
    }
    refuse(maxTokensPerBatch && dataloaderDropLast, 'maxTokensPerBatch', 'dataloaderDropLast')
    refuse(maxTokensPerBatch && packing, 'maxTokensPerBatch', 'packing')
    refuse(groupByLength && packing, 'groupByLength', 'packing')
  }

  /** Whether rows are taken as they come; what needs all of them first goes not with it. */
  #checkStreaming(own: TrainingOptions, data: ResolvedDataOptions): boolean | undefined {
    const { dataset } = this.#given
    if (!isDataSource(dataset)) return own.streaming
    const problems = streamingProblems(dataset, own, data)
    const streaming = own.streaming ?? (asksForStreaming(dataset) || (isTable(dataset) && problems.length === 0))
    if (!streaming) return own.streaming
    for (const { names, message } of problems)
      this.#problems.add(
        names.map((name) => (name === 'dataset' ? this.#top(name) : this.#training(name))),
        `[training] ${message}`,
      )
    return true
  }

  /** Tells of options that go not together, unless one of them is wrong by itself. */
  #conflict(options: readonly string[][], message: string): void {
    if (!options.some((option) => this.#problems.concern(option))) this.#problems.add(options, `[training] ${message}`)
  }

  #checkConflicts(own: TrainingOptions, splits: boolean, hasEvalDataset: boolean, hasProbes: boolean): void {
    const [ratio, steps] = [this.#training('warmupRatio'), this.#training('warmupSteps')]
    if (own.warmupRatio !== undefined && own.warmupSteps !== undefined)
      this.#conflict([ratio, steps], 'expected warmupRatio or warmupSteps, got both; remove one')
    const warmup = (own.warmupRatio ?? 0) > 0 ? 'warmupRatio' : (own.warmupSteps ?? 0) > 0 ? 'warmupSteps' : undefined
    if (own.lrSchedulerType === 'constant' && warmup) {
      this.#conflict(
        [this.#training('lrSchedulerType'), this.#training(warmup)],
        `expected no ${warmup} with lrSchedulerType 'constant'; use 'constant_with_warmup'`,
      )
    }
    const [dataset, split] = [this.#top('evalDataset'), this.#training('evalSplit')]
    if (hasEvalDataset && splits)
      this.#conflict([dataset, split], 'expected evalDataset or evalSplit, got both; remove one')
    const evaluates = own.evalStrategy === 'steps' || own.evalStrategy === 'epoch'
    if (evaluates && !hasEvalDataset && !splits && !hasProbes && !this.#problems.concern(split)) {
      this.#conflict(
        [this.#training('evalStrategy')],
        `expected evalDataset or evalSplit with evalStrategy '${own.evalStrategy}'; add one, or set 'no'`,
      )
    }
  }
}

function checkTraining(name: keyof typeof OWN_TRAINING_OPTIONS, value: unknown): void {
  const { rule } = OWN_TRAINING_OPTIONS[name]
  if (name === 'lrSchedulerType' && UNSUPPORTED_SCHEDULERS.includes(value as string)) {
    throw new OptionError(`[training] lrSchedulerType '${value}' is real but not supported yet; use ${rule.expected}`)
  }
  check('training', name, value, rule)
}

/** Whether an option belongs into `training`, by whatever name. */
function isTrainingName(name: string): boolean {
  return TRAINING_NAMES.includes(name) || Object.hasOwn(UNSUPPORTED_OPTIONS, name) || OLD_TRAINING_NAMES.has(name)
}

function misplacedLoraOption(where: string, name: string): string | undefined {
  const loraName = SHORT_LORA_NAMES.get(name) ?? name
  if (!Object.hasOwn(DEFAULT_LORA_CONFIG, loraName)) return undefined
  return `[${where}] ${name} is an option of lora; write lora: { ${loraName}: ... }`
}
