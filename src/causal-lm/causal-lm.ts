/** @file The model that users hold: weights by name, forward with loss and logits, and generation. */

import type { Architecture, Decoder, ForwardContext, RaggedInput } from '../architecture/architecture.js'
import { type ForwardBatch, type PreparedBatch, prepareBatch } from '../architecture/batch.js'
import type { ModelConfig, RawConfig } from '../architecture/config.js'
import { IGNORE_INDEX, type RaggedBatch } from '../architecture/ragged-batch.js'
import type { GradientCheckpointing } from '../autograd/gradient-checkpointing.js'
import type { Parameter } from '../autograd/parameter.js'
import { noGrad } from '../autograd/tape.js'
import { type Choose, Decoding, type RefillOptions } from '../decoding/decoding.js'
import {
  createChooser,
  type GenerateInput,
  type GenerationDefaults,
  isBatch,
  readGenerateOptions,
  readPrompts,
} from '../decoding/generate-options.js'
import type { GenerateOptions } from '../decoding/sampling-options.js'
import { Scoring } from '../decoding/scoring.js'
import { describeValue } from '../errors.js'
import type { ModelOrigin } from '../hub/model-origin.js'
import { LowrankError, OptionError } from '../lowrank-error.js'
import { type Linear, ModelBuilder, type ModelModules, type Quantization, type WeightOptions } from '../nn/module.js'
import { argmax } from '../ops/argmax.js'
import { linear } from '../ops/linear.js'
import { linearCrossEntropy } from '../ops/linear-cross-entropy.js'
import { linearLogProbs } from '../ops/linear-log-probs.js'
import { gatherRows, scatterRows_ } from '../ops/rows.js'
import { boolean, float32 } from '../options/rules.js'
import { SEED } from '../options/shared.js'
import { type OptionTable, readOptions } from '../options/table.js'
import type { Device } from '../tensor/device.js'
import type { ComputeDType } from '../tensor/dtype.js'
import { scope } from '../tensor/scope.js'
import { Tensor } from '../tensor/tensor.js'

export interface ForwardOptions {
  /**
   * Also return logits. They are not recorded for backward; the loss is.
   * @default false
   */
  logits?: boolean
  /**
   * What backward() makes is multiplied by it, the loss is not. A loop of one's own in float16 needs it, where
   * gradients end at 6e-8: start at 65536, give the same number to `AdamW.step()`, and halve it when a gradient norm
   * is not finite.
   * @default 1
   */
  lossScale?: number
}

/** The options of `forward`. */
export const FORWARD_OPTIONS = {
  logits: { rule: boolean, default: false, help: 'also return logits; they are not recorded for backward' },
  lossScale: {
    rule: float32({ above: 0 }),
    default: 1,
    help: 'what backward() makes is multiplied by it, the loss is not',
  },
} as const satisfies OptionTable<ForwardOptions>

/** What forward() gives. Only these leave; everything else of the pass is freed or held by the loss's graph. */
export interface ForwardResult {
  /** float32 [1]: mean cross-entropy of the labelled tokens. Asking for it without labels throws. */
  readonly loss: Tensor
  /**
   * float32 [B, T, V] ([N, V] for ragged input), rows of padding zero. Asking for them throws unless `logits: true` was
   * given.
   */
  readonly logits: Tensor
}

/** Decoding steps that are queued at a time, so that the device has the next one while JavaScript hears of the last. */
const STEPS_AHEAD = 2

/** Rows whose logits are there at a time where labels are scored. */
const SCORED_ROWS = 64

/** The whole numbers from `first` to `end` - 1. */
function range(first: number, end: number): Int32Array {
  return Int32Array.from({ length: end - first }, (_, i) => first + i)
}

