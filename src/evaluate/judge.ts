/**
 * @file Answers judged by a model behind an endpoint: each by itself, or two of them side by side. Every reply is kept,
 * what cannot be read is asked for again, and what still cannot is counted.
 */

import { describeValue } from '../errors.js'
import { DataError } from '../lowrank-error.js'
import type { EndpointUsage } from '../openai/allowance.js'
import { EndpointError } from '../openai/endpoint-error.js'
import { type ChatReply, type ChatRequest, OpenAIClient } from '../openai/openai-client.js'
import { PaidReplies } from '../openai/paid-replies.js'
import { ReplyJournal } from '../openai/reply-journal.js'
import { isRefusal, type Malformed, modelOfReply, REFUSED_CONTENT } from '../openai/reply-json.js'
import { isObject } from '../values.js'
import { type JudgeOptions, type ResolvedJudge, readJudgeOptions } from './judge-options.js'
import { type Compared, readScores, readWinner } from './judge-replies.js'
import { Rubric, WINNER_SCHEMA } from './judge-rubric.js'

/** An answer to be judged. */
export interface AnswerToJudge {
  /** What was asked, as a reader wants to see it. */
  readonly prompt: string
  readonly answer: string
  /** What is right; several where any of them is. */
  readonly references?: readonly string[]
}

/** Two answers to the same prompt. */
export interface AnswersToCompare extends AnswerToJudge {
  /** The answer that `answer` is compared with, as that of the base model. */
  readonly baseAnswer: string
}

/** What the judge made of an answer. */
export interface JudgedAnswer {
  /** Mean of the scores of all criteria; null where there is no judgement. */
  readonly score: number | null
  /** By criterion; null where there is no judgement. */
  readonly scores: Readonly<Record<string, number>> | null
  readonly explanation: string
  /** Why there is no judgement: `unparsable`, `refused` or `HTTP 400` and the like. */
  readonly failure?: string
}

/** What the judge made of two answers, asked in both orders. */
export interface ComparedAnswers {
  /**
   * 1: the answer is better; 0: the base answer is; 0.5: a tie, or the judge said one thing in one order and another in
   * the other. Null where one of the orders has no judgement.
   */
  readonly score: number | null
  /** Who won with the answer in the first place, and with the base answer there; null without a judgement. */
  readonly verdicts: readonly [Verdict | null, Verdict | null]
  /** Whether both orders have the same verdict; null where one has none. */
  readonly isConsistent: boolean | null
  readonly explanations: readonly [string, string]
  readonly failure?: string
}

/** Which answer is better. */
export type Verdict = 'answer' | 'base' | 'tie'

/** What became of requests and replies. */
export interface JudgeCounts {
  /** Rows with a judgement. */
  readonly judged: number
  /** Rows without one, by reason. */
  readonly failed: Readonly<Record<string, number>>
  /** Replies that came in this run. */
  readonly received: number
  /** Replies of earlier runs, and those to a request that was made before. */
  readonly reused: number
  /** Those of both that were not what was asked for, by reason. */
  readonly malformed: Readonly<Record<string, number>>
  /** Those of both in which the judge refused. */
  readonly refused: number
}

/** What all judgements have. */
export interface Judgements {
  /** The model that judged, as the endpoint names it; null where nothing was judged. */
  readonly judge: string | null
  readonly counts: JudgeCounts
  /** Requests of this run, with their tokens; `cost` includes what earlier runs paid for the replies that they kept. */
  readonly usage: EndpointUsage
}

/** What `judgeAnswers` gives. */
export interface JudgeReport extends Judgements {
  readonly criteria: readonly string[]
  /** The worst and the best score. */
  readonly scale: { readonly min: number; readonly max: number }
  /** Mean score of the rows with a judgement; null where there is none. */
  readonly score: number | null
  /** Mean of each criterion; null where there is none. */
  readonly scores: Readonly<Record<string, number | null>>
  /** In the order of the rows. */
  readonly rows: readonly JudgedAnswer[]
}

