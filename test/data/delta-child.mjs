// @ts-check
/**
 * @file Appends rows to a Delta table, and says on stdout when to kill it: as the DELAYth part of the rows begins.
 * With a third word the rows are in partitions.
 */

import { writeDelta } from '../../dist/index.js'

const [table = '', delay = '0', parts] = process.argv.slice(2)

async function* rows() {
  for (let id = 2; id < 20_002; id++) {
    // Early in the first pass, when rows are written, and at the end.
    if (id === 2 + Number(delay) * 9_999) process.stdout.write('now\n')
    const part = parts === undefined ? {} : { part: id % 7 === 0 ? null : `p ${id % 7}` }
    yield { id, messages: id % 5 === 0 ? null : [{ role: 'user', content: `hi ${id}` }], ...part }
  }
}

await writeDelta(rows(), table, { mode: 'append', transaction: { appId: 'killed', version: 1 } })
process.stdout.write('done\n')
