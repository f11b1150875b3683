/** @file Instructions by rules: golden rows of the recipes, every condition, counts, and errors of rule files. */

import { execFileSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { RuleFile } from '../../src/transform/rule-file.js'
import { applyRules, type RulesReport } from '../../src/transform/rules.js'

const RECIPES = fileURLToPath(new URL('../../examples/recipes/', import.meta.url))
const GOLDEN = fileURLToPath(new URL('golden/', import.meta.url))

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'lowrank-rules-'))
})
afterAll(() => rm(directory, { recursive: true, force: true }))

const sum = (counts: Readonly<Record<string, number>>): number =>
  Object.values(counts).reduce((total, count) => total + count, 0)
const rowsOf = async (path: string): Promise<Record<string, unknown>[]> =>
  (await readFile(path, 'utf8'))
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as Record<string, unknown>)

/** What a rule file makes of rows. */
async function make(
  rules: RuleFile,
  dataset: readonly object[],
): Promise<{ report: RulesReport; rows: Record<string, unknown>[] }> {
  const output = join(directory, 'made.jsonl')
  const report = await applyRules({ dataset, rules, output })
  return { report, rows: await rowsOf(output) }
}

describe('the recipes', () => {
  it('the synthetic rows are what their script draws from its seed', async () => {
    execFileSync(process.execPath, [join(RECIPES, 'synthetic-rows.mjs'), directory])
    for (const name of ['synthetic-loans.jsonl', 'synthetic-payments.jsonl'])
      expect(await readFile(join(directory, name), 'utf8')).toBe(await readFile(RECIPES + name, 'utf8'))
  })

  it.each([
    ['lending-club', 'synthetic-loans', { 'no amount': 2 }],
    ['ieee-fraud', 'synthetic-payments', { 'no amount': 0 }],
  ])('%s gives its golden rows, the same bytes twice, and counts every row', async (recipe, rows, skipped) => {
    const outputs = ['first.jsonl', 'second.jsonl'].map((name) => join(directory, name))
    for (const output of outputs) {
      const options = { dataset: `${RECIPES}${rows}.jsonl`, rules: `${RECIPES}${recipe}.yaml`, output }
      const report = await applyRules(options)
      expect(report).toMatchObject({ read: 40, skipped })
      expect(report.read).toBe(report.written + sum(report.skipped))
      expect(await readFile(output, 'utf8')).toBe(await readFile(`${GOLDEN}${recipe}.jsonl`, 'utf8'))
    }
  })

  it('loans are of high risk exactly where one of the four rules of the policy holds', async () => {
    const loans = await rowsOf(`${RECIPES}synthetic-loans.jsonl`)
    const made = await rowsOf(`${GOLDEN}lending-club.jsonl`)
    const number = (text: unknown): number => Number(String(text).replace('%', ''))
    const expected = loans
      .filter(({ loan_amnt }) => loan_amnt !== '')
      .map(({ id, target, fico_range_low, dti, int_rate }) => ({
        id,
        isHigh: target === '1' || number(fico_range_low) < 660 || number(dti) > 35 || number(int_rate) > 15,
      }))
    const found = made.map(({ id, response }) => ({
      id,
      isHigh: (JSON.parse(response as string) as { risk_level: string }).risk_level === 'High',
    }))
    expect(found).toEqual(expected)
    expect(new Set(found.map(({ isHigh }) => isHigh)).size).toBe(2)
  })
})

const CONTEXT = { columns: ['a'] }
const flagging = (when: object): RuleFile => ({
  instruction: 'Judge.',
  context: CONTEXT,
  values: { flag: 'no' },
  rules: [{ name: 'rule', when, set: { flag: 'yes' } }],
  response: '{flag}',
})

