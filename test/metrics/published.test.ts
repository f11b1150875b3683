/** @file Metrics of texts beside numbers that papers and libraries have published. */

import { describe, expect, it } from 'vitest'
import { type BleuOptions, bleu, sentenceBleu } from '../../src/metrics/bleu.js'
import { type ChrfOptions, chrf, sentenceChrf } from '../../src/metrics/chrf.js'
import { stem } from '../../src/metrics/porter-stemmer.js'
import { rouge, sentenceRouge } from '../../src/metrics/rouge.js'

// README.md and test/test_bleu.py of https://github.com/mjpost/sacrebleu
const SYSTEM = ['The dog bit the man.', "It wasn't surprising.", 'The man had just bitten him.']
const REFERENCES = [
  ['The dog bit the man.', 'The dog had bit the man.'],
  ['It was not unexpected.', 'No one was surprised.'],
  ['The man bit him first.', 'The man had bitten the dog.'],
]

describe('BLEU', () => {
  it('is what the README of sacrebleu prints', () => {
    const { score, precisions, bp, sysLen, refLen } = bleu(SYSTEM, REFERENCES)
    expect(score.toFixed(2)).toBe('48.53')
    expect(precisions.map((precision) => precision.toFixed(1))).toEqual(['82.4', '50.0', '45.5', '37.5'])
    expect([bp.toFixed(3), (sysLen / refLen).toFixed(3), sysLen, refLen]).toEqual(['0.943', '0.944', 17, 18])
  })

  it('counts an empty reference as the README of sacrebleu does', () => {
    const { score, precisions, bp, refLen } = bleu(SYSTEM, [['', 'The dog had bit the man.'], ...REFERENCES.slice(1)])
    expect([score.toFixed(2), bp.toFixed(3), refLen]).toEqual(['29.44', '0.889', 19])
    expect(precisions.map((precision) => precision.toFixed(1))).toEqual(['82.4', '42.9', '27.3', '12.5'])
  })

  it.each<[string, BleuOptions, number]>([
    ['defaults', {}, 48.530827],
    ['no tokenizer', { tokenize: 'none' }, 49.1919566],
    ['13a', { tokenize: '13a' }, 48.530827],
    ['intl', { tokenize: 'intl' }, 43.91623493],
    ['no smoothing', { smoothMethod: 'none' }, 48.530827],
  ])('gives the number of the tests of sacrebleu with %s', (_, options, expected) => {
    expect(Math.abs(bleu(SYSTEM, REFERENCES, options).score - expected)).toBeLessThan(1e-8)
  })

  it('gives the numbers of the tests of sacrebleu for each order', () => {
    const scores = [1, 2, 3, 4, 5, 6].map((maxNgramOrder) => bleu(SYSTEM, REFERENCES, { maxNgramOrder }).score)
    expect(scores.map((score) => score.toFixed(2))).toEqual(['77.65', '60.50', '53.93', '48.53', '46.14', '43.28'])
  })

  it.each<[string, string, BleuOptions, number]>([
    ['this is a fest', 'this is a test', { smoothValue: 0.01 }, 22.3606797749979],
    ['am I am a character sequence', 'I am a symbol string sequence a a', {}, 15.55722182],
    ['am I am a character sequence', 'I am a symbol string sequence a a', { smoothValue: 0 }, 0],
    ['test', 'a test', { smoothValue: 0.01 }, 36.78794411714425],
    ['a test', 'a test', { smoothValue: 0.01 }, 100],
    ['a little test', 'a test', { smoothValue: 0.01 }, 3.218297948685433],
  ])('BLEU of "%s" is that of the tests of sacrebleu', (prediction, reference, options, expected) => {
    const score = sentenceBleu(prediction, reference, { tokenize: 'none', smoothMethod: 'floor', ...options }).score
    expect(Math.abs(score - expected)).toBeLessThan(1e-6)
  })

  it('has the modified precisions of Papineni et al. 2002, section 2.1', () => {
    const references = [
      'It is a guide to action that ensures that the military will forever heed Party commands',
      'It is the guiding principle which guarantees the military forces always being under the command of the Party',
      'It is the practical guide for the army always to heed the directions of the party',
    ]
    const first = 'It is a guide to action which ensures that the military always obeys the commands of the party'
    const second = 'It is to insure the troops forever hearing the activity guidebook that party direct'
    const fractions = (prediction: string, among: string[]) => {
      const { counts, totals } = bleu([prediction], [among], { lowercase: true })
      return counts.slice(0, 2).map((count, n) => `${count}/${totals[n]}`)
    }
    expect(fractions(first, references)).toEqual(['17/18', '10/17'])
    expect(fractions(second, references)).toEqual(['8/14', '1/13'])
    const mats = ['The cat is on the mat', 'There is a cat on the mat']
    expect(fractions('the the the the the the the', mats)[0]).toBe('2/7')
  })
})

