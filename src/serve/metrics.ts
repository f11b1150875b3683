/**
 * @file What a server has done since it began, in the text format of Prometheus. Names and labels are few and fixed.
 */

import type { InferenceFigures } from '../inference/inference-request.js'

const SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600]
const TOKEN_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5]

class Histogram {
  readonly #bounds: readonly number[]
  readonly #counts: number[]
  #sum = 0
  #count = 0

  constructor(bounds: readonly number[]) {
    this.#bounds = bounds
    this.#counts = bounds.map(() => 0)
  }

  observe(value: number): void {
    this.#sum += value
    this.#count++
    const at = this.#bounds.findIndex((bound) => value <= bound)
    if (at >= 0) this.#counts[at] = (this.#counts[at] ?? 0) + 1
  }

  lines(name: string, help: string): string[] {
    let below = 0
    const buckets = this.#bounds.map((bound, at) => {
      below += this.#counts[at] ?? 0
      return `${name}_bucket{le="${bound}"} ${below}`
    })
    return [
      ...heading(name, 'histogram', help),
      ...buckets,
      `${name}_bucket{le="+Inf"} ${this.#count}`,
      `${name}_sum ${this.#sum}`,
      `${name}_count ${this.#count}`,
    ]
  }
}

function heading(name: string, type: 'counter' | 'gauge' | 'histogram', help: string): string[] {
  return [`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`]
}

export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

export class ServerMetrics {
  readonly #requests = new Map<string, number>()
  readonly #seconds = new Histogram(SECONDS)
  readonly #firstToken = new Histogram(SECONDS)
  readonly #perToken = new Histogram(TOKEN_SECONDS)
  /** Requests that are read or answered at present. */
  open = 0

  /** Counts a request that is over. */
  count(route: string, status: number, seconds: number): void {
    const labels = `route="${route}",status="${status}"`
    this.#requests.set(labels, (this.#requests.get(labels) ?? 0) + 1)
    this.#seconds.observe(seconds)
  }

  /** @param tokens of the answer; the time of one is known from two on */
  countAnswer(secondsToFirst: number, secondsAfter: number, tokens: number): void {
    this.#firstToken.observe(secondsToFirst)
    if (tokens > 1) this.#perToken.observe(secondsAfter / (tokens - 1))
  }

  text(figures: InferenceFigures): string {
    const { running, waiting, pages, promptTokens, cachedTokens, generatedTokens, finishedRequests } = figures
    const one = (name: string, type: 'counter' | 'gauge', help: string, value: number): string[] => {
      return [...heading(name, type, help), `${name} ${value}`]
    }
    const lines = [
      ...heading('lowrank_requests_total', 'counter', 'Requests that are over, by route and status.'),
      ...[...this.#requests].map(([labels, count]) => `lowrank_requests_total{${labels}} ${count}`),
      ...one('lowrank_requests_open', 'gauge', 'Requests that are read or answered.', this.open),
      ...one('lowrank_answers_running', 'gauge', 'Answers that grow.', running),
      ...one('lowrank_answers_waiting', 'gauge', 'Answers that wait for a place.', waiting),
      ...one('lowrank_answers_finished_total', 'counter', 'Answers that have ended.', finishedRequests),
      ...one('lowrank_prompt_tokens_total', 'counter', 'Tokens of prompts.', promptTokens),
      ...one('lowrank_cached_tokens_total', 'counter', 'Tokens of prompts that were computed before.', cachedTokens),
      ...one('lowrank_generated_tokens_total', 'counter', 'Tokens of answers.', generatedTokens),
      ...heading('lowrank_cache_pages', 'gauge', 'Pages of keys and values.'),
      ...Object.entries(pages).map(([state, count]) => `lowrank_cache_pages{state="${state}"} ${count}`),
      ...this.#seconds.lines('lowrank_request_seconds', 'Seconds from a request to the end of its answer.'),
      ...this.#firstToken.lines('lowrank_first_token_seconds', 'Seconds from a request to its first token.'),
      ...this.#perToken.lines('lowrank_token_seconds', 'Seconds for each token behind the first.'),
    ]
    return `${lines.join('\n')}\n`
  }
}