/** @throws on what is no model, as where `await` is missing before `loadModel()` */
export function expectModel(where: string, model: unknown): void {
  if (model instanceof CausalLM) return
  const hint = model instanceof Promise ? '; await it' : ''
  throw new OptionError(
    `[${where}] expected what loadModel() or createModel() gives for model, got ${describeValue(model)}${hint}`,
  )
}

/** A causal language model on a device. Made by `loadModel()`. */
export class CausalLM {
  readonly config: ModelConfig
  /** config.json as it was read, or as a GGUF file would have it. */
  readonly rawConfig: RawConfig
  readonly architecture: Architecture
  readonly device: Device
  readonly dtype: ComputeDType
  /** Where it was loaded from: a Hub id, a directory or a GGUF file. Recorded in adapters. */
  readonly nameOrPath: string
  /** Set by `loadModel()` for a model of the Hub. */
  origin: ModelOrigin = {}
  /** The directory or GGUF file that it was loaded from; set by `loadModel`. */
  path: string | undefined
  /** The type of most of its weights' elements in its files; set by `loadModel`. */
  storedDType: ComputeDType | undefined
  /** Where files contradict each other, what was made of it, a sentence each; set by `loadModel`. */
  warnings: readonly string[] = []
  /** What its makers say of generation; set by `loadModel`. */
  generationDefaults: GenerationDefaults | undefined
  /** Whether `dispose()` closes the device: where `loadModel` or `createModel` opened it for this model. */
  ownsDevice = false
  /**
   * Recompute layers in backward instead of keeping their activations; 'full': attention as well. Changes no bit of any
   * result.
   */
  gradientCheckpointing: GradientCheckpointing = false
  /**
   * Masks of LoRA dropout are a function of (seed, microStep, dropoutStream of the LoRA pair, element); a training
   * forward counts microStep up.
   */
  readonly dropoutState = { seed: SEED.default, microStep: 0 }
  readonly #decoder: Decoder
  readonly #parts: ModelModules
  #disposed = false
  #training = false
  #dropoutStreams = 0
  /** Answers that are being generated. */
  #decodings = 0
  #isChanging = false

