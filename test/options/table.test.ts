/**
 * @file Reading the options of a call by a table: defaults, unknown names, wrong values; and that a table has to be
 * complete.
 */

import { describe, expect, expectTypeOf, it } from 'vitest'
import { OptionError } from '../../src/lowrank-error.js'
import { boolean, integer, oneOf, text } from '../../src/options/rules.js'
import { changingRun, expectOptions, type OptionTable, type Resolved, readOptions } from '../../src/options/table.js'

interface Options {
  path: string
  count?: number
  mode?: 'fast' | 'slow'
  loud?: boolean
}

const TABLE = {
  path: { rule: text, isRequired: true, help: 'where' },
  count: { rule: integer({ min: 1 }), default: 3, help: 'how many' },
  mode: { rule: oneOf(['fast', 'slow']), otherwise: 'what is best', help: 'how' },
  loud: { rule: boolean, default: false, help: 'say more' },
} as const satisfies OptionTable<Options>

function thrownBy(act: () => unknown): unknown {
  try {
    return act()
  } catch (error) {
    return error
  }
}

describe('readOptions', () => {
  it('fills in defaults, also of what is undefined, and leaves open what has none', () => {
    const given: Options = { path: 'x', count: undefined }
    expect(readOptions('copy', given, TABLE)).toEqual({ path: 'x', count: 3, loud: false })
    const all: Options = { path: 'x', count: 7, mode: 'slow', loud: true }
    expect(readOptions('copy', all, TABLE)).toEqual(all)
  })

  it.each<[string, unknown, string]>([
    [
      'an unknown option',
      { path: 'x', cuont: 2 },
      '[copy] unknown option "cuont"; did you mean "count"? valid options: path, count, mode, loud',
    ],
    [
      'a name that every object has',
      { path: 'x', toString: 1 },
      '[copy] unknown option "toString"; valid options: path, count, mode, loud',
    ],
    ['a wrong value', { path: 'x', count: 0 }, '[copy] expected a whole number of at least 1 for count, got 0'],
    [
      'a number in quotes',
      { path: 'x', count: '4' },
      '[copy] expected a whole number of at least 1 for count, got "4"; write it without quotes',
    ],
    ['null, which is a value', { path: 'x', mode: null }, "[copy] expected 'fast', 'slow' for mode, got null"],
    ['a required option that is missing', { count: 1 }, '[copy] expected text for path, got nothing'],
    ['null for all', null, '[copy] expected an object for options, got null'],
    ['a list', [], '[copy] expected an object for options, got []'],
  ])('refuses %s', (_, given, message) => {
    for (const read of [readOptions, expectOptions<Options>]) {
      const error = thrownBy(() => read('copy', given as Options, TABLE))
      expect(error).toBeInstanceOf(OptionError)
      expect(error).toMatchObject({ code: 'INVALID_OPTION', message })
    }
  })

  it('names the option that is wrong for programs that show it', () => {
    const wrong: Options = { path: 'x', count: 0 }
    expect(thrownBy(() => readOptions('copy', wrong, TABLE))).toMatchObject({ problems: [{ options: [['count']] }] })
    const missing = {} as Options
    expect(thrownBy(() => readOptions('copy', missing, TABLE))).toMatchObject({ problems: [{ options: [['path']] }] })
  })

  it('changes nothing of what it is given', () => {
    const given: Options = Object.freeze({ path: 'x' })
    expect(readOptions('copy', given, TABLE)).not.toBe(given)
  })
})

describe('changingRun', () => {
  it('leaves out the default of an option that is younger than checkpoints', () => {
    const table = {
      old: { rule: boolean, default: false, help: 'a', changesRun: true },
      young: { rule: boolean, default: false, help: 'b', changesRun: 'fromDefault' },
      free: { rule: boolean, default: false, help: 'c' },
    } as const
    expect(changingRun(table, { old: false, young: false, free: true })).toEqual({ old: false })
    expect(changingRun(table, { old: true, young: true, free: true })).toEqual({ old: true, young: true })
  })
})

describe('the types of a table', () => {
  it('let a value be undefined only where there is neither a default nor a need for it', () => {
    expectTypeOf<Resolved<Options, typeof TABLE>>().toEqualTypeOf<{
      path: string
      count: number
      mode: 'fast' | 'slow' | undefined
      loud: boolean
    }>()
    const given: Options = { path: 'x' }
    expectTypeOf(readOptions('copy', given, TABLE)).toEqualTypeOf<Resolved<Options, typeof TABLE>>()
  })

  it('refuse a table that lacks an option, has one too many or a default of another type', () => {
    const { loud, ...lacking } = TABLE
    // @ts-expect-error loud is missing
    lacking satisfies OptionTable<Options>
    // @ts-expect-error quiet is no option
    ;({ ...TABLE, quiet: loud }) satisfies OptionTable<Options>
    // @ts-expect-error the default is no number
    ;({ ...TABLE, count: { ...TABLE.count, default: '3' } }) satisfies OptionTable<Options>
    expect(Object.keys(lacking)).toEqual(['path', 'count', 'mode'])
  })
})
