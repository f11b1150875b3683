/** @file All metrics of texts, by the names that tasks call them by. */

import { describeValue, nearestName } from '../errors.js'
import { OptionError } from '../lowrank-error.js'
import type { OptionTable } from '../options/table.js'
import { BLEU_OPTIONS, bleuMetric } from './bleu.js'
import { CHRF_OPTIONS, chrfMetric, chrfPlusPlusMetric } from './chrf.js'
import { EXACT_MATCH_OPTIONS, exactMatchMetric } from './exact-match.js'
import { JSON_VALIDITY_OPTIONS, jsonValidityMetric } from './json-validity.js'
import { ROUGE_WORD_OPTIONS, type RougeType, rougeMetric } from './rouge.js'
import type { TextMetric } from './text-row.js'
import { TOKEN_F1_OPTIONS, tokenF1Metric } from './token-f1.js'

/** How a metric is made, and of which options. */
export interface TextMetricEntry {
  readonly options: OptionTable
  /** @throws OptionError on a wrong option */
  readonly create: (options?: object) => TextMetric
}

/** Every metric of texts by its name. */
export const TEXT_METRICS: Readonly<Record<string, TextMetricEntry>> = {
  bleu: { options: BLEU_OPTIONS, create: bleuMetric },
  chrf: { options: CHRF_OPTIONS, create: chrfMetric },
  chrf_plus_plus: { options: CHRF_OPTIONS, create: chrfPlusPlusMetric },
  rouge1: rougeEntry('rouge1'),
  rouge2: rougeEntry('rouge2'),
  rougeL: rougeEntry('rougeL'),
  rougeLsum: rougeEntry('rougeLsum'),
  exact_match: { options: EXACT_MATCH_OPTIONS, create: exactMatchMetric },
  f1: { options: TOKEN_F1_OPTIONS, create: tokenF1Metric },
  json_validity: { options: JSON_VALIDITY_OPTIONS, create: jsonValidityMetric },
}

function rougeEntry(type: RougeType): TextMetricEntry {
  return { options: ROUGE_WORD_OPTIONS, create: (options) => rougeMetric(type, options) }
}

/**
 * The metric of a name.
 * @param where names the call in error messages
 * @throws OptionError on a name that no metric has, naming the nearest, and on a wrong option
 */
export function textMetric(where: string, name: string, options: object = {}): TextMetric {
  const names = Object.keys(TEXT_METRICS)
  const entry = Object.hasOwn(TEXT_METRICS, name) ? TEXT_METRICS[name] : undefined
  if (entry === undefined) {
    const nearest = nearestName(name, names)
    const hint = nearest === undefined ? '' : `; did you mean "${nearest}"?`
    throw new OptionError(
      `[${where}] expected one of ${names.join(', ')} for metric, got ${describeValue(name)}${hint}`,
    )
  }
  return entry.create(options)
}
