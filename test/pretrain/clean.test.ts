/** @file The text cleaning behind the pre-training corpus (examples/pretrain/clean.mjs). */

import { describe, expect, it } from 'vitest'

interface Clean {
  decodeEntities(text: string): string
  normalise(text: string): string
  isProse(text: string, minimum?: number): boolean
  sentences(text: string): string[]
  toRows(paragraphs: string[], limit: number): string[]
  echo(row: string, limit: number): string
  hash(text: string): number
}
const CLEAN = new URL('../../examples/pretrain/clean.mjs', import.meta.url).href
const { decodeEntities, normalise, isProse, sentences, toRows, echo, hash }: Clean = await import(CLEAN)

describe('cleaning text for pre-training', () => {
  it('decodes named, decimal and hexadecimal entities and leaves unknown ones', () => {
    expect(decodeEntities('a &lt;b&gt; &#65;&#x42; &amp;amp; &nosuch; &#0;')).toBe('a <b> AB &amp; &nosuch; ')
  })

  it('turns typographic punctuation and accents into ASCII on one line', () => {
    expect(normalise('\u201cCaf\u00e9\u201d \u2014 it\u2019s\n  late\u2026 ,no')).toBe('"Cafe" - it\'s late... ,no')
    expect(normalise('one , two .')).toBe('one, two.')
  })

  it('keeps running English and drops code, tables, headings and other alphabets', () => {
    const prose = 'The house stood on a hill, and from it one could see the sea in the morning.'
    expect(isProse(prose)).toBe(true)
    expect(isProse(prose.slice(0, -1))).toBe(false)
    expect(isProse('int main(void) { return foo_bar(baz[3], &quux) == 0 ? 1 : -1; } // the end of it.')).toBe(false)
    expect(isProse('Table 3: alpha 0.12 0.33 0.93 beta 0.14 0.35 0.99 gamma 0.77 0.21 0.10 total 1.00.')).toBe(false)
    expect(isProse('Avoid Collins Barlow Cuthbert Simmons Jefferson Hamilton Franklin Madison Monroe.')).toBe(false)
    expect(isProse(`${prose.slice(0, -1)} \u03b1.`)).toBe(false)
  })

  it('ends sentences at capitals but not after initials and titles', () => {
    expect(sentences('He met Mr. Bennet at noon. "Why?" He left. See J. Smith and etc. Then it rained.')).toEqual([
      'He met Mr. Bennet at noon.',
      '"Why?"',
      'He left.',
      'See J. Smith and etc. Then it rained.',
    ])
  })

  it('packs paragraphs in order into rows, cutting long ones between sentences and dropping endless ones', () => {
    expect(toRows(['aaa bbb.', 'ccc.', 'One is here. Two is there. Three.', 'x'.repeat(40)], 14)).toEqual([
      'aaa bbb.\nccc.',
      'One is here.',
      'Two is there.',
      'Three.',
    ])
  })

  it('hashes a name to the same number on every machine', () => {
    expect([hash(''), hash('a'), hash('postgresql-doc-15/index.html')]).toMatchInlineSnapshot(`
      [
        2872998923,
        444641715,
        1219195629,
      ]
    `)
  })

  it('says every sentence of a row twice, as many as fit whole', () => {
    expect(echo('One is here. Two is there.\nThree.', 99)).toBe(
      'One is here.\nOne is here.\nTwo is there.\nTwo is there.\nThree.\nThree.',
    )
    expect(echo('One is here. Two is there.', 30)).toBe('One is here.\nOne is here.')
    expect(echo('One is here.', 20)).toBe('')
  })
})
