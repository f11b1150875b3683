/**
 * @file compareBehaviour: what else an adapter changed. Probes are answered by the base model and with the adapter; the
 * rows of training are begun, to see whether the adapter goes on with them by heart.
 */

import { activeAdapters, disableAdapters, enableAdapters } from '../../adapters/named-adapters.js'
import { noGrad } from '../../autograd/tape.js'
import { type CausalLM, expectModel } from '../../causal-lm/causal-lm.js'
import type { GeneratedText } from '../../generation/generate-text.js'
import { generateTexts } from '../../generation/generate-texts.js'
import { encodePrompt } from '../../generation/prompt-ids.js'
import { LowrankError } from '../../lowrank-error.js'
import { type Resolved, readOptions } from '../../options/table.js'
import { asTokenizer, type ForeignTokenizer } from '../../tokenizer/adapt.js'
import type { Tokenizer } from '../../tokenizer/tokenizer.js'
import { divergences, logSum } from './divergence.js'
import {
  type AnswerHabits,
  BEHAVIOUR_OPTIONS,
  type BehaviourChange,
  type BehaviourOptions,
  type BehaviourReport,
} from './options.js'
import { PROBES } from './probes.js'
import { findRecited } from './recitation.js'

interface Probe {
  readonly category: string
  readonly ids: readonly number[]
}

/** What one answer of the base tells. */
interface Probed {
  readonly category: string
  readonly tokens: number
  /** Sums over the tokens of the base's answer. */
  readonly kl: number
  readonly loss: { readonly base: number; readonly adapter: number }
  readonly answers: { readonly base: GeneratedText; readonly adapter: GeneratedText }
}

/** Share of the work that the answers are, and all of the probes. */
const ANSWERED = 0.4
const PROBED = 0.7

/**
 * Compares a model with its active adapters to the same model without them, on 120 prompts of six categories that come
 * with this package, and finds rows of training that the adapters recite. Answers are greedy.
 * @throws LowrankError where no adapter is active; what reading the rows throws
 */
export async function compareBehaviour(
  model: CausalLM,
  givenTokenizer: Tokenizer | ForeignTokenizer,
  options: BehaviourOptions = {},
): Promise<BehaviourReport> {
  expectModel('behaviour', model)
  const resolved = readOptions('behaviour', options, BEHAVIOUR_OPTIONS)
  if (activeAdapters(model).length === 0)
    throw new LowrankError(
      'INVALID_CALL',
      '[behaviour] expected a model with an active adapter to compare with its base, got one without; load the adapter',
    )
  const wasTraining = model.training
  model.eval()
  try {
    return await compare(model, asTokenizer(givenTokenizer), resolved)
  } finally {
    model.train(wasTraining)
  }
}

type Settings = Resolved<BehaviourOptions, typeof BEHAVIOUR_OPTIONS>

async function compare(model: CausalLM, tokenizer: Tokenizer, resolved: Settings): Promise<BehaviourReport> {
  const { maxNewTokens, probesPerCategory, signal, onFraction } = resolved
  const start = performance.now()
  const isChat = tokenizer.chatTemplate !== undefined
  const probes: Probe[] = Object.entries(PROBES).flatMap(([category, prompts]) =>
    prompts.slice(0, probesPerCategory).map((content) => ({
      category,
      ids: encodePrompt(tokenizer, isChat ? [{ role: 'user', content }] : content),
    })),
  )
  const prompts = probes.map(({ ids }) => ids)
  let answered = 0
  const onText = (): void => onFraction?.((ANSWERED * ++answered) / (2 * prompts.length))
  const answer = async (): Promise<GeneratedText[]> =>
    await generateTexts(model, tokenizer, prompts, {
      maxNewTokens,
      doSample: false,
      onText,
      ...(signal && { signal }),
    })
  const base = await withoutAdapters(model, answer)
  const adapter = await answer()
  const probed: Probed[] = []
  for (const [index, probe] of probes.entries()) {
    signal?.throwIfAborted()
    const answers = { base: base[index] as GeneratedText, adapter: adapter[index] as GeneratedText }
    probed.push(await compareOn(model, probe, answers))
    onFraction?.(ANSWERED + ((PROBED - ANSWERED) * (index + 1)) / probes.length)
  }
  const { dataset } = resolved
  const recitation =
    dataset === undefined
      ? undefined
      : await findRecited(model, tokenizer, dataset, resolved, {
          asBase: (work) => withoutAdapters(model, work),
          onFraction: (fraction) => onFraction?.(PROBED + (1 - PROBED) * fraction),
        })
  onFraction?.(1)
  const categories = Object.keys(PROBES).map((name) => [name, summary(probed.filter((one) => one.category === name))])
  return {
    version: 1,
    all: summary(probed),
    categories: Object.fromEntries(categories),
    ...(recitation && { recitation }),
    seconds: (performance.now() - start) / 1000,
  }
}

