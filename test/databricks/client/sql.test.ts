/** @file Statements of the template `sql`: what becomes a parameter, of which type, and what is quoted. */

import { expect, test } from 'vitest'
import { identifier, literal, sql, statementOf, typed } from '../../../src/databricks/client/sql.js'

test('values of a statement become parameters of the types of Databricks and never its text', () => {
  const hostile = "x'; DROP TABLE t --"
  const { text, parameters } = sql`select * from t where a = ${hostile} and b = ${3} and c = ${2 ** 40} and d = ${0.5}
    and e = ${2n ** 80n} and f = ${true} and g = ${new Date(0)} and h = ${null} and i = ${typed('2026-01-31', 'DATE')}`
  expect(text).toContain('a = :p1 and b = :p2')
  expect(text).not.toContain('DROP')
  expect(parameters.map(({ value, type }) => [value, type])).toEqual([
    [hostile, 'STRING'],
    ['3', 'INT'],
    ['1099511627776', 'BIGINT'],
    ['0.5', 'DOUBLE'],
    ['1208925819614629174706176', 'DECIMAL(38,0)'],
    ['true', 'BOOLEAN'],
    ['1970-01-01T00:00:00.000Z', 'TIMESTAMP'],
    [null, 'STRING'],
    ['2026-01-31', 'DATE'],
  ])
})

test('a statement within a statement keeps its parameters, and what is quoted or cast is left alone', () => {
  const inner = sql`a = ${1} and note = ${literal('no :p1 here')} and b::int = ${2}`
  const { text, parameters } = sql`select * from t where z = ${0} and (${inner}) and y = ${3}`
  expect(text).toBe("select * from t where z = :p1 and (a = :p2 and note = 'no :p1 here' and b::int = :p3) and y = :p4")
  expect(parameters.map(({ value }) => value)).toEqual(['0', '1', '2', '3'])
  const named = statementOf('day >= :day', { day: '2026-01-01' })
  expect(sql`select ${named}`).toEqual({
    text: 'select day >= :p1',
    parameters: [{ name: 'p1', value: '2026-01-01', type: 'STRING' }],
  })
})

test('names and literals are quoted so that nothing ends them early', () => {
  expect(sql`${identifier('main.my schema.rows')}`.text).toBe('`main`.`my schema`.`rows`')
  expect(sql`${identifier('main', 'default', 'a.b`c')}`.text).toBe('`main`.`default`.`a.b``c`')
  expect(sql`${identifier('main.`a.b`.c')}`.text).toBe('`main`.`a.b`.`c`')
  expect(sql`${literal("it's \\ a\nline")}`.text).toBe("'it\\'s \\\\ a\\nline'")
})

test.each([
  [() => sql`select ${['a'] as never}`, 'got ["a"]; give each item as a value of its own'],
  [() => sql`select ${{} as never}`, 'give it as text, or as JSON with from_json'],
  [() => sql`select ${2n ** 200n}`, 'expected text, a number, true or false, a Date or null for a value'],
  [() => sql`select :p1`, 'got "select :p1"; write $'],
  [() => identifier(''), 'expected a name of parts with dots in between, got ""'],
  [() => identifier('a..b'), 'got "a..b"'],
  [() => typed('1', 'DATE; DROP'), 'expected the type of a single value such as DATE'],
  [() => statementOf('select 1', { 'a b': 1 }), "expected a parameter's name of letters"],
])('a value that no statement can have is refused with what to write (%#)', (make, message) => {
  expect(make).toThrow(message)
})
