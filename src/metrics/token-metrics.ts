/** @file Metrics of what a model gives to the tokens of a text: perplexity and token accuracy. */

import type { Metric } from './metric.js'

/** How likely a model finds the tokens of a text. */
export interface LikelihoodRow {
  /** The sum of the negative log likelihoods of the tokens, in nats. */
  readonly nll: number
  /** How many tokens these are. */
  readonly tokens: number
}

/** Perplexity: the exponential of the mean negative log likelihood of all tokens, whatever text they are from. */
export const PERPLEXITY: Metric<LikelihoodRow> = {
  name: 'perplexity',
  higherIsBetter: false,
  statistics: ({ nll, tokens }) => Float64Array.of(nll, tokens),
  score: (sums) => Math.exp(sums[0]! / sums[1]!),
}

/** How many tokens of a text are those that the model finds most likely. */
export interface TokenAccuracyRow {
  readonly correct: number
  readonly tokens: number
}

/** Token accuracy: the share of all tokens that are those that the model finds most likely, 0 to 1. */
export const TOKEN_ACCURACY: Metric<TokenAccuracyRow> = {
  name: 'token_accuracy',
  higherIsBetter: true,
  statistics: ({ correct, tokens }) => Float64Array.of(correct, tokens),
  score: (sums) => sums[0]! / sums[1]!,
}
