/** @file Words of a command line as values of flags, and everything that is wrong with them at once. */

import { describe, expect, it } from 'vitest'
import type { CommandDescription } from '../../src/cli/command.js'
import { parseWords } from '../../src/cli/parse.js'
import { flagFor } from '../../src/cli/train-flags.js'
import { boolean, integer, listOf, number, text } from '../../src/options/rules.js'
import { TRAIN_LORA_OPTIONS } from '../../src/train/options.js'

/** A command with flags of every kind. */
const COPY: CommandDescription = {
  summary: 'copy something',
  arguments: [{ name: 'from', help: 'what', default: 'here' }],
  flags: {
    count: { rule: integer({ min: 1 }), default: 3, help: 'how many', flag: { name: '--count', argument: 'count' } },
    share: { rule: number({ min: 0 }), help: 'how much', flag: { name: '--share', argument: 'share' } },
    toText: { rule: text, help: 'where to', flag: { name: '--to', argument: 'path' } },
    tags: {
      rule: listOf(text, 'strings that are not empty'),
      default: [],
      help: 'names',
      flag: { name: '--tag', argument: 'text', isRepeatable: true },
    },
    loud: { rule: boolean, help: 'say more', flag: { name: '--loud' } },
  },
  examples: [{ text: 'Copy', line: 'copy' }],
}
const TRAIN: CommandDescription = { ...COPY, settings: TRAIN_LORA_OPTIONS, instead: flagFor, arguments: [] }

/** What is read, with the messages of its problems. */
function parsed(command: string, description: CommandDescription, words: readonly string[]) {
  const { problems, ...rest } = parseWords(command, description, words)
  return { ...rest, problems: problems.map(({ message }) => message) }
}

const copy = (...words: string[]) => parsed('copy', COPY, words)

describe('the words of a command line', () => {
  it('are flags, with the next word or what stands behind = as their value, and arguments', () => {
    const { flags, words, problems } = copy('--count', '7', 'there', '--share=0.5', '--to=a=b', '--loud')
    expect(flags).toEqual({ count: 7, share: 0.5, toText: 'a=b', tags: [], loud: true })
    expect({ words, problems }).toEqual({ words: ['there'], problems: [] })
  })

  it('have the defaults of what is not among them', () => {
    expect(copy()).toMatchObject({ flags: { count: 3, tags: [] }, words: ['here'], problems: [] })
    expect(Object.keys(copy().flags)).toEqual(['count', 'tags'])
  })

  it('the words of a command line may begin with a dash where they are values, and are arguments behind --', () => {
    expect(copy('--to', '-x', '--tag', '--', '--tag=-h', '--', '--loud')).toMatchObject({
      flags: { toText: '-x', tags: ['--', '-h'] },
      words: ['--loud'],
      problems: [],
      wantsHelp: false,
    })
  })

  it('a flag that comes twice and does not collect its values has the last one', () => {
    expect(copy('--count', '7', '--loud', '--count=8', '--loud')).toMatchObject({
      flags: { count: 8, loud: true },
      problems: [],
    })
    expect(parsed('train', TRAIN, ['--rank', '8', '--rank', '4']).settings).toEqual([
      { flag: '--rank', path: ['lora', 'r'], value: 4 },
    ])
  })

  it('stay texts where texts are wanted, and collect where a flag may be repeated', () => {
    expect(copy('--to', '7', '--tag', '1,2', '--tag', '3').flags).toMatchObject({ toText: '7', tags: ['1,2', '3'] })
  })

  it('ask for help with --help and -h, whatever else is wrong', () => {
    for (const word of ['--help', '-h']) expect(copy('--nonsense', word).wantsHelp).toBe(true)
  })

  it('set options of a configuration, as numbers, lists, or what was typed', () => {
    const set = (...words: string[]) => {
      const { settings, problems } = parsed('train', TRAIN, words)
      expect(problems).toEqual([])
      return settings.map(({ flag, path, value }) => [flag, path.join('.'), value])
    }
    expect(set('--lr', '2e-4', '--max-steps', '-1', '--seed', 'x', '--packing', '--model', '7')).toEqual([
      ['--lr', 'training.learningRate', 2e-4],
      ['--max-steps', 'training.maxSteps', -1],
      ['--seed', 'training.seed', 'x'],
      ['--packing', 'training.packing', true],
      ['--model', 'model', '7'],
    ])
    for (const [typed, value] of [
      ['q_proj', ['q_proj']],
      ['q_proj, v_proj', ['q_proj', 'v_proj']],
      ['all-linear', 'all-linear'],
      ['.*\\.(q|v)_proj', '.*\\.(q|v)_proj'],
    ])
      expect(set('--target-modules', typed as string)).toEqual([['--target-modules', 'lora.targetModules', value]])
    expect(set('--lr', '')).toEqual([['--lr', 'training.learningRate', '']])
  })
})

describe('a wrong command line', () => {
  it('has all of its mistakes told at once', () => {
    const { problems, isUnderstood } = copy('--cuont', '0', '--share', 'much', '--loud=no', '--tag', '')
    expect(problems).toEqual([
      '[copy] unknown flag "--cuont"; did you mean --count?',
      '[copy] expected --loud without a value, got "no"; leave it out',
      '[copy] expected a whole number of at least 1 for --count, got 0',
      '[copy] expected a number of at least 0 for --share, got "much"',
      '[copy] expected strings that are not empty for --tag, got [""]',
    ])
    expect(isUnderstood).toBe(true)
  })

  it.each<[string, string[], string]>([
    ['a flag without its value', ['--to'], 'expected a value for --to, got nothing; write --to PATH'],
    [
      'a flag in the place of a value',
      ['--to', '--loud'],
      'expected a value for --to, got the flag --loud; write --to=--loud where that is meant',
    ],
    ['a flag that resembles none', ['--zzzzzzzz', 'x'], 'unknown flag "--zzzzzzzz"'],
    ['one dash', ['-x'], 'unknown flag "-x"'],
    [
      'a secret',
      ['--hf-token', 'x'],
      'unknown flag "--hf-token"; others can read the command line: set HF_TOKEN, or HF_TOKEN_PATH to a file with the token',
    ],
    [
      'more arguments than there are',
      ['a', 'b'],
      'expected FROM and flags alone, got "a", "b"; put quotes around a value with blanks or * in it, and its flag before each value: lowrank copy --help lists them',
    ],
  ])('is not understood with %s, so that nothing is told to be missing', (_, words, problem) => {
    expect(copy(...words)).toMatchObject({ problems: [`[copy] ${problem}`], isUnderstood: false })
  })

  it('takes -count for --count', () => {
    expect(copy('-count', '2')).toMatchObject({
      flags: { count: 2 },
      problems: ['[copy] unknown flag "-count"; did you mean --count?'],
    })
  })

  it('names the flag of an option that was written by its own name, and checks its value as that', () => {
    const { problems, settings } = parsed('train', TRAIN, ['--learning_rate', 'fast', '--packing=false'])
    expect(problems).toEqual([
      '[train] unknown flag "--learning_rate"; write --lr NUMBER',
      '[train] expected --packing without a value, got "false"; write --set training.packing=false',
    ])
    expect(settings[0]).toEqual({ flag: '--lr', path: ['training', 'learningRate'], value: 'fast' })
  })
})
