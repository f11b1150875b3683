/**
 * @file Results of evaluations in the Hub's form: `model-index` of a model card, as huggingface_hub's `EvalResult` and
 * the Hub's pages read it (https://github.com/huggingface/hub-docs/blob/main/modelcard.md). Imports nothing.
 */

/** One figure of a model on a data set. */
export interface IndexedMetric {
  /** Identifier, such as 'rouge1'. */
  readonly type: string
  readonly value: number
  readonly name: string
  /** Whether the Hub has computed it; what a run reports of itself is false. */
  readonly verified: false
}

/** What came of one task. */
export interface IndexedResult {
  readonly task: { readonly type: string; readonly name: string }
  readonly dataset: {
    /** Id on the Hub, else a name. */
    readonly type: string
    readonly name: string
    readonly revision?: string
  }
  readonly metrics: readonly IndexedMetric[]
}

/** What stands behind `model-index`. */
export type ModelIndex = readonly [{ readonly name: string; readonly results: readonly IndexedResult[] }]

/** A figure; undefined where there is none: the Hub takes numbers alone. */
export function indexedMetric(type: string, value: number | null | undefined): IndexedMetric | undefined {
  if (typeof value !== 'number' || !Number.isFinite(value)) return undefined
  return { type, value, name: prettyName(type), verified: false }
}

/** The results of a model; undefined where there are none. Tasks without a figure are left out. */
export function modelIndex(name: string, results: readonly IndexedResult[]): ModelIndex | undefined {
  const filled = results.filter(({ metrics }) => metrics.length > 0)
  return filled.length === 0 ? undefined : [{ name, results: filled }]
}

const PRETTY: Readonly<Record<string, string>> = {
  bleu: 'BLEU',
  chrf: 'chrF',
  f1: 'F1',
  json: 'JSON',
  rouge1: 'ROUGE-1',
  rouge2: 'ROUGE-2',
  rougeL: 'ROUGE-L',
  rougeLsum: 'ROUGE-Lsum',
}

/** `eval_exact_match` as people read it: 'Eval exact match'. */
function prettyName(type: string): string {
  const words = type
    .split(/[_\s]+/)
    .filter((word) => word !== '')
    .map((word) => (Object.hasOwn(PRETTY, word) ? PRETTY[word] : word))
    .join(' ')
  return words === '' ? type : words.charAt(0).toUpperCase() + words.slice(1)
}