describe('a condition', () => {
  it.each([
    [
      { column: 'a', is: 1 },
      [1, '1', ' 1.0 ', '100%', true, 'one', null],
      [true, true, true, false, false, false, false],
    ],
    [{ column: 'a', is: 'x y' }, ['x y', 'X y', ' x y'], [true, false, false]],
    [{ column: 'a', is: true }, [true, 'true', 1], [true, true, false]],
    [{ column: 'a', isNot: 1 }, [2, '1', 'x', '', null], [true, false, true, false, false]],
    [{ column: 'a', in: ['u', 2] }, ['u', '2', 'v'], [true, true, false]],
    [{ column: 'a', notIn: ['u', 2] }, ['u', '2', 'v', null], [false, false, true, false]],
    [{ column: 'a', missing: true }, [null, '', '  ', 0, false, 'x'], [true, true, true, false, false, false]],
    [{ column: 'a', missing: false }, [null, '', 0], [false, false, true]],
    [{ column: 'a', lessThan: 5 }, [4.9, 5, '4.9%', '-1e3', 'NaN', ''], [true, false, true, true, false, false]],
    [{ column: 'a', atMost: 5 }, [5, '5.0', 5.1], [true, true, false]],
    [
      { column: 'a', moreThan: 15 },
      ['16.65%', '15', 'Infinity', '0x20', '1_000', '+16'],
      [true, false, false, false, false, true],
    ],
    [{ column: 'a', atLeast: 5, lessThan: 7 }, [5, 6.9, 7, 4], [true, true, false, false]],
    [{ column: 'a.b', moreThan: 1 }, [{ b: 2 }, { b: 1 }, 3], [true, false, false]],
    [
      {
        and: [
          { column: 'a', moreThan: 1 },
          { column: 'a', lessThan: 3 },
        ],
      },
      [2, 3],
      [true, false],
    ],
    [
      {
        or: [
          { column: 'a', is: 1 },
          { column: 'a', is: 3 },
        ],
      },
      [1, 2, 3],
      [true, false, true],
    ],
    [{ not: { column: 'a', lessThan: 3 } }, [2, 3, 'x'], [false, true, true]],
  ])('%j holds for the right values', async (when, values, expected) => {
    const { rows } = await make(
      flagging(when),
      values.map((a) => ({ a })),
    )
    expect(rows.map(({ response }) => response === 'yes')).toEqual(expected)
  })

  it('counts cells that are compared with a number and are none', async () => {
    const { report } = await make(flagging({ column: 'a', lessThan: 5 }), [{ a: 'n/a' }, { a: '' }, { a: '3' }, {}])
    expect(report).toMatchObject({ notNumbers: { a: 1 }, matched: { rule: 1 }, unmatched: 3, written: 4 })
  })
})

describe('the rows that rules make', () => {
  it('texts hold what a row says, braces that are doubled, and nothing that is run', async () => {
    const rules = {
      ...flagging({ column: 'a', is: 1 }),
      instruction: 'Judge {a}, not {{a}}. `{{}}`',
    }
    const { rows } = await make(rules, [{ a: '{b} $& {{' }])
    expect(rows[0]?.instruction).toBe('Judge {b} $& {{, not {a}. `{}`')
  })

  it('a row without a column that its texts need is left out and counted', async () => {
    const rules = {
      ...flagging({ column: 'a', is: 1 }),
      rules: [{ name: 'rule', when: { column: 'a', is: 1 }, set: { flag: 'since {b}' } }],
    }
    const { report, rows } = await make(rules, [{ a: 1 }, { a: 1, b: 'x' }, { a: 2 }])
    expect(report).toMatchObject({ read: 3, written: 2, skipped: { 'no value for b': 1 }, matched: { rule: 1 } })
    expect(rows.map(({ response }) => response)).toEqual(['since x', 'no'])
  })

  it('a context without names has all columns in their order, but for those to exclude', async () => {
    const rules = {
      ...flagging({ column: 'a', is: 1 }),
      context: { heading: 'Event:', exclude: ['target'] },
      keep: ['target', '__proto__'],
    }
    const row = JSON.parse(
      '{"2": 1.5, "a": 1, "target": "x", "__proto__": "p", "list": [1, 2], "none": null}',
    ) as object
    const { rows } = await make(rules, [row])
    expect(rows[0]?.context).toBe('Event:\n- 2: 1.5\n- a: 1\n- __proto__: p\n- list: [1, 2]')
    expect(Object.entries(rows[0] ?? {}).at(-1)).toEqual(['__proto__', 'p'])
  })

  it('figures of a file stay as they were written there', async () => {
    const dataset = join(directory, 'figures.jsonl')
    await writeFile(dataset, '{"a": 2.0, "b": 12345678901234567890}\n')
    const output = join(directory, 'kept.jsonl')
    const rules = { ...flagging({ column: 'a', is: 2 }), context: { columns: ['a', 'b'] }, keep: ['b', 'a'] }
    await applyRules({ dataset, rules, output })
    expect(await readFile(output, 'utf8')).toContain(
      '"context": "- a: 2.0\\n- b: 12345678901234567890", "response": "yes", "b": 12345678901234567890, "a": 2.0}',
    )
  })

  it('half a pair of surrogates is written as an escape that JSON reads back', async () => {
    const { rows } = await make(flagging({ column: 'a', is: 1 }), [{ a: 'x\ud800y\udc00😀' }])
    expect(rows[0]?.context).toBe('- a: x\ud800y\udc00😀')
  })

  it('nothing is written where the work is aborted, and what was there stays', async () => {
    const output = join(directory, 'stays.jsonl')
    await writeFile(output, 'before')
    const controller = new AbortController()
    function* rows(): Generator<object> {
      yield { a: 1 }
      controller.abort(new Error('enough'))
      yield { a: 2 }
    }
    const rules = flagging({ column: 'a', is: 1 })
    await expect(applyRules({ dataset: rows(), rules, output, signal: controller.signal })).rejects.toThrow('enough')
    expect(await readFile(output, 'utf8')).toBe('before')
  })
})

