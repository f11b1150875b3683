/**
 * @file Proves that the queries of transformations give in Spark the rows that the functions give:
 * `node bench/spark-sql.mjs PYTHON`, where PYTHON has pyspark and the machine has Java 17 or 21. It is no test, since
 * both are large; docs/status.md has the last run. DuckDB runs the same queries in test/transform/sql.test.ts.
 */

import { spawnSync } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'
import {
  applyRules,
  dedupeRows,
  dedupeSql,
  rulesSql,
  splitRows,
  splitSql,
  unifySources,
  unifySql,
} from '../dist/index.js'

const RECIPES = fileURLToPath(new URL('../examples/recipes/', import.meta.url))

/**
 * @typedef {Record<string, unknown>} Row
 * @typedef {{ name: string, sql: string, columns: readonly string[], rows: readonly Row[] }} Case
 */

/**
 * @param {string} path
 * @returns {Promise<Row[]>}
 */
async function rowsOf(path) {
  const lines = (await readFile(path, 'utf8')).split('\n').slice(0, -1)
  return lines.map((line) => JSON.parse(line))
}

/**
 * @param {string} name
 * @param {string} sql
 * @param {readonly Row[]} rows
 * @returns {Case}
 */
function caseOf(name, sql, rows) {
  return { name, sql, columns: Object.keys(rows[0] ?? {}), rows }
}

/** @param {string} folder */
async function writePlan(folder) {
  const at = (/** @type {string} */ name) => join(folder, name)
  const loans = `${RECIPES}synthetic-loans.jsonl`
  const payments = `${RECIPES}synthetic-payments.jsonl`
  const texts = ['a  b', 'a b ', '\ta\r\nb', 'ab', 'A b', "it's", "it's \\ n", "it's \\  n", '', ' ', 'a b c']
  const rows = texts.map((text, id) => ({ id, text, other: id % 2 === 0 ? 'x y' : ' x  y' }))
  await writeFile(at('texts.jsonl'), rows.map((row) => `${JSON.stringify(row)}\n`).join(''))
  /** @type {Case[]} */
  const cases = []

  for (const [recipe, table, dataset] of /** @type {const} */ ([
    ['lending-club', 'loans', loans],
    ['ieee-fraud', 'payments', payments],
  ])) {
    const rules = `${RECIPES}${recipe}.yaml`
    await applyRules({ dataset, rules, output: at('rules.jsonl') })
    cases.push(caseOf(`rules ${recipe}`, await rulesSql(rules, table), await rowsOf(at('rules.jsonl'))))
  }

  const whole = parse(await readFile(`${RECIPES}unify.yaml`, 'utf8'))
  const mapping = { ...whole, sources: whole.sources.slice(0, 2) }
  await unifySources({ mapping, datasets: { loans, payments }, output: at('unified.jsonl') })
  const tables = { loans: 'loans', payments: 'payments' }
  cases.push(caseOf('unify', await unifySql(mapping, tables), await rowsOf(at('unified.jsonl'))))

  const splits = { train: 0.7, dev: 0.1, test: 0.2 }
  for (const by of [
    { splits, groupBy: 'context' },
    { splits, groupBy: 'source_row', stratifyBy: 'source', seed: 7 },
  ]) {
    const report = await splitRows({ dataset: at('unified.jsonl'), outputDir: folder, ...by })
    const sides = await Promise.all(
      Object.entries(report.splits).map(async ([split, { path }]) =>
        (await rowsOf(path)).map((row) => ({ source_row: row.source_row, split })),
      ),
    )
    cases.push(caseOf(`split by ${by.groupBy}`, splitSql('unified', by), sides.flat()))
  }

  const columns = ['text', 'other']
  await dedupeRows({ dataset: rows, columns, threshold: false, output: at('kept.jsonl') })
  cases.push(caseOf('dedupe', dedupeSql('texts', { columns, key: 'id' }), await rowsOf(at('kept.jsonl'))))

  const paths = { loans, payments, texts: at('texts.jsonl'), unified: at('unified.jsonl') }
  await writeFile(at('plan.json'), JSON.stringify({ tables: paths, cases }))
}

const [python = 'python3'] = process.argv.slice(2)
const folder = await mkdtemp(join(tmpdir(), 'lowrank-spark-'))
try {
  await writePlan(folder)
  const script = fileURLToPath(new URL('peers/spark_sql.py', import.meta.url))
  process.exitCode = spawnSync(python, [script, folder], { stdio: ['ignore', 'inherit', 'inherit'] }).status ?? 1
} finally {
  await rm(folder, { recursive: true, force: true })
}