describe('chrF', () => {
  it('is what the README of sacrebleu prints', () => {
    expect(chrf(SYSTEM, REFERENCES).score.toFixed(2)).toBe('59.73')
  })

  // test/test_chrf.py of sacrebleu
  it.each<[string, string, ChrfOptions, number]>([
    ['abcdefg', 'hijklmnop', {}, 0],
    ['', 'reference', {}, 0],
    ['aa', 'ab', {}, 8.3333],
    ['a', 'a', {}, 16.6667],
    ['a b c', 'abc', {}, 50],
    [
      ' Die    Beziehung zwischen  Obama und Netanjahu ist nicht gerade  freundlich. ',
      'Das Verh\u00e4ltnis zwischen Obama und Netanyahu ist nicht gerade freundschaftlich.',
      {},
      64.1302698,
    ],
    ['a', 'a', { epsSmoothing: false }, 100],
    ['aa', 'ab', { epsSmoothing: false }, 25],
    ['a b c', 'abc', { epsSmoothing: false }, 100],
  ])('chrF of "%s" and "%s" is that of the tests of sacrebleu', (prediction, reference, options, expected) => {
    const { score } = chrf([prediction], [reference], { beta: 3, epsSmoothing: true, ...options })
    expect(Math.abs(score - expected)).toBeLessThan(1e-4)
  })

  it('sentenceChrf gives the score of the tests of sacrebleu', () => {
    const prediction = 'Nebo prost\u011b nemaj\u00ed vybaven\u00ed, kter\u00e9 by jim pomohlo, uvedli l\u00e9ka\u0159i.'
    const reference =
      'A n\u011bkdy nem\u00e1me ani pot\u0159ebn\u00fd materi\u00e1l, abychom jim pomohli, popsali l\u00e9ka\u0159i.'
    expect(Math.abs(sentenceChrf(prediction, reference, { epsSmoothing: true }).score - 31.22557079)).toBeLessThan(1e-4)
  })
})

describe('ROUGE', () => {
  // rouge/rouge_scorer_test.py of https://github.com/google-research/google-research
  it('has the numbers of the tests of rouge_score', () => {
    const three = 'testing one two'
    const { rouge1 } = sentenceRouge('testing', three)
    expect(rouge1).toEqual({ precision: 1, recall: 1 / 3, fmeasure: 0.5 })
    const { rouge2, rougeL } = sentenceRouge('testing one', three)
    expect(rouge2).toEqual({ precision: 1, recall: 1 / 2, fmeasure: 2 / 3 })
    expect(rougeL).toEqual({ precision: 1, recall: 2 / 3, fmeasure: 0.8 })
    expect(sentenceRouge('testing two', three).rougeL).toEqual({ precision: 1, recall: 2 / 3, fmeasure: 0.8 })
  })

  it('rougeLsum is that of Lin 2004, section 3.2', () => {
    const { rougeLsum } = sentenceRouge('w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5', 'w1 w2 w3 w4 w5')
    expect(rougeLsum).toMatchObject({ recall: 4 / 5, precision: 4 / 10 })
    expect(rougeLsum?.fmeasure).toBeCloseTo(0.5333, 4)
  })

  it('takes the first of the references with the highest F-measure, as rouge_score does', () => {
    // Precision 1/2 and recall 1, or the other way round: 2/3 both.
    const shorter = 'w1 w2'
    const longer = 'w1 w2 w3 w4 w5 w6 w7 w8'
    const first = (references: string[]) => sentenceRouge('w1 w2 w3 w4', references).rouge1?.precision
    expect([first([shorter, longer]), first([longer, shorter])]).toEqual([1 / 2, 1])
  })

  it('tells sentences apart by the order of words, as Lin 2004 shows in section 3.1', () => {
    const reference = 'police killed the gunman'
    const scores = ['police kill the gunman', 'the gunman kill police', 'the gunman police killed'].map((prediction) =>
      sentenceRouge(prediction, reference, { rougeTypes: ['rouge2', 'rougeL'] }),
    )
    expect(scores.map(({ rougeL }) => rougeL?.fmeasure)).toEqual([3 / 4, 2 / 4, 2 / 4])
    expect(scores[0]?.rouge2?.fmeasure).toBe(scores[1]?.rouge2?.fmeasure)
  })
})

