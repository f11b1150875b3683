/** @file What llama.cpp is asked about a GGUF file, and how its answers are compared with those here. */

import { readFileSync } from 'node:fs'
import { expect } from 'vitest'
import type { CausalLM } from '../../src/causal-lm/causal-lm.js'
import { defaultLines } from '../../src/export/compare-lines.js'
import { awkwardText, dice } from '../support/awkward-texts.js'

/** How many prompts and sentences there are. */
export const PROMPTS = 100

export const CONVERSATIONS = [
  [{ role: 'user', content: 'What is the capital of France?' }],
  [
    { role: 'system', content: 'The assistant answers the question.' },
    { role: 'user', content: 'one two' },
    { role: 'assistant', content: 'three four' },
    { role: 'user', content: 'zwölf  漢字\n\n?' },
  ],
]

/** 1,000 lines of several scripts, composed as no tokenizer of llama.cpp composes them. */
export function lines(): string[] {
  const random = dice(5)
  const awkward = Array.from({ length: 800 }, () => Buffer.from(awkwardText(random)).toString().normalize('NFC'))
  return [...defaultLines(), ...awkward].map((line) => line.replaceAll('\0', ''))
}

/** Words and their definitions, in English. */
function definitions(): { word: string; meaning: string }[] {
  const rows = readFileSync(new URL('../../examples/quickstart/data/heldout.jsonl', import.meta.url), 'utf8')
  return rows
    .trim()
    .split('\n')
    .slice(0, PROMPTS)
    .map((line) => {
      const { prompt, completion } = JSON.parse(line) as { prompt: string; completion: string }
      return { word: prompt.trim().replace('Define: ', ''), meaning: /Meaning: (.*)/.exec(completion)?.[1] as string }
    })
}

export function sentences(): string[] {
  return definitions().map(({ word, meaning }) => `Define: ${word}: ${meaning}.`)
}

export function questions(): string[] {
  return definitions().map(({ word }) => `What does the word "${word}" mean?`)
}

/** Where two answers part: how far apart the logits of the two ids lie there, as a share of the largest logit. */
export async function partings(
  model: CausalLM,
  asked: number[][],
  ours: number[][],
  theirs: number[][],
): Promise<number[]> {
  const found: number[] = []
  for (const [i, answer] of ours.entries()) {
    const other = theirs[i] as number[]
    const at = answer.findIndex((id, place) => id !== other[place])
    if (at < 0) {
      expect(other).toEqual(answer)
      continue
    }
    const inputIds = [[...(asked[i] as number[]), ...answer.slice(0, at)]]
    const { logits } = model.forward({ inputIds }, { logits: true })
    const values = await logits.read()
    logits.dispose()
    const last = values.subarray(values.length - model.config.vocabSize)
    const [a, b] = [last[answer[at] as number] as number, last[other[at] ?? -1]]
    if (b === undefined) throw new Error(`[test] expected as many ids as ${answer.length}, got ${other.length}`)
    found.push(Math.abs(a - b) / last.reduce((most, value) => Math.max(most, Math.abs(value)), 0))
  }
  return found
}

/**
 * llama.cpp rounds what it multiplies with float16 weights to float16: 2^-11 of each. Where two logits lie nearer than
 * this share of the largest, either may be first.
 */
export const TIE = 1e-3
/** How many of a hundred answers may part there. */
export const MOST_TIES = 8