/** What `compareAnswers` gives. */
export interface CompareReport extends Judgements {
  /** Rows whose answer is better, worse, and neither. Inconsistent ones are ties. */
  readonly wins: number
  readonly losses: number
  readonly ties: number
  /** Share of wins, ties counting half; null where nothing was judged. */
  readonly winRate: number | null
  readonly positionBias: PositionBias
  /** In the order of the rows. */
  readonly rows: readonly ComparedAnswers[]
}

/** How much the place of an answer decides. */
export interface PositionBias {
  /** Rows whose two orders have different verdicts. */
  readonly inconsistent: number
  /** Their share of the rows with a judgement; null where there is none. */
  readonly inconsistentShare: number | null
  /** Judgements for the answer in the first place, and for that in the second. Without a bias they are as many. */
  readonly first: number
  readonly second: number
}

/** Rows that are worked on, for each request that may be open. */
const ROWS_PER_REQUEST = 2
/** At 0 a model says again what could not be read. */
const RETRY_TEMPERATURE = 0.7

/**
 * Has answers scored by a model: each criterion of the rubric, from its worst to its best score.
 *
 * A row without a judgement stays in the result, with the reason, and is counted.
 * @throws EndpointError where the endpoint does not reply, or `maxCost` is reached
 * @throws OptionError for options that are wrong, and naming field, file and line of a rubric that is
 */
export async function judgeAnswers(rows: readonly AnswerToJudge[], options: JudgeOptions): Promise<JudgeReport> {
  const settled = readJudgeOptions(options)
  expectRows(rows, ['prompt', 'answer'])
  const rubric = await Rubric.read(settled.rubric)
  const { criteria, min, max } = rubric
  const work = async (asker: JudgeAsker): Promise<JudgeReport> => {
    const judged = await asker.all(rows, async ({ prompt, answer, references = [] }): Promise<JudgedAnswer> => {
      const outcome = await asker.ask(rubric.scoring({ prompt, references }, answer), rubric.scoresSchema, (reply) =>
        readScores(reply, rubric),
      )
      if ('failure' in outcome) return { score: null, scores: null, explanation: '', failure: outcome.failure }
      const { scores, explanation } = outcome.value
      return { score: meanOf(Object.values(scores)), scores, explanation }
    })
    const known = judged.filter(({ score }) => score !== null)
    return {
      judge: asker.judge,
      criteria: criteria.map(({ name }) => name),
      scale: { min, max },
      score: meanOf(known.map(({ score }) => score as number)),
      scores: Object.fromEntries(
        criteria.map(({ name }) => [name, meanOf(known.map(({ scores }) => scores?.[name] as number))]),
      ),
      rows: judged,
      ...asker.report(judged),
    }
  }
  return await withAsker(settled, work)
}

/**
 * Has a model say which of two answers is better, each pair in both orders: once with the answer in the first place,
 * once with the base answer there. Two different verdicts are a tie, and count as inconsistent (Zheng et al. 2023,
 * https://arxiv.org/abs/2306.05685, section 3.4).
 *
 * @throws as `judgeAnswers`
 */