describe('a rule file that is wrong', () => {
  const GOOD = `instruction: Judge.
values: { level: low, why: "", steps: [] }
rules:
  - name: one
    when: { column: a, is: 1 }
    set: { level: high }
    add: { why: since, steps: step }
response: "{level}"
`
  it.each([
    ['YAML that does not end', 'rules:\n  - name: [', /rules\.yaml, got at line 2: /],
    ['an unknown field', GOOD.replace('set:', 'sets:'), /unknown field "sets" in .*rules\.yaml:6; did you mean set\?/],
    [
      'an unknown operator',
      GOOD.replace('is: 1', 'iss: 1'),
      /unknown field "iss" in .*rules\.yaml:5; did you mean is\?/,
    ],
    [
      'text as a bound',
      GOOD.replace('is: 1', 'lessThan: "x"'),
      /expected a number for rules\[0\]\.when\.lessThan in .*rules\.yaml:5, got "x"/,
    ],
    [
      'a column without an operator',
      GOOD.replace('is: 1', ''),
      /expected one of is, .* for rules\[0\]\.when in .*rules\.yaml:5/,
    ],
    [
      'conditions beside and',
      GOOD.replace('column: a', 'and: []'),
      /expected and alone for rules\[0\]\.when in .*rules\.yaml:5/,
    ],
    [
      'a value that is not declared',
      GOOD.replace('level: high', 'levels: high'),
      /one of the values level, why, steps for rules\[0\]\.set\.levels in .*:6/,
    ],
    [
      'a text that is set and added to',
      GOOD.replace('set: { level', 'set: { why'),
      /expected a value that no rule adds to for rules\[0\]\.set\.why in .*:6/,
    ],
    [
      'a list that is set',
      GOOD.replace('set: { level', 'set: { steps'),
      /expected a text, not a list, to set for rules\[0\]\.set\.steps/,
    ],
    [
      'an open brace',
      GOOD.replace('"{level}"', '"{level"'),
      /placeholders such as \{column\} for response in .*rules\.yaml:8/,
    ],
    [
      'a list in a text',
      GOOD.replace('"{level}"', '"{steps}"'),
      /no list within a text for response in .*:8, got "\{steps\}"; \{steps\} is a list/,
    ],
    [
      'a value in the instruction',
      GOOD.replace('Judge.', '"{level}"'),
      /expected placeholders of columns for instruction in .*:1/,
    ],
    ['an empty name', GOOD.replace('name: one', 'name: ""'), /expected a name for rules\[0\]\.name in .*:4/],
    [
      'a column that the result has',
      `${GOOD}keep: [context]\n`,
      /expected another name than the result has for keep\[0\] in .*:9/,
    ],
    [
      'no rules',
      GOOD.replace(/rules:.*(?=response)/s, 'rules: []\n'),
      /expected a list of rules for rules in .*:3, got \[\]/,
    ],
    ['no response', GOOD.replace(/response.*/, ''), /expected text for response in .*rules\.yaml:1, got nothing/],
    ['a tag', GOOD.replace('Judge.', '!!js/function "x"'), /rules\.yaml, got at line 1: Unresolved tag/],
    [
      'a list in place of the mapping',
      '- a',
      /expected a mapping with instruction, .* for all of it in .*rules\.yaml:1, got \["a"\]/,
    ],
  ])('%s is refused with its place', async (_, text, message) => {
    const rules = join(directory, 'rules.yaml')
    await writeFile(rules, text)
    const refused = applyRules({ dataset: [], rules, output: join(directory, 'never.jsonl') })
    await expect(refused).rejects.toMatchObject({ code: 'INVALID_OPTION', message: expect.stringMatching(message) })
  })
})