async function withoutAdapters<T>(model: CausalLM, work: () => Promise<T>): Promise<T> {
  disableAdapters(model)
  try {
    return await work()
  } finally {
    enableAdapters(model)
  }
}

/** Both models read the base's answer; the logits of one prompt are there at a time. */
async function compareOn(model: CausalLM, { category, ids }: Probe, answers: Probed['answers']): Promise<Probed> {
  const { vocabSize } = model.config
  const answer = answers.base.ids
  const base = await withoutAdapters(model, () => answerLogits(model, ids, answer))
  const adapter = await answerLogits(model, ids, answer)
  const lossOf = (logits: Float32Array): number =>
    answer.reduce((sum, id, row) => {
      const first = row * vocabSize
      return sum + logSum(logits, first, vocabSize) - (logits[first + id] as number)
    }, 0)
  return {
    category,
    tokens: answer.length,
    kl: divergences(base, adapter, vocabSize).reduce((sum, value) => sum + value, 0),
    loss: { base: lossOf(base), adapter: lossOf(adapter) },
    answers,
  }
}

/** Logits [T, V] of the positions that predict the tokens of the answer. */
async function answerLogits(
  model: CausalLM,
  prompt: readonly number[],
  answer: readonly number[],
): Promise<Float32Array> {
  const inputIds = [[...prompt, ...answer.slice(0, -1)]]
  const { logits } = noGrad(() => model.forward({ inputIds }, { logits: true }))
  try {
    return (await logits.read()).subarray((prompt.length - 1) * model.config.vocabSize)
  } finally {
    logits.dispose()
  }
}

function summary(probed: readonly Probed[]): BehaviourChange {
  const tokens = sum(probed.map((one) => one.tokens))
  const perplexity = (name: 'base' | 'adapter'): number => Math.exp(sum(probed.map(({ loss }) => loss[name])) / tokens)
  return {
    prompts: probed.length,
    klPerToken: sum(probed.map(({ kl }) => kl)) / tokens,
    perplexity: { base: perplexity('base'), adapter: perplexity('adapter') },
    base: habits(probed.map(({ answers }) => answers.base)),
    adapter: habits(probed.map(({ answers }) => answers.adapter)),
  }
}

function habits(answers: readonly GeneratedText[]): AnswerHabits {
  const mean = (of: (answer: GeneratedText) => number): number => sum(answers.map(of)) / answers.length
  return {
    tokens: mean(({ ids }) => ids.length),
    stopRate: mean(({ finishReason }) => (finishReason === 'stop' ? 1 : 0)),
    repetition: mean(({ ids }) => repetition(ids)),
  }
}

/** The share of runs of four tokens that were there before in the answer; 0 for shorter ones. */
export function repetition(ids: readonly number[]): number {
  const runs = ids.slice(3).map((_, start) => ids.slice(start, start + 4).join(' '))
  return runs.length === 0 ? 0 : 1 - new Set(runs).size / runs.length
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
