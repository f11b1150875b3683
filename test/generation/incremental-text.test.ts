/**
 * @file Stop strings on random ids: what is told is the text before the first of them, character by character, whatever
 * the tokens are.
 */

import { describe, expect, test } from 'vitest'
import { generateText } from '../../src/generation/generate-text.js'
import { IncrementalText } from '../../src/generation/incremental-text.js'
import { createTokenizer, type Tokenizer } from '../../src/tokenizer/tokenizer.js'
import { cases } from '../support/long.js'
import { tinyModel } from '../support/tiny-model.js'
import { tinyByteLevelTokenizer, tinySentencePieceTokenizer } from '../support/tiny-tokenizer.js'
import { seededRandom } from '../support/values.js'

const PIECES = [
  'the',
  ' assistant',
  ' says',
  'aab',
  'ab',
  'a',
  'b',
  ' ',
  '\n',
  '\n\n',
  '.',
  '巴黎',
  'é',
  '🙂',
  '👩‍🚀',
  'ß',
  '\ufffd',
]
const SPECIALS = ['<|im_end|>', '<|im_start|>', '</s>']
const CASES = cases(1500, 40_000)

const files = tinyByteLevelTokenizer()
const byteLevel = createTokenizer(files.tokenizer, files.config)

/**
 * The text of ids, special tokens in it, up to the last character that no further id can change; and which units are of
 * special tokens.
 */
function certainText(tokenizer: Tokenizer, ids: readonly number[]): { text: string; isSpecial: boolean[] } {
  const names = new Map([...tokenizer.specialTokens].map(([name, id]) => [id, name]))
  let text = ''
  const isSpecial: boolean[] = []
  let run: number[] = []
  const flush = (): void => {
    const decoded = tokenizer.decode(run)
    text += decoded
    isSpecial.push(...new Array<boolean>(decoded.length).fill(false))
    run = []
  }
  for (const id of ids) {
    const name = names.get(id)
    if (name === undefined) {
      run.push(id)
      continue
    }
    flush()
    text += name
    isSpecial.push(...new Array<boolean>(name.length).fill(true))
  }
  flush()
  return { text, isSpecial }
}

const told = ({ text, isSpecial }: { text: string; isSpecial: boolean[] }, end: number): string =>
  Array.from({ length: end }, (_, i) => (isSpecial[i] ? '' : text[i])).join('')

describe('stop strings on random ids of a byte-level tokenizer', () => {
  test(`${CASES} answers end where the first stop string is whole, with the text before it`, () => {
    const draw = seededRandom(11)
    const random = (): number => (draw() + 1) / 2
    const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T
    let stopped = 0
    for (let run = 0; run < CASES; run++) {
      const text = Array.from({ length: 2 + Math.floor(random() * 10) }, () =>
        pick(random() < 0.15 ? SPECIALS : PIECES),
      ).join('')
      const ids = byteLevel.encode(text, { addSpecialTokens: false })
      const whole = certainText(byteLevel, ids)
      const stops = Array.from({ length: 1 + Math.floor(random() * 3) }, () => {
        const start = Math.floor(random() * whole.text.length)
        const part = whole.text.slice(start, start + 1 + Math.floor(random() * 6))
        return random() < 0.2 ? `${part}never` : part
      }).filter((stop) => !/[\ud800-\udbff]$|^[\udc00-\udfff]/.test(stop))
      let count = ids.length
      for (let k = 1; k <= ids.length; k++) {
        const { text: soFar } = certainText(byteLevel, ids.slice(0, k))
        // Bytes of a character that is not whole are not looked at.
        const certain = soFar.endsWith('\ufffd') && k < ids.length ? soFar.replace(/\ufffd+$/, '') : soFar
        if (!stops.some((stop) => certain.includes(stop))) continue
        count = k
        break
      }
      const upTo = certainText(byteLevel, ids.slice(0, count))
      const places = stops.map((stop) => upTo.text.indexOf(stop)).filter((at) => at >= 0)
      const expected = told(upTo, places.length > 0 ? Math.min(...places) : upTo.text.length)

      const incremental = new IncrementalText(byteLevel, stops)
      let answer = ''
      let taken = 0
      for (const id of ids) {
        answer += incremental.push(id)
        taken++
        expect(expected.startsWith(answer), JSON.stringify({ text, stops, answer })).toBe(true)
        if (incremental.stopped) break
      }
      answer += incremental.end()
      expect({ text, stops, answer, isStopped: incremental.stopped, taken }).toEqual({
        text,
        stops,
        answer: expected,
        isStopped: places.length > 0,
        taken: count,
      })
      if (places.length > 0) stopped++
    }
    expect(stopped).toBeGreaterThan(CASES / 2)
  })
})

describe('decoders that change earlier text', () => {
  const cleaning = createTokenizer(files.tokenizer, { ...files.config, clean_up_tokenization_spaces: true })
  const sentencePiece = tinySentencePieceTokenizer()
  const byteFallback = createTokenizer(sentencePiece.tokenizer, sentencePiece.config)

  test('lose no character of the pieces', () => {
    const incremental = new IncrementalText(cleaning)
    const ids = ['hello', ' ', '.', ' ', '!', 'x'].flatMap((part) => [
      ...cleaning.encode(part, { addSpecialTokens: false }),
    ])
    const pieces = ids.map((id) => incremental.push(id)).join('') + incremental.end()
    expect(pieces.replaceAll(' ', '')).toBe('hello.!x')
  })

  test('make the answer what all ids say', async () => {
    const model = await tinyModel()
    for (const tokenizer of [cleaning, byteFallback]) {
      for (let seed = 0; seed < 8; seed++) {
        const options = { maxNewTokens: 30, eosTokenId: [], temperature: 3, topK: 0, seed }
        const { text, ids } = await generateText(model, tokenizer, 'the user', options)
        expect(text).toBe(tokenizer.decode(ids, { skipSpecialTokens: true }))
      }
    }
    model.device.close()
  })
})
