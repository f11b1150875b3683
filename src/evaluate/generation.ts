/** @file Tasks whose answers the model writes: metrics of texts, and scores by a function of the user. */

import type { CausalLM } from '../causal-lm/causal-lm.js'
import { describeValue } from '../errors.js'
import { generateTexts } from '../generation/generate-texts.js'
import { LowrankError } from '../lowrank-error.js'
import { textMetric } from '../metrics/text-metrics.js'
import type { TextMetric } from '../metrics/text-row.js'
import { expectOptions } from '../options/table.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { isPlainObject, toError } from '../values.js'
import { type AskedRow, askRows, shownRow } from './ask-rows.js'
import type { TaskWarning } from './evaluation-report.js'
import { JUDGE_OPTIONS, readJudgeOptions } from './judge-options.js'
import { Rubric } from './judge-rubric.js'
import { type JudgedScores, judgedPairs, judgedScores, type TaskJudgeOptions } from './judge-task.js'
import { loadScoreAnswer } from './score-module.js'
import {
  type AnsweredRow,
  type AskedModel,
  meanMetric,
  type PreparedTask,
  type TaskAnswers,
  type TaskMetric,
} from './task.js'
import { GENERATION_TABLE, type ResolvedGenerationTask, type ScoreAnswer } from './task-options.js'

/** Metrics where none are asked for. */
const USUAL_METRICS = ['exact_match', 'rougeL'] as const
/** Tokens of the longest answer where nothing is said of them, as `generateText` has it. */
const USUAL_ANSWER = GENERATION_TABLE.maxNewTokens.default
/** Metrics that look at no reference. */
const WITHOUT_REFERENCE: ReadonlySet<string> = new Set(['json_validity'])

const { signal: _, onProgress: __, ...TASK_JUDGE } = JUDGE_OPTIONS

/** An answer, whole. */
interface Answer {
  readonly text: string
  readonly finishReason: 'stop' | 'length'
}

/**
 * @throws OptionError for metrics that do not exist; DataError for rows that have a defect, unless `onError` is 'skip'
 */
export async function prepareGeneration(
  name: string,
  task: ResolvedGenerationTask,
  { config }: CausalLM,
  tokenizer: Tokenizer,
  signal: AbortSignal | undefined,
): Promise<PreparedTask> {
  const { generation, metricOptions, lowerIsBetter } = task
  expectOptions(name, generation, GENERATION_TABLE)
  const scoreAnswer = task.scoreAnswer === undefined ? undefined : await loadScoreAnswer(name, task.scoreAnswer)
  const { judge, judgePairs } = task
  if (judge !== undefined) {
    expectOptions(name, judge, TASK_JUDGE)
    // Before answers are written: they take long.
    await Rubric.read(readJudgeOptions(judge).rubric)
  }
  if (judgePairs && judge === undefined)
    throw new LowrankError(
      'INVALID_CALL',
      `[${name}] expected judge where judgePairs is true, got nothing; say who judges`,
    )
  const names = task.metrics ?? (scoreAnswer === undefined && judge === undefined ? USUAL_METRICS : [])
  const metrics = names.map((metric) => textMetric(name, metric, (metricOptions[metric] ?? {}) as object))
  const unused = Object.keys(metricOptions).find((metric) => !names.includes(metric))
  if (unused !== undefined) textMetric(name, unused)
  if (metrics.length === 0 && scoreAnswer === undefined && judge === undefined)
    throw new LowrankError(
      'INVALID_CALL',
      `[${name}] expected metrics, scoreAnswer or judge, got none of them; name a metric`,
    )
  const { maxNewTokens = USUAL_ANSWER } = generation
  const limits = {
    positions: config.maxPositionEmbeddings,
    answerTokens: maxNewTokens,
    needsReference: names.some((metric) => !WITHOUT_REFERENCE.has(metric)),
  }
  const found = await askRows(name, tokenizer, task, limits, signal, {
    refine: () => undefined,
    exampleAnswer: (_, { references }) => references?.[0],
  })
  const { lineage, warnings, fewshot } = found
  const rows = found.rows.map(({ asked }) => asked)
  return {
    name,
    type: task.type,
    rows: rows.map(shownRow),
    lineage,
    warnings,
    ...(fewshot && { fewshot }),
    async answer(asked) {
      const answers = await writeAnswers(asked, rows, generation)
      const own = scoreAnswer && (await scoresOf(name, scoreAnswer, rows, answers, lowerIsBetter, signal))
      const twice = own?.metrics.find((one) => names.some((metric) => metric === one.name))
      if (twice !== undefined)
        throw new LowrankError(
          'INVALID_CALL',
          `[${name}] expected scores of other names than the metrics from scoreAnswer, got ${describeValue(twice.name)}; rename it`,
        )
      const texts = answers.map(({ text }) => text.trim())
      const judged =
        judge && (await judgedScores(rows, texts, judge, { signal: asked.signal, onProgress: asked.onJudged }))
      return scored(rows, answers, metrics, own, judged)
    },
    ...(judge && { isJudged: true }),
    ...(judge && judgePairs && { compare: comparing(rows, judge) }),
  }
}

