// @ts-check
/** @file Writes rows without duplicates, and says on stdout when to kill it: as the DELAYth third of rows begins. */

import { dedupeRows } from '../../dist/index.js'

const [output = '', removed = '', delay = '0'] = process.argv.slice(2)

const COUNT = 3000

async function* rows() {
  for (let id = 0; id < COUNT; id++) {
    if (id === Math.floor((Number(delay) * (COUNT - 1)) / 3)) process.stdout.write('now\n')
    yield { id, text: `the text of row ${id % 1000} is like no other, says ${(id % 1000) * 7919}` }
  }
}

const { written } = await dedupeRows({ dataset: rows(), output, removed, columns: ['text'] })
process.stdout.write(`${written}\n`)
