// @ts-check
/** @file The sentences of the word-shuffle test and their shuffles. Knows no model. */
import { hash, sentences } from './clean.mjs'

const MINIMUM_WORDS = 8
/** Longer sentences would be cut by the model's context. */
const MAXIMUM_CHARACTERS = 600

/** @param {string[]} texts @param {number} count @param {number} seed @returns {string[]} distinct sentences, drawn from all texts alike */
export function drawSentences(texts, count, seed) {
  const all = new Set(
    texts.flatMap((text) => text.replace(/<\|\w+\|>(user|assistant)?/g, '').split('\n')).flatMap(sentences),
  )
  return [...all]
    .filter(
      (text) =>
        text.split(' ').length >= MINIMUM_WORDS && text.length <= MAXIMUM_CHARACTERS && /[.?!]["')]?$/.test(text),
    )
    .sort((a, b) => hash(`${seed}${a}`) - hash(`${seed}${b}`) || (a < b ? -1 : 1))
    .slice(0, count)
}

/** The same words in another order. @param {string} sentence @param {number} seed @returns {string} */
export function shuffleWords(sentence, seed) {
  const words = sentence.split(' ')
  for (let round = 0; ; round++) {
    const order = words
      .map((word, i) => ({ word, key: hash(`${seed}/${round}/${i}/${sentence}`) }))
      .sort((a, b) => a.key - b.key)
      .map(({ word }) => word)
      .join(' ')
    if (order !== sentence) return order
  }
}
