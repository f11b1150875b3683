/** @file A division of rows as one SQL query: each row with the name of its split, which is that of `splitRows`. */

import { OptionError } from '../lowrank-error.js'
import { readOptions } from '../options/table.js'
import { SPLIT_BY, type SplitBy } from './split.js'
import { endsOf, limitsOf, POSITION_DIGITS } from './splits.js'
import { sqlColumn, sqlLiteral, sqlTable, sqlText } from './sql.js'

/**
 * The query that gives each row of a table its split, as the column `split`.
 *
 * @param table `main.default.rows`.
 * @throws OptionError without `groupBy`: in SQL a row is known by a column of it alone
 */
export function splitSql(table: string, options: SplitBy): string {
  const { splits, seed, groupBy, stratifyBy } = readOptions('split', options, SPLIT_BY)
  if (groupBy === undefined)
    throw new OptionError('[sql] expected groupBy for a split in SQL, got none; give the column that tells rows apart')
  const group = sqlColumn(groupBy)
  const names = Object.keys(splits)
  const position = `substr(md5('${seed}:' || ${sqlText(group)}), 1, ${POSITION_DIGITS})`
  const choose = (tests: readonly string[]): string => {
    const [last = '', ...others] = names.toReversed()
    const cases = others.toReversed().map((name, index) => `WHEN ${tests[index]} THEN ${sqlLiteral(name)}`)
    return cases.length === 0 ? sqlLiteral(last) : `CASE ${cases.join(' ')} ELSE ${sqlLiteral(last)} END`
  }
  if (stratifyBy === undefined) {
    const tests = limitsOf(splits).map(
      (limit) => `${position} < '${limit.toString(16).padStart(POSITION_DIGITS, '0')}'`,
    )
    return `SELECT *,\n  ${choose(tests)} AS split\nFROM ${sqlTable(table)}\n`
  }
  const stratum = `COALESCE(${sqlText(sqlColumn(stratifyBy))}, '')`
  const tests = endsOf(splits).map(
    (end) => `lowrank_rank <= FLOOR(CAST(${end} AS DOUBLE) * lowrank_groups + CAST(0.5 AS DOUBLE))`,
  )
  return [
    'WITH placed AS (',
    `  SELECT ${group} AS lowrank_group, ${position} AS lowrank_position, MIN(${stratum}) AS lowrank_stratum`,
    `  FROM ${sqlTable(table)} GROUP BY ${group}`,
    '), ranked AS (',
    '  SELECT lowrank_group,',
    '    ROW_NUMBER() OVER (PARTITION BY lowrank_stratum ORDER BY lowrank_position) AS lowrank_rank,',
    '    COUNT(*) OVER (PARTITION BY lowrank_stratum) AS lowrank_groups',
    '  FROM placed',
    '), chosen AS (',
    `  SELECT lowrank_group, ${choose(tests)} AS split FROM ranked`,
    ')',
    `SELECT given.*, chosen.split FROM ${sqlTable(table)} AS given`,
    `JOIN chosen ON chosen.lowrank_group = given.${group}`,
    '',
  ].join('\n')
}
