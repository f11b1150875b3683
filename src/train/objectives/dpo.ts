/**
 * @file Direct preference optimization (Rafailov et al. 2023, arXiv:2305.18290): of two answers the chosen one is to
 * gain probability on the rejected one, measured against the model without its adapter. Figures are named as TRL's
 * DPOTrainer names them.
 */

import { activeAdapters, disableAdapters, enableAdapters } from '../../adapters/named-adapters.js'
import { noGrad, runBackward } from '../../autograd/tape.js'
import type { CausalLM } from '../../causal-lm/causal-lm.js'
import type { MicroBatch } from '../../data/batches.js'
import { type Example, encodeRowSteps } from '../../data/examples.js'
import type { RowFormName } from '../../data/forms/row-form.js'
import type { ExampleGroup } from '../../data/items.js'
import type { CodingContext, EncodedItem, RecognizedRow } from '../../data/row-coding.js'
import { recognizeSteps, type SequenceRow } from '../../data/row-forms.js'
import { describeOrigin, type RowOrigin, rowError } from '../../data/row-origin.js'
import { unusualSteps } from '../../data/unusual-rows.js'
import { LowrankError } from '../../lowrank-error.js'
import { Tensor } from '../../tensor/tensor.js'
import type { Steps } from '../../turns.js'
import type { Means } from '../means.js'
import type { BatchLoss, Objective } from '../objective.js'

/** A prompt with its chosen answer, and with its rejected one. */
export interface PreferencePair extends ExampleGroup {
  readonly sequences: readonly [chosen: Example, rejected: Example]
}

/** @param beta how strongly the model is held to the one without its adapter; the larger, the more */
export function dpo({ beta = 0.1 }: { beta?: number } = {}): Objective<PreferencePair> {
  return {
    name: 'dpo',
    identity: { objective: 'dpo', beta },
    isCrossEntropy: false,
    sequencesPerItem: 2,
    takesWeights: false,
    recognize: recognizePreference,
    encode: encodePreference,
    placeholder: ([chosen, rejected]) => preferencePair(chosen as Example, rejected as Example),
    begin(model, batch, weight) {
      const reference = referenceLogProbs(model, batch)
      const policy = model.logProbsRagged(batch)
      const shares = Promise.all([policy.read(), reference.read()]).then(([own, others]) =>
        preferences(batch, own, others, { beta, weight }),
      )
      // Whoever asks hears of a fault; nobody need ask.
      shares.catch(() => {})
      return (lossScale) => preferenceLoss(policy, reference, shares, lossScale)
    },
  }
}

/** A row of prompt, chosen and rejected: two rows of prompt and completion, of texts or of messages. */
interface PreferenceRow extends RecognizedRow {
  readonly chosen: SequenceRow
  readonly rejected: SequenceRow
}

function* recognizePreference(value: unknown, origin: RowOrigin, rowForm?: RowFormName): Steps<PreferenceRow> {
  const row = yield* recognizeSteps(value, origin, rowForm)
  if (row.form !== 'preference')
    throw rowError(
      origin,
      `[dpo] expected rows with what was chosen and what was rejected, as { prompt, chosen, rejected }, got one of the form ` +
        `${row.form} in ${describeOrigin(origin)}; rename or convert the columns`,
    )
  const { chosen, rejected, ...rest } = row
  const place = { origin, ...(row.weight !== undefined && { weight: row.weight }) }
  return { ...rest, chosen: { ...place, ...chosen }, rejected: { ...place, ...rejected } }
}

