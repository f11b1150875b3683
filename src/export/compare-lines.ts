/** @file The lines that an export is compared with its source on, where none are given: the same in every run. */

import { Random } from '../random.js'

/** How many there are. */
const COUNT = 200

const WORDS =
  'the of model weights answer question language data training river window Paris Tokyo 1999 3.14 adapter layer token ' +
  'zwölf Straße naïve café señor größer żółw příliš Привет мир как дела Ελλάδα λόγος שלום مرحبا नमस्ते 你好 世界 学习 日本語 テスト ' +
  "안녕하세요 don't it's we'll e.g. U.S. O'Brien state-of-the-art re-use C++ x=y+1; if(a<b){return;} def f(x): #tag @user " +
  'https://example.org/a?b=c user@example.org 12:30 1,000,000 $5.00 50% ½ € → … “quoted” ‘single’ 🙂 👩‍💻 🇩🇪 ﬁn ① Ⅳ ﷽'
const PIECES = WORDS.split(' ')
const SPACES = [' ', ' ', ' ', ' ', ' ', '  ', '\t', ', ', '. ', '! ', ' - ', '']

/** Lines of words of several scripts, numbers, code and marks, with unusual spaces between some. */
export function defaultLines(): string[] {
  const random = new Random(0, COUNT)
  const pick = (items: readonly string[]): string => items[random.below(items.length)] as string
  return Array.from({ length: COUNT }, () => {
    let line = pick(PIECES)
    const words = 1 + random.below(9)
    for (let i = 0; i < words; i++) line += pick(SPACES) + pick(PIECES)
    return line
  })
}
