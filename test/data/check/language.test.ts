/** @file Languages are named where they are clear, seldom wrongly, and never where a text is code. */

import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { expect, it } from 'vitest'
import { languageOf } from '../../../src/data/check/language.js'

const LANGUAGES: Readonly<Record<string, string>> = {
  cs: 'Czech',
  de: 'German',
  es: 'Spanish',
  fr: 'French',
  it: 'Italian',
  ja: 'Japanese',
  ko: 'Korean',
  pl: 'Polish',
  'pt-br': 'Portuguese',
  ru: 'a Cyrillic script',
  tr: 'Turkish',
  'zh-cn': 'Chinese',
  'zh-tw': 'Chinese',
}

it('names the language of single sentences wrongly in less than 1 of 1000, and that of most', () => {
  // The compiler's messages: thousands of sentences, each in 13 languages, full of names from English.
  const lib = dirname(createRequire(import.meta.url).resolve('typescript/package.json'))
  let [right, wrong, all] = [0, 0, 0]
  for (const [folder, language] of Object.entries(LANGUAGES)) {
    const text = readFileSync(join(lib, 'lib', folder, 'diagnosticMessages.generated.json'), 'utf8')
    for (const message of Object.values(JSON.parse(text) as Record<string, string>)) {
      const found = languageOf(message.replace(/\{\d\}/g, ''))
      all++
      if (found === language) right++
      else if (found !== undefined) wrong++
    }
  }
  expect(all).toBeGreaterThan(20_000)
  expect(wrong / (right + wrong)).toBeLessThan(0.001)
  expect(right / all).toBeGreaterThan(0.4)
})

it.each([
  ['The answer is that there is no such thing as a free lunch for them.', 'English'],
  ['Het antwoord is dat er niet zoiets is als een gratis lunch voor ze.', 'Dutch'],
  ['Svaret är att det inte finns någon gratis lunch för dem som har en och vill ha två.', 'Swedish'],
  ['Svaret er at det ikke finnes en gratis lunsj for dem som har en og skal ha to.', 'Danish'],
  ['Jawabannya adalah tidak ada makan siang yang gratis untuk mereka dan juga untuk kami.', 'Indonesian'],
  ['Η απάντηση είναι ότι δεν υπάρχει δωρεάν γεύμα.', 'Greek'],
  ['42', undefined],
  ['Paris', undefined],
  ['const v = await version(); if (v) { const [a, o, e] = v.split(y); }', undefined],
  ['```\nthe of and to is that it was for with as on\n```', undefined],
  ['Translate "Das ist nicht der Weg" into English: that is not the way, und das ist es.', undefined],
])('says what language %j is in', (text, language) => {
  expect(languageOf(text)).toBe(language)
})