/** Both answers are learnt from alone, whatever the options say of prompts. */
function* encodePreference(
  row: PreferenceRow,
  { tokenizer, renderer, options }: CodingContext,
): Steps<EncodedItem<PreferencePair>> {
  const answersOnly = { ...options, completionOnlyLoss: true }
  const chosen = yield* encodeRowSteps(row.chosen, tokenizer, renderer, answersOnly)
  const rejected = yield* encodeRowSteps(row.rejected, tokenizer, renderer, answersOnly)
  if (chosen.example.weights || rejected.example.weights)
    throw rowError(
      row.origin,
      `[dpo] expected answers without weights in ${describeOrigin(row.origin)}, got a weight other than 0 and 1; a pair is ` +
        'compared by whole log probabilities: remove the weights',
    )
  return {
    item: preferencePair(chosen.example, rejected.example),
    fullLength: Math.max(chosen.fullLength, rejected.fullLength),
    truncated: chosen.truncated || rejected.truncated,
    dropped: [...chosen.dropped, ...rejected.dropped],
    quotesArguments: chosen.quotesArguments || rejected.quotesArguments,
    unusual: [...new Set([...(yield* unusualSteps(row.chosen)), ...(yield* unusualSteps(row.rejected))])],
  }
}

/** Pairs count alike, however long their answers are. */
export function preferencePair(chosen: Example, rejected: Example): PreferencePair {
  return { sequences: [chosen, rejected], weight: 1 }
}

/** Without adapter, dropout and graph. */
function referenceLogProbs(model: CausalLM, batch: MicroBatch): Tensor {
  if (activeAdapters(model).length === 0)
    throw new LowrankError(
      'INVALID_CALL',
      "[dpo] expected a model with an adapter, without which it is the reference, got none; use method: 'lora'",
    )
  const wasTraining = model.training
  model.eval()
  disableAdapters(model)
  try {
    return noGrad(() => model.logProbsRagged(batch))
  } finally {
    enableAdapters(model)
    model.train(wasTraining)
  }
}

/** A micro-batch's share of the means, and the gradient of its loss by the log probability of each token. */
interface Shares {
  readonly means: Means
  readonly gradient: Float32Array
}

/** The loss is made of a few numbers per pair: the host makes it, in float64, between forward and backward. */
function preferenceLoss(policy: Tensor, reference: Tensor, shares: Promise<Shares>, lossScale: number): BatchLoss {
  return {
    async backward() {
      const { gradient } = await shares
      const scaled = gradient.map((value) => value * lossScale)
      runBackward([{ tensor: policy, grad: Tensor.from(policy.device, scaled, policy.shape) }])
    },
    read: async () => (await shares).means,
    dispose() {
      policy.dispose()
      reference.dispose()
    },
  }
}

/**
 * -log sigmoid(beta * delta), delta = log ratio of the chosen answer less that of the rejected one; its mean over
 * `weight` pairs.
 */
function preferences(
  { cuSeqlens, items, labels }: MicroBatch<PreferencePair>,
  policy: Float32Array,
  reference: Float32Array,
  { beta, weight }: { beta: number; weight: number },
): Shares {
  const gradient = new Float32Array(labels.length)
  const sums = { loss: 0, chosen: 0, rejected: 0, accuracies: 0 }
  const tokens = (sequence: number): [start: number, end: number] => [
    cuSeqlens[sequence] as number,
    cuSeqlens[sequence + 1] as number,
  ]
  const reward = (sequence: number): number => {
    const [start, end] = tokens(sequence)
    let sum = 0
    for (let i = start; i < end; i++) sum += (policy[i] as number) - (reference[i] as number)
    return beta * sum
  }
  for (let pair = 0; pair < items.length; pair++) {
    const [chosen, rejected] = [reward(2 * pair), reward(2 * pair + 1)]
    const margin = chosen - rejected
    sums.loss += Math.max(-margin, 0) + Math.log1p(Math.exp(-Math.abs(margin)))
    sums.chosen += chosen
    sums.rejected += rejected
    if (chosen > rejected) sums.accuracies++
    const slope = beta / (1 + Math.exp(margin)) / weight
    gradient.fill(-slope, ...tokens(2 * pair))
    gradient.fill(slope, ...tokens(2 * pair + 1))
  }
  const share = (sum: number): number => sum / weight
  return {
    gradient,
    means: {
      loss: share(sums.loss),
      figures: {
        'rewards/chosen': share(sums.chosen),
        'rewards/rejected': share(sums.rejected),
        'rewards/accuracies': share(sums.accuracies),
        'rewards/margins': share(sums.chosen - sums.rejected),
      },
    },
  }
}
