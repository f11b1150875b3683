/** @file `lowrank data rules`: instructions of the rows of a table, by a file of rules. */

import { path } from '../../options/rules.js'
import type { RulesReport } from '../../transform/rules.js'
import type { Command } from '../command.js'
import { JSON_OBJECT } from '../flags.js'
import { checkAll } from '../usage-error.js'
import { OUTPUT_FILE, ROWS_ARGUMENT, SQL_TABLE } from './flags.js'
import { countLines, expectGiven, ofRows, transform } from './transformation.js'

interface RulesFlags {
  readonly rules?: string
  readonly output?: string
  readonly sql?: string
  readonly json?: boolean
}

interface Checked extends RulesFlags {
  readonly dataset: string
  readonly rules: string
}

export const command: Command<RulesFlags, Checked> = {
  summary: 'make instruction, context and response of the rows of a table, by rules',
  arguments: [ROWS_ARGUMENT],
  flags: {
    rules: {
      rule: path,
      help: 'YAML file with conditions on columns and what they change',
      flag: { name: '--rules', argument: 'file' },
    },
    output: OUTPUT_FILE,
    sql: SQL_TABLE,
    json: JSON_OBJECT,
  },
  examples: [
    {
      text: 'Make instructions of loans',
      line: 'data rules loans.jsonl --rules risk.yaml --output made.jsonl',
    },
    { text: 'The same as SQL', line: 'data rules --rules risk.yaml --sql main.default.loans' },
  ],
  async check({ flags, words: [dataset] }) {
    const { rules, output, sql } = flags
    const [checkedRules] = await checkAll('data rules', [
      () => expectGiven('rules', '--rules FILE', rules),
      () => sql ?? expectGiven('rules', 'a file of rows', dataset),
      () => sql ?? expectGiven('rules', '--output FILE', output),
    ])
    return { ...flags, rules: checkedRules, dataset: dataset ?? '' }
  },
  async run({ dataset, rules, output = '', sql, json }) {
    if (sql !== undefined) {
      const { rulesSql } = await import('../../transform/rules-sql.js')
      process.stdout.write(await rulesSql(rules, sql))
      return
    }
    const { applyRules } = await import('../../transform/rules.js')
    const work = (
      onProgress: (rows: number, fraction: number | undefined) => void,
      signal: AbortSignal,
    ): Promise<RulesReport> => applyRules({ dataset, rules, output, onProgress, signal })
    await transform('Applying rules', json, work, (report, paint) => [
      `${paint('green', 'Made')} instructions of ${ofRows(report.written, report.read)} in ${report.output}`,
      ...countLines(report.skipped, 'left out: '),
      ...countLines(report.matched, 'matched: '),
      ...countLines({ rows: report.unmatched }, 'without a rule: ').map((line) => line.replace(/: rows$/, '')),
      ...countLines(report.notNumbers, 'no number in '),
    ])
  },
}