export async function compareAnswers(rows: readonly AnswersToCompare[], options: JudgeOptions): Promise<CompareReport> {
  const settled = readJudgeOptions(options)
  expectRows(rows, ['prompt', 'answer', 'baseAnswer'])
  const rubric = await Rubric.read(settled.rubric)
  const work = async (asker: JudgeAsker): Promise<CompareReport> => {
    const bias = { first: 0, second: 0 }
    const compared = await asker.all(rows, async ({ prompt, answer, baseAnswer, references = [] }) => {
      const judged = { prompt, references }
      const [forward, backward] = await Promise.all(
        [rubric.comparing(judged, answer, baseAnswer), rubric.comparing(judged, baseAnswer, answer)].map((messages) =>
          asker.ask(messages, WINNER_SCHEMA, readWinner),
        ),
      )
      for (const outcome of [forward!, backward!]) {
        if ('failure' in outcome) continue
        if (outcome.value.winner === 'A') bias.first++
        if (outcome.value.winner === 'B') bias.second++
      }
      return comparedOf(forward!, backward!)
    })
    const count = (wanted: number): number => compared.filter(({ score }) => score === wanted).length
    const [wins, losses, ties] = [count(1), count(0), count(0.5)]
    const judgedRows = wins + losses + ties
    const inconsistent = compared.filter(({ isConsistent }) => isConsistent === false).length
    return {
      judge: asker.judge,
      wins,
      losses,
      ties,
      winRate: judgedRows === 0 ? null : (wins + ties / 2) / judgedRows,
      positionBias: {
        inconsistent,
        inconsistentShare: judgedRows === 0 ? null : inconsistent / judgedRows,
        ...bias,
      },
      rows: compared,
      ...asker.report(compared),
    }
  }
  return await withAsker(settled, work)
}

/** What was asked for, with the judge that gave it; or why there is nothing. */
type Outcome<Value> = { readonly value: Value } | { readonly failure: string }

function comparedOf(forward: Outcome<Compared>, backward: Outcome<Compared>): ComparedAnswers {
  const verdictOf = (outcome: Outcome<Compared>, first: Verdict, second: Verdict): Verdict | null =>
    'failure' in outcome ? null : outcome.value.winner === 'tie' ? 'tie' : outcome.value.winner === 'A' ? first : second
  const verdicts = [verdictOf(forward, 'answer', 'base'), verdictOf(backward, 'base', 'answer')] as const
  const explanations = [forward, backward].map((outcome) => ('failure' in outcome ? '' : outcome.value.explanation))
  const common = { verdicts, explanations: explanations as unknown as readonly [string, string] }
  const failed = [forward, backward].find((outcome) => 'failure' in outcome)
  if (failed && 'failure' in failed) return { score: null, isConsistent: null, ...common, failure: failed.failure }
  const isConsistent = verdicts[0] === verdicts[1]
  const score = !isConsistent || verdicts[0] === 'tie' ? 0.5 : verdicts[0] === 'answer' ? 1 : 0
  return { score, isConsistent, ...common }
}

/** Opens what the work needs, and closes it. */
async function withAsker<Report>(
  settled: ResolvedJudge,
  work: (asker: JudgeAsker) => Promise<Report>,
): Promise<Report> {
  const { replies, fresh, signal } = settled
  signal?.throwIfAborted()
  const journal = replies === undefined ? undefined : await ReplyJournal.open(replies, fresh, 'judge')
  try {
    // What the journal holds was paid for at some time, and counts into the cap.
    return await work(new JudgeAsker(new OpenAIClient(settled, journal?.tokens), journal, settled))
  } finally {
    await journal?.close()
  }
}

/** Asks a judge, again where its reply is not what was asked for, and counts. */
class JudgeAsker {
  readonly #client: OpenAIClient
  readonly #journal: ReplyJournal | undefined
  readonly #replies: PaidReplies
  readonly #options: ResolvedJudge
  readonly #malformed = new Map<Malformed, number>()
  #refused = 0
  #judge: string | null = null

  constructor(client: OpenAIClient, journal: ReplyJournal | undefined, options: ResolvedJudge) {
    this.#client = client
    this.#journal = journal
    this.#replies = new PaidReplies(client, journal, options.signal)
    this.#options = options
  }

  get judge(): string | null {
    return this.#judge
  }

