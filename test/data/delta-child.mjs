// @ts-check
/** @file Appends rows to a Delta table, and says on stdout when to kill it: as the DELAYth part of the rows begins. */

import { writeDelta } from '../../dist/index.js'

const [table = '', delay = '0'] = process.argv.slice(2)

async function* rows() {
  for (let id = 2; id < 20_002; id++) {
    // Early in the first pass, when rows are written, and at the end.
    if (id === 2 + Number(delay) * 9_999) process.stdout.write('now\n')
    yield { id, messages: id % 5 === 0 ? null : [{ role: 'user', content: `hi ${id}` }] }
  }
}

await writeDelta(rows(), table, { mode: 'append', transaction: { appId: 'killed', version: 1 } })
process.stdout.write('done\n')