describe('the stemmer', () => {
  it('has the stems of Porter 1980, but for those that NLTK changes', () => {
    const stems = {
      caresses: 'caress',
      ponies: 'poni',
      cats: 'cat',
      feed: 'feed',
      agreed: 'agre',
      plastered: 'plaster',
      bled: 'bled',
      motoring: 'motor',
      sing: 'sing',
      conflated: 'conflat',
      hopping: 'hop',
      tanned: 'tan',
      falling: 'fall',
      hissing: 'hiss',
      failing: 'fail',
      filing: 'file',
      happy: 'happi',
      relational: 'relat',
      conditional: 'condit',
      rational: 'ration',
      vietnamization: 'vietnam',
      triplicate: 'triplic',
      revival: 'reviv',
      homologous: 'homolog',
      probate: 'probat',
      rate: 'rate',
      controll: 'control',
      roll: 'roll',
      oscillators: 'oscil',
      generalizations: 'gener',
      // NLTK: ties -> tie, sky -> sky.
      ties: 'tie',
      sky: 'sky',
      skies: 'sky',
      dying: 'die',
    }
    expect(Object.fromEntries(Object.keys(stems).map((word) => [word, stem(word)]))).toEqual(stems)
  })
})

describe('texts of other scripts', () => {
  const chinese = '\u6211\u4eec\u5728\u5317\u4eac'
  const russian = '\u0414\u043e\u0431\u0440\u044b\u0439 \u0434\u0435\u043d\u044c'
  const thai = '\u0e20\u0e32\u0e29\u0e32\u0e44\u0e17\u0e22'

  it('have no words in ROUGE unless the tokenizer is that for all scripts', () => {
    for (const text of [chinese, russian, thai]) {
      expect(rouge([text], [text]).rouge1).toEqual({ precision: 0, recall: 0, fmeasure: 0 })
      expect(rouge([text], [text], { tokenizer: 'unicode' }).rouge1?.fmeasure).toBe(1)
    }
  })

  it('are cut by that tokenizer into words, and into characters where words have no spaces', () => {
    const precision = (prediction: string, reference: string) =>
      rouge([prediction], [reference], { tokenizer: 'unicode', rougeTypes: ['rouge1'] }).rouge1?.precision
    expect(precision(`${russian}!`, russian.toUpperCase())).toBe(1)
    expect(precision(russian, russian.slice(0, 6))).toBe(1 / 2)
    expect(precision(chinese, chinese.slice(0, 2))).toBe(2 / 5)
    // The same letter, with its accent in one character and in two.
    expect(precision('caf\u00e9', 'cafe\u0301')).toBe(1)
    expect(precision('GPT-4 \u6a21\u578b', 'gpt 4')).toBe(1 / 2)
  })

  it('keep the stemmer for words of a to z', () => {
    const options = { tokenizer: 'unicode', useStemmer: true, rougeTypes: ['rouge1'] } as const
    expect(rouge(['running caf\u00e9s'], ['runs caf\u00e9'], options).rouge1?.fmeasure).toBe(1 / 2)
  })
})

describe('options that do not fit', () => {
  it('are refused with what to do', () => {
    expect(() => bleu([], [], { smoothValue: 1 })).toThrow(
      "[BLEU] expected smoothMethod 'floor' or 'add-k' where smoothValue is given, got 'exp'; leave out smoothValue",
    )
    expect(() => bleu([], [], { tokenize: 'ja-mecab' as never })).toThrow(
      "[BLEU] expected '13a', 'intl', 'zh', 'char', 'none' for tokenize, got \"ja-mecab\"",
    )
    expect(() => chrf([], [], { charOrder: 0 })).toThrow(/^\[chrF\] expected a whole number of at least 1 and at most/)
    expect(() => rouge([], [], { rougeTypes: ['rouge10' as never] })).toThrow(/^\[ROUGE\] expected a list of 'rouge1'/)
    expect(() => rouge([], [], { rougeTypes: [] })).toThrow(/^\[ROUGE\] expected a list of 'rouge1'/)
  })
})

describe('sets without rows', () => {
  it('have the score NaN', () => {
    expect(bleu([], [])).toEqual({
      score: Number.NaN,
      counts: [0, 0, 0, 0],
      totals: [0, 0, 0, 0],
      precisions: [0, 0, 0, 0],
      bp: 1,
      sysLen: 0,
      refLen: 0,
    })
    expect(chrf([], []).score).toBeNaN()
    expect(rouge([], []).rougeL?.fmeasure).toBeNaN()
  })
})
