/** @file Flags of the command line, as tables of options say them. */

import { describe, expect, it } from 'vitest'
import { describeDefault, flagHelp, flagsOf, flagValue, type TableFlag, usageOf } from '../../src/options/flags.js'
import { boolean, either, exactly, integer, listOf, number, text } from '../../src/options/rules.js'
import type { OptionTable } from '../../src/options/table.js'
import { TRAIN_LORA_OPTIONS } from '../../src/train/options.js'

const TABLE: OptionTable = {
  steps: {
    rule: either(integer({ min: 1 }), exactly(-1, 'no limit')),
    default: 7,
    help: 'how many',
    flag: { name: '--steps', argument: 'count' },
  },
  hidden: { rule: boolean, default: false, help: 'has no flag' },
  loud: { rule: boolean, default: false, help: 'say more', flag: { name: '--loud' } },
  inner: {
    rule: { expected: 'an object', accepts: () => true },
    help: 'a table of its own',
    table: {
      rate: { rule: number({}), default: 2e-4, help: 'how fast', flag: { name: '--rate', argument: 'number' } },
      names: {
        rule: either(text, listOf(text, 'names')),
        default: 'all',
        help: 'which',
        flag: { name: '--names', argument: 'names', help: 'which ones' },
      },
      columns: {
        rule: listOf(text, 'names of columns'),
        help: 'those of a table',
        flag: { name: '--columns', argument: 'names' },
      },
    },
  },
}

const flag = (name: string): TableFlag => flagsOf(TABLE).find((one) => one.name === name) as TableFlag

describe('flags of a table', () => {
  it('lists the flags of a table and of the tables in it, with the path of each option', () => {
    expect(flagsOf(TABLE).map(({ name, path }) => [name, path.join('.')])).toEqual([
      ['--steps', 'steps'],
      ['--loud', 'loud'],
      ['--rate', 'inner.rate'],
      ['--names', 'inner.names'],
      ['--columns', 'inner.columns'],
    ])
  })

  it('declares what a flag takes, and nothing for one that means true', () => {
    expect(['--steps', '--loud'].map((name) => usageOf(flag(name)))).toEqual(['--steps COUNT', '--loud'])
  })

  it('shows the default in help where the flag takes a value, and help of its own where it has that', () => {
    expect(['--steps', '--loud', '--rate', '--names'].map((name) => flagHelp(flag(name)))).toEqual([
      'how many (default: 7)',
      'say more',
      'how fast (default: 2e-4)',
      'which ones (default: all)',
    ])
  })

  it.each([
    ['--steps', '3', 3],
    ['--steps', '-1', -1],
    ['--steps', '0', 0],
    ['--steps', 'three', 'three'],
    ['--steps', ' ', ' '],
    ['--rate', '1e-4', 1e-4],
    ['--rate', 'Infinity', 'Infinity'],
    ['--names', 'q_proj', ['q_proj']],
    ['--names', 'q_proj, v_proj', ['q_proj', 'v_proj']],
    ['--names', 'All', 'All'],
    ['--names', '.*(q|v)_proj', '.*(q|v)_proj'],
    ['--names', '12', ['12']],
    ['--columns', 'Loan Status', ['Loan Status']],
    ['--columns', 'Größe (m²), Ort', ['Größe (m²)', 'Ort']],
  ])('reads %s %j as %j', (name, text, value) => {
    expect(flagValue(flag(name), text)).toEqual(value)
  })

  it('writes a default as one types it, and nothing for what stands for no value', () => {
    expect([16, 0, 0.05, 2e-4, 'bfd', false, {}, null, -1, undefined].map(describeDefault)).toEqual([
      '16',
      '0',
      '0.05',
      '2e-4',
      'bfd',
      'false',
      '{}',
      undefined,
      undefined,
      undefined,
    ])
  })

  it('gives no two options of training the same flag', () => {
    const names = flagsOf(TRAIN_LORA_OPTIONS).map(({ name }) => name)
    expect(names.length).toBeGreaterThan(20)
    expect(new Set(names).size).toBe(names.length)
  })
})