  constructor(
    architecture: Architecture,
    rawConfig: RawConfig,
    device: Device,
    dtype: ComputeDType,
    nameOrPath: string,
    weights?: WeightOptions,
  ) {
    const builder = new ModelBuilder(device, dtype, weights)
    // A GGUF file holds its config itself.
    const where = nameOrPath.toLowerCase().endsWith('.gguf') ? nameOrPath : `${nameOrPath}/config.json`
    this.#decoder = architecture.create(rawConfig, builder, where)
    this.#parts = builder.parts
    for (const parameter of this.#parts.parameters.values()) parameter.holder = `weights of ${nameOrPath}`
    this.config = this.#decoder.config
    this.rawConfig = rawConfig
    this.architecture = architecture
    this.device = device
    this.dtype = dtype
    this.nameOrPath = nameOrPath
  }

  /** The output head. */
  get head(): Linear {
    return this.#decoder.head
  }

  /** All weights of the base model by checkpoint name, a tied head once. Adapters hold theirs themselves. */
  parameters(): ReadonlyMap<string, Parameter> {
    return this.#parts.parameters
  }

  /** All modules by path: projections, the head, embeddings. */
  get modules(): ModelModules {
    return this.#parts
  }

  /** 'nf4' when projections are held in NF4. */
  get quantization(): Quantization | undefined {
    return this.quantizedWeights().size > 0 ? 'nf4' : undefined
  }

  /** True when a GPU reads the embeddings from the machine's memory. */
  get offloadEmbedding(): boolean {
    return [...this.parameters().values()].some(({ isOffloaded }) => isOffloaded)
  }

  /** True when the base model's head has weights of its own, and not the embedding's. */
  get hasOwnHead(): boolean {
    return this.parameters().has(`${this.head.path}.weight`)
  }

  /** The weights that are held, or are to be held, in NF4, and their projections. */
  quantizedWeights(): ReadonlyMap<Parameter, Linear> {
    const quantized = [...this.#parts.linears.values()].filter(({ isQuantized }) => isQuantized)
    return new Map(quantized.map((module) => [module.weight, module]))
  }

  get training(): boolean {
    return this.#training
  }

  /** Switches LoRA dropout on; `eval()` switches it off. Models start in eval mode. */
  train(on = true): this {
    this.#training = on
    return this
  }

  eval(): this {
    return this.train(false)
  }

  /** A number for a new LoRA pair, which gives it dropout masks of its own. */
  nextDropoutStream(): number {
    return this.#dropoutStreams++
  }

  /**
   * Runs the model.
   * @throws on shapes that do not fit, ids outside the vocabulary, positions beyond what the model has.
   */
  forward(batch: ForwardBatch, options: ForwardOptions = {}): ForwardResult {
    const resolved = readOptions('forward', options, FORWARD_OPTIONS)
    return this.#run(prepareBatch(batch, this.config.vocabSize), batch.numItemsInBatch, resolved)
  }

  /**
   * Runs the model on a batch that is ragged already, its labels shifted; the trainer's way in. Ids are taken as
   * checked.
   */
  forwardRagged(batch: RaggedBatch, numItemsInBatch?: number): ForwardResult {
    return this.#run({ ...batch, outputShape: [batch.inputIds.length] }, numItemsInBatch, {})
  }

  /**
   * `forwardRagged` in two parts: the decoder is queued at once, the head and the loss when what is returned is called,
   * once. So the device has work while the scale of the loss is still being found out.
   */
  beginRagged(batch: RaggedBatch, numItemsInBatch?: number): (lossScale: number) => Tensor {
    const context = this.#begin()
    const hidden = scope(() => this.#decoder.forward(this.#raggedInput(batch), context)) // [N, D]
    return (lossScale) => {
      const loss = scope(() => this.#loss(hidden, batch, context, { numItems: numItemsInBatch, lossScale }))
      hidden.dispose()
      if (!loss)
        throw new LowrankError('INVALID_CALL', '[forward] expected labels in the batch: there is no loss without them')
      return loss
    }
  }

  /**
   * The log probability of each label of a ragged batch, whose ids are taken as checked: float32 [N], 0 where there is
   * none. For losses that are made of these: backward takes any gradient of them.
   * @throws on a batch with weights, which log probabilities have no place for
   */
  logProbsRagged(batch: RaggedBatch & { readonly labels: Int32Array }): Tensor {
    if (batch.weights)
      throw new LowrankError(
        'INVALID_CALL',
        '[logProbs] expected a batch without weights, got weights of its tokens; weigh what is made of the log probabilities',
      )
    const context = this.#begin()
    return scope(() => {
      const hidden = this.#decoder.forward(this.#raggedInput(batch), context) // [N, D]
      const labels = Tensor.from(this.device, batch.labels, [batch.labels.length])
      return linearLogProbs(hidden, labels, this.#decoder.head, context)
    })
  }

  /**
   * How likely the labels of a ragged batch are, and what is most likely in their places: of the labelled tokens alone,
   * in order. Ids are taken as checked; nothing is recorded for backward.
   */
  async labelScores(
    batch: RaggedBatch & { readonly labels: Int32Array },
  ): Promise<{ logProbs: Float32Array; mostLikely: Int32Array }> {
    const context = this.#begin()
    const rows = Int32Array.from(batch.labels.keys()).filter((row) => batch.labels[row] !== IGNORE_INDEX)
    const [logProbs, ...mostLikely] = noGrad(() =>
      scope(() => {
        const integers = (values: Int32Array): Tensor => Tensor.from(this.device, values, [values.length])
        const hidden = this.#decoder.forward(this.#raggedInput(batch), context) // [N, D]
        const labelled = gatherRows(hidden, integers(rows)) // [L, D]
        hidden.dispose()
        const labels = integers(rows.map((row) => batch.labels[row] as number))
        const ids: Tensor[] = []
        for (let first = 0; first < rows.length; first += SCORED_ROWS) {
          const chunk = integers(range(first, Math.min(rows.length, first + SCORED_ROWS)))
          ids.push(
            scope(() => argmax(linear(gatherRows(labelled, chunk), [this.#decoder.head], { outputDType: 'float32' }))),
          )
        }
        return [linearLogProbs(labelled, labels, this.#decoder.head), ...ids] as const
      }),
    )
    const result = new Int32Array(rows.length)
    for (const [chunk, ids] of mostLikely.entries()) {
      result.set(await ids.readInt32(), chunk * SCORED_ROWS)
      ids.dispose()
    }
    const scores = { logProbs: await logProbs.read(), mostLikely: result }
    logProbs.dispose()
    return scores
  }

  /**
   * Scores continuations of contexts. Ids are taken as checked; nothing is recorded for backward.
   * @param prefix the beginning of all contexts, in whole PREFIX_MULTIPLEs, which is computed once; may be empty.
   */
  scoring(prefix: Int32Array): Scoring {
    this.expectLive('scoreContinuations')
    return new Scoring(this.#decoder, this.device, this.dtype, prefix, this.#beginAnswers('scoreContinuations'))
  }

  /** @throws when it was disposed. */
  expectLive(where: string): void {
    if (this.#disposed)
      throw new LowrankError(
        'INVALID_CALL',
        `[${where}] expected a live model, got ${this.nameOrPath}, which was disposed; load it again, or dispose it later`,
      )
  }

  #begin(): ForwardContext {
    this.expectLive('forward')
    const context: ForwardContext = {
      dropout: this.#training ? { ...this.dropoutState } : undefined,
      gradientCheckpointing: this.gradientCheckpointing,
      trainable: this.#isTrainable(),
    }
    if (this.#training) this.dropoutState.microStep++
    this.device.reportSavedMemory()
    return context
  }

  #run(
    batch: PreparedBatch,
    numItems: number | undefined,
    { logits: wantLogits, lossScale }: ForwardOptions,
  ): ForwardResult {
    const context = this.#begin()
    const compute = () => {
      const hidden = this.#decoder.forward(this.#raggedInput(batch), context) // [N, D]
      return {
        logits: wantLogits ? noGrad(() => this.#logits(hidden, batch)) : undefined,
        loss: this.#loss(hidden, batch, context, { numItems, lossScale }),
      }
    }
    // Without a loss nobody could use the graph.
    const { loss, logits } = batch.labels ? scope(compute) : noGrad(() => scope(compute))
    return {
      get loss(): Tensor {
        if (!loss)
          throw new LowrankError(
            'INVALID_CALL',
            '[forward] expected labels in the batch: there is no loss without them',
          )
        return loss
      },
      get logits(): Tensor {
        if (!logits)
          throw new LowrankError(
            'INVALID_CALL',
            '[forward] expected forward(batch, { logits: true }): logits are not computed unless asked for',
          )
        return logits
      },
    }
  }

  #loss(
    hidden: Tensor,
    { labels, weights: ofTokens }: RaggedBatch,
    { dropout }: ForwardContext,
    options: { numItems: number | undefined; lossScale: number | undefined },
  ): Tensor | undefined {
    if (!labels) return undefined
    const ids = Tensor.from(this.device, labels, [labels.length])
    const weights = ofTokens && Tensor.from(this.device, ofTokens, [ofTokens.length])
    return linearCrossEntropy(hidden, ids, this.#decoder.head, { ...options, weights, dropout })
  }

  #raggedInput({ inputIds, positions, cuSeqlens }: RaggedBatch): RaggedInput {
    const bounds = Tensor.from(this.device, cuSeqlens, [cuSeqlens.length])
    const sequenceLength = positions.reduce((largest, position) => Math.max(largest, position), 0) + 1
    return {
      inputIds: Tensor.from(this.device, inputIds, [inputIds.length]),
      positions: Tensor.from(this.device, positions, [positions.length]),
      positionCount: sequenceLength,
      sequenceLength,
      cuSeqlensQ: bounds,
      cuSeqlensK: bounds,
    }
  }

  #logits(hidden: Tensor, { outputShape, outputRows }: PreparedBatch): Tensor {
    const logits = linear(hidden, [this.#decoder.head], { outputDType: 'float32' }) // [N, V]
    const { vocabSize } = this.config
    if (!outputRows) return logits.reshape([...outputShape, vocabSize])
    const [rows, cols] = outputShape as [number, number]
    const all = Tensor.full(this.device, [rows * cols, vocabSize], 'float32', 0)
    scatterRows_(all, Tensor.from(this.device, outputRows, [outputRows.length]), logits)
    return all.reshape([rows, cols, vocabSize])
  }

  /**
   * Continues prompts token by token with a key/value cache, greedily unless the options say otherwise. Sequences of a
   * batch do not see each other; each gets the ids that it gets alone, but for draws, which differ from sequence to
   * sequence, and for prompts beyond what `dynamic` rope scaling leaves as it is. Adapters must not be switched
   * meanwhile.
   * @param input the ids of a prompt; of several; or a padded batch.
   * @returns the new ids, the ending one included; for several prompts a list of each.
   * @throws on an empty prompt, ids outside the vocabulary, options out of range, and the signal's reason when it is
   * aborted.
   */
  generate(input: readonly number[], options?: GenerateOptions): Promise<number[]>
  generate(input: Exclude<GenerateInput, readonly number[]>, options?: GenerateOptions): Promise<number[][]>
  async generate(input: GenerateInput, options: GenerateOptions = {}): Promise<number[] | number[][]> {
    const prompts = readPrompts(input, this.config.vocabSize)
    const answers: number[][] = prompts.map(() => [])
    for await (const step of this.#steps(prompts, options)) {
      step.forEach((id, sequence) => {
        if (id === undefined) return
        answers[sequence]?.push(id)
        options.onToken?.(id, sequence)
      })
    }
    return isBatch(input) ? answers : (answers[0] as number[])
  }

  /** `generate()` for one prompt, id by id as they come. Leaving the loop ends the work. */
  async *stream(inputIds: readonly number[], options: GenerateOptions = {}): AsyncGenerator<number, void, undefined> {
    for await (const [id] of this.#steps(readPrompts(inputIds, this.config.vocabSize), options)) {
      options.onToken?.(id as number, 0)
      yield id as number
    }
  }

  /** The new ids of each step, undefined for sequences that have ended. */
  async *#steps(prompts: readonly Int32Array[], options: GenerateOptions): AsyncGenerator<(number | undefined)[]> {
    const { maxNewTokens, eosTokenIds, sampling, signal } = readGenerateOptions(
      options,
      this.config,
      this.generationDefaults,
    )
    signal?.throwIfAborted()
    const chooser = createChooser(sampling, prompts, this.config.vocabSize, this.device)
    const mostTokens = Math.max(...prompts.map(({ length }) => length)) + maxNewTokens
    const decoding = this.decoding(prompts, mostTokens, chooser.choose)
    const ended = prompts.map(() => false)
    try {
      const queued: Promise<Int32Array>[] = []
      for (let step = 0; step < maxNewTokens && ended.includes(false); step++) {
        signal?.throwIfAborted()
        while (queued.length < STEPS_AHEAD && step + queued.length < maxNewTokens) {
          const ids = decoding.next()
          // Also of a step after the last that is waited for; what comes after starts without its fault. On a closed
          // device nothing comes after.
          ids.catch(() => this.device.sync()).catch(() => undefined)
          queued.push(ids)
        }
        const ids = (await queued.shift()) as Int32Array
        yield Array.from(ids, (id, sequence) => (ended[sequence] ? undefined : id))
        ids.forEach((id, sequence) => {
          if (!eosTokenIds.has(id)) return
          ended[sequence] = true
          decoding.end(sequence)
        })
      }
    } finally {
      decoding.dispose()
      chooser.dispose()
    }
  }

  /**
   * Sequences to continue token by token, as generate() does. Ids are taken as checked.
   * @param mostTokens that a sequence may have in the end, its prompt included.
   * @param refill present where prompts come by `fill()`: `prompts` then says only how many grow at a time.
   */
  decoding(prompts: readonly Int32Array[], mostTokens: number, choose: Choose, refill?: RefillOptions): Decoding {
    this.expectLive('generate')
    const hooks = this.#beginAnswers('generate')
    return new Decoding(this.#decoder, this.device, this.dtype, prompts, mostTokens, choose, hooks, refill)
  }

  /**
   * The decoder, for what makes its batches itself: many requests at once. Until `end()` is called nothing is merged
   * into the weights.
   */
  beginInference(): { readonly decoder: Decoder; end(): void } {
    this.expectLive('inference')
    return { decoder: this.#decoder, end: this.#beginAnswers('inference').onEnd }
  }

  /** What holds while answers or scores are being made: weights and adapters stay as they are. */
  #beginAnswers(where: string): { expectUnchanged(): void; onEnd(): void } {
    if (this.#isChanging)
      throw new LowrankError(
        'INVALID_CALL',
        `[${where}] expected weights that stay, but an adapter is being merged into them; await that first`,
      )
    // Lists of LoRA pairs are replaced when adapters come, go or are switched.
    const before = [...this.#parts.linears.values()].map((linear) => ({ linear, pairs: linear.pairs }))
    const expectUnchanged = (): void => {
      this.expectLive(where)
      if (before.every(({ linear, pairs }) => linear.pairs === pairs)) return
      throw new LowrankError(
        'INVALID_CALL',
        `[${where}] expected the adapters unchanged while an answer is generated; switch them between answers`,
      )
    }
    this.#decodings++
    return { expectUnchanged, onEnd: () => void this.#decodings-- }
  }

  /**
   * Runs what changes the weights in several turns of the event loop; no answer is begun meanwhile.
   * @throws while an answer is generated: its tokens would be of two models
   */
  async changeWeights(where: string, change: () => Promise<void>): Promise<void> {
    this.expectLive(where)
    if (this.#decodings > 0 || this.#isChanging)
      throw new LowrankError(
        'INVALID_CALL',
        `[${where}] expected a model at rest, but ${this.#isChanging ? 'another adapter is being merged' : 'an answer is being generated'}; wait for its end`,
      )
    this.#isChanging = true
    try {
      await change()
    } finally {
      this.#isChanging = false
    }
  }

  /**
   * Frees all weights. A device that `loadModel` or `createModel` opened for this model is closed, and everything of it
   * goes: memory, addresses, thread, and what else is on it, as adapters. A device that was given to them stays open,
   * and adapters on it free theirs. Safe to call twice.
   */
  dispose(): void {
    this.#disposed = true
    for (const parameter of this.#parts.parameters.values()) parameter.dispose()
    if (this.ownsDevice) this.device.close()
  }

  [Symbol.dispose](): void {
    this.dispose()
  }

  #isTrainable(): boolean {
    const { parameters, linears } = this.#parts
    for (const parameter of parameters.values()) if (parameter.requiresGrad) return true
    for (const module of linears.values()) {
      if (module.weight.requiresGrad || module.pairs.some((pair) => pair.a.requiresGrad || pair.b.requiresGrad))
        return true
    }
    const { embeddings, norms } = this.#parts
    return [...embeddings.values(), ...norms.values()].some((module) => module.weight.requiresGrad)
  }
}
