// @ts-check
/** @file Clients that ask all the time: each asks again once its answer has ended. */

import { round, summary } from './report.mjs'

/**
 * @param {object} what
 * @param {number} what.streams clients at a time
 * @param {number} what.answers that each client asks for in a round
 * @param {number} what.rounds after one that does not count
 * @param {readonly number[][]} what.prompts each is asked once, as long as they last
 * @param {(prompt: number[], onToken: () => void) => Promise<void>} what.ask resolves when the answer has ended
 * @param {(round: number) => void} [what.onRound]
 */
export async function askAll({ streams, answers, rounds, prompts, ask, onRound = () => {} }) {
  /** @type {number[]} */
  const rates = []
  /** @type {number[]} */
  const firstTokens = []
  let next = 0
  for (let number = 0; number <= rounds; number++) {
    onRound(number)
    let tokens = 0
    const begin = performance.now()
    const client = async () => {
      for (let answer = 0; answer < answers; answer++) {
        const prompt = prompts[next++ % prompts.length] ?? []
        const asked = performance.now()
        let isFirst = true
        await ask(prompt, () => {
          tokens++
          if (isFirst && number > 0) firstTokens.push(performance.now() - asked)
          isFirst = false
        })
      }
    }
    await Promise.all(Array.from({ length: streams }, client))
    if (number > 0) rates.push((1000 * tokens) / (performance.now() - begin))
  }
  firstTokens.sort((a, b) => a - b)
  const share = (/** @type {number} */ part) =>
    round(firstTokens[Math.ceil(part * firstTokens.length) - 1] ?? Number.NaN)
  return { tokens_per_s: summary(rates), first_token_p50_ms: share(0.5), first_token_p99_ms: share(0.99) }
}