/** Has the judge compare the answers of two models. */
function comparing(rows: readonly AskedRow[], judge: TaskJudgeOptions): NonNullable<PreparedTask['compare']> {
  const textsOf = (answers: TaskAnswers): readonly string[] => answers.rows.map(({ text = '' }) => text.trim())
  return (answers, base, asking) => judgedPairs(rows, textsOf(answers), textsOf(base), judge, asking)
}

async function writeAnswers(
  { model, tokenizer, batchSize, signal, onRows }: AskedModel,
  rows: readonly AskedRow[],
  generation: ResolvedGenerationTask['generation'],
): Promise<readonly Answer[]> {
  let done = 0
  const options = { ...generation, batchSize, signal, onText: () => onRows(++done) }
  return await generateTexts(
    model,
    tokenizer,
    rows.map(({ ids }) => ids),
    options,
  )
}

/** What a function of the user says: scores by name, and for each row what it adds to their sums. */
interface OwnScores {
  readonly metrics: readonly TaskMetric[]
  readonly rows: readonly (readonly Float64Array[])[]
}

/** @throws naming the row where the function throws, or gives what is no score */
async function scoresOf(
  where: string,
  scoreAnswer: ScoreAnswer,
  rows: readonly AskedRow[],
  answers: readonly Answer[],
  lowerIsBetter: readonly string[],
  signal: AbortSignal | undefined,
): Promise<OwnScores> {
  const found: Record<string, number>[] = []
  for (const [index, { columns, origin }] of rows.entries()) {
    signal?.throwIfAborted()
    const { text } = answers[index] as Answer
    const given = await called(where, origin, async () => scoreAnswer(Object.fromEntries(columns), text))
    const scores: Record<string, unknown> = isPlainObject(given) ? given : { score: given }
    found.push(
      Object.fromEntries(Object.entries(scores).map(([name, score]) => [name, numberOf(where, name, score, origin)])),
    )
  }
  const names = [...new Set(found.flatMap((scores) => Object.keys(scores)))]
  return {
    metrics: names.map((name) => meanMetric(name, !lowerIsBetter.includes(name))),
    // A row without a score of some name does not count in its mean.
    rows: found.map((scores) =>
      names.map((name) => (name in scores ? Float64Array.of(scores[name] as number, 1) : Float64Array.of(0, 0))),
    ),
  }
}

/** The result of a function of the user. @throws LowrankError naming the row where it throws */
async function called<T>(where: string, origin: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (error) {
    throw new LowrankError(
      'INVALID_CALL',
      `[${where}] expected scores from scoreAnswer for the answer to ${origin}, got an error: ${toError(error).message}; correct the function`,
      { cause: error },
    )
  }
}

function numberOf(where: string, name: string, score: unknown, origin: string): number {
  if (typeof score === 'boolean') return Number(score)
  if (typeof score === 'number' && Number.isFinite(score)) return score
  throw new LowrankError(
    'INVALID_CALL',
    `[${where}] expected a finite number, true or false from scoreAnswer for ${name}, got ${describeValue(score)} for the answer to ${origin}; return scores`,
  )
}

function scored(
  rows: readonly AskedRow[],
  answers: readonly Answer[],
  metrics: readonly TextMetric[],
  own: OwnScores | undefined,
  judged: JudgedScores | undefined,
): TaskAnswers {
  const answered = rows.map(({ references = [] }, index): AnsweredRow => {
    const { text, finishReason } = answers[index] as Answer
    const row = { prediction: trimmed(text), references: references.map(trimmed) }
    const statistics = metrics.map((metric) => metric.statistics(row))
    return {
      text,
      finishReason,
      statistics: [...statistics, ...(own?.rows[index] ?? []), ...(judged?.rows[index] ?? [])],
    }
  })
  return {
    metrics: [...metrics, ...(own?.metrics ?? []), ...(judged?.metrics ?? [])],
    rows: answered,
    warnings: [...cutAnswers(answers), ...(judged?.warnings ?? [])],
    ...(judged && { judge: judged.summary }),
  }
}

/** Space round an answer is the template's or the tokenizer's, not what was said. */
function trimmed(text: string): string {
  return text.trim()
}

function cutAnswers(answers: readonly Answer[]): TaskWarning[] {
  const cut = answers.filter(({ finishReason }) => finishReason === 'length').length
  if (cut === 0) return []
  const message = `${cut} of ${answers.length} answers ended at maxNewTokens, without an end of their own; raise generation.maxNewTokens, or give stopStrings`
  return [{ code: 'answersCut', rows: cut, message }]
}
