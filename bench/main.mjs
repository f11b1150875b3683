// @ts-check
/**
 * @file `npm run bench -- MEASUREMENT [options]`. A JSON line per measurement on standard output, progress and a table on standard error, a row
 * each in bench/results/. `--peer PYTHON` does the same work in PyTorch (bench/peers) in turn with ours.
 */

import { COMMON_OPTIONS, describeOptions, PEER_OPTIONS, readOptions, UsageError } from './support/options.mjs'
import { runPairs } from './support/pairs.mjs'
import { Report } from './support/report.mjs'

/**
 * What the file of a measurement exports.
 * @typedef {object} Bench
 * @property {string} summary one line for the help.
 * @property {import('./support/options.mjs').OptionTable} options
 * @property {(options: Values, report: Report) => Promise<void>} run
 * @property {Peer} [peer] how to compare with bench/peers/NAME.py.
 *
 * @typedef {object} Peer
 * @property {readonly string[]} keys fields that say which lines of the two sides belong together.
 * @property {readonly string[]} figures fields that are compared.
 * @property {import('./support/options.mjs').OptionTable} options of that side alone.
 * @property {(options: Values, body: (options: Values) => Promise<void>) => Promise<void>} [around] makes what both sides need.
 *
 * @typedef {import('./support/options.mjs').Values} Values
 */

const NAMES = /** @type {const} */ ([
  'gemm',
  'ops',
  'step',
  'generate',
  'evaluate',
  'e2e',
  'data-prepare',
  'data',
  'transfer',
  'read-table',
])

const [command, ...args] = process.argv.slice(2)
try {
  if (command === undefined || command === '--help') console.log(usage())
  else await measure(command)
} catch (error) {
  const { message } = /** @type {Error} */ (error)
  console.error(`bench: ${error instanceof UsageError ? `${message}\n\n${usage()}` : message}`)
  process.exitCode = error instanceof UsageError ? 2 : 1
}

/** @param {string} name */
async function measure(name) {
  const known = NAMES.find((candidate) => candidate === name)
  if (!known) throw new UsageError(`expected ${NAMES.join(', ')}, got ${name}`)
  /** @type {{ bench: Bench }} */
  const { bench } = await import(`./${known}.mjs`)
  const peerOptions = bench.peer ? { ...PEER_OPTIONS, ...bench.peer.options } : {}
  const table = { ...bench.options, ...COMMON_OPTIONS, ...peerOptions }
  if (args.includes('--help')) {
    console.log(`npm run bench -- ${name} [options]\n\n${bench.summary}\n\n${describeOptions(table)}`)
    return
  }
  const options = readOptions(table, args)
  const { peer } = bench
  if (peer && options.peer !== undefined) {
    const compare = (/** @type {Values} */ complete) => runPairs({ ...peer, command: name, table, options: complete })
    await (peer.around ? peer.around(options, compare) : compare(options))
  } else await bench.run(options, new Report(name, options))
}

function usage() {
  return `usage: npm run bench -- ${NAMES.join(' | ')} [options]; with --help after the name: its options`
}