  report(rows: readonly { readonly failure?: string }[]): Pick<Judgements, 'counts' | 'usage'> {
    const failed = new Map<string, number>()
    for (const { failure } of rows) if (failure !== undefined) count(failed, failure)
    const { received, reused } = this.#replies
    return {
      counts: {
        judged: rows.filter(({ failure }) => failure === undefined).length,
        failed: Object.fromEntries(failed),
        received,
        reused,
        malformed: Object.fromEntries(this.#malformed),
        refused: this.#refused,
      },
      usage: this.#client.usage,
    }
  }

  /** Works on all rows, some at a time. */
  async all<Row, Result>(rows: readonly Row[], work: (row: Row) => Promise<Result>): Promise<readonly Result[]> {
    const { concurrency, onProgress } = this.#options
    const results: Result[] = new Array(rows.length)
    let [next, done] = [0, 0]
    const worker = async (): Promise<void> => {
      while (next < rows.length) {
        const index = next++
        results[index] = await work(rows[index]!)
        done++
        const { requests, cost } = this.#client.usage
        onProgress?.({ rows: done, totalRows: rows.length, requests, cost })
      }
    }
    try {
      const workers = Math.min(rows.length, ROWS_PER_REQUEST * concurrency)
      await Promise.all(
        Array.from({ length: workers }, () =>
          worker().catch((error: unknown) => {
            // Nothing more is sent. What is open is paid for, and kept before the call ends.
            this.#replies.stop(error)
            next = rows.length
            throw error
          }),
        ),
      )
    } catch (error) {
      await this.#replies.drain()
      throw this.#withProgress(error, done)
    }
    return results
  }

  /** @throws EndpointError where the endpoint does not reply */
  async ask<Value>(
    messages: ChatRequest['messages'],
    schema: NonNullable<ChatRequest['schema']>,
    read: (reply: ChatReply) => Value | Malformed,
  ): Promise<Outcome<Value>> {
    const { model, maxTokens, temperature, seed, extraBody, maxAttempts, onError } = this.#options
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      const request: ChatRequest = {
        model,
        messages,
        maxTokens,
        temperature: attempt === 0 ? temperature : Math.max(temperature, RETRY_TEMPERATURE),
        ...(seed !== undefined && { seed: seed + attempt }),
        schema,
        ...(extraBody && { extraBody }),
      }
      let reply: ChatReply
      try {
        reply = await this.#replies.reply(request, attempt)
      } catch (error) {
        if (onError === 'skip' && error instanceof EndpointError && REFUSED_CONTENT.includes(error.status))
          return { failure: `HTTP ${error.status}` }
        throw error
      }
      if (isRefusal(reply)) {
        this.#refused++
        return { failure: 'refused' }
      }
      const value = read(reply)
      if (typeof value !== 'string') {
        this.#judge ??= modelOfReply(reply, model)
        return { value: value as Value }
      }
      count(this.#malformed, value as Malformed)
    }
    return { failure: 'unparsable' }
  }

  /** The error that ended the work, which says that what was replied is kept. */
  #withProgress(error: unknown, rows: number): unknown {
    if (!(error instanceof EndpointError) || this.#journal === undefined || this.#journal.count === 0) return error
    const { message, failure, status, cause } = error
    const { count: kept, path } = this.#journal
    return new EndpointError(
      `${message}. ${rows} rows are judged, and ${kept} replies are kept in ${path}: the same call goes on from there`,
      { failure, status, cause },
    )
  }
}

/** @throws DataError for rows that lack a text */
function expectRows(rows: readonly unknown[], fields: readonly string[]): void {
  if (!Array.isArray(rows))
    throw new DataError(
      `[judge] expected a list of rows, got ${describeValue(rows)}; give { ${fields.join(', ')} } for each`,
    )
  for (const [index, row] of rows.entries()) {
    const lacking = isObject(row) ? fields.find((field) => typeof row[field] !== 'string') : fields[0]
    if (lacking !== undefined)
      throw new DataError(
        `[judge] expected text for ${lacking} of row ${index}, got ${describeValue(isObject(row) ? row[lacking] : row)}; give ` +
          `{ ${fields.join(', ')} } for each row`,
      )
  }
}

function meanOf(values: readonly number[]): number | null {
  return values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length
}

function count<Name>(counts: Map<Name, number>, name: Name): void {
  counts.set(name, (counts.get(name) ?? 0) + 1)
}
