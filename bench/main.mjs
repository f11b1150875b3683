// @ts-check
/**
 * @file `npm run bench -- MEASUREMENT [options]`. A JSON line per measurement on standard output, progress and a table on standard error, a row
 * each in bench/results/. `--peer PYTHON` does the same work in PyTorch (bench/peers) in turn with ours, `--peer-llama-cpp FOLDER` in llama.cpp.
 */

import {
  COMMON_OPTIONS,
  camelCase,
  describeOptions,
  PEER_OPTIONS,
  PEERS,
  readOptions,
  UsageError,
} from './support/options.mjs'
import { runPairs } from './support/pairs.mjs'
import { Report } from './support/report.mjs'

/**
 * What the file of a measurement exports.
 * @typedef {object} Bench
 * @property {string} summary one line for the help.
 * @property {import('./support/options.mjs').OptionTable} options
 * @property {(options: Values, report: Report) => Promise<void>} run
 * @property {Peer} [peer] how to compare with a program of bench/peers.
 *
 * @typedef {object} Peer
 * @property {readonly import('./support/options.mjs').PeerName[]} [names] the peers there are; default: PyTorch alone.
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
  'serve',
  'grammar',
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
  const peers = bench.peer ? (bench.peer.names ?? /** @type {const} */ (['peer'])) : []
  const peerNames = Object.fromEntries(peers.map((peer) => [peer, PEERS[peer]]))
  const peerOptions = bench.peer ? { ...peerNames, ...PEER_OPTIONS, ...bench.peer.options } : {}
  const table = { ...bench.options, ...COMMON_OPTIONS, ...peerOptions }
  if (args.includes('--help')) {
    console.log(`npm run bench -- ${name} [options]\n\n${bench.summary}\n\n${describeOptions(table)}`)
    return
  }
  const options = readOptions(table, args)
  const { peer } = bench
  const named = peers.filter((peer) => options[camelCase(peer)] !== undefined)
  if (named.length > 1) throw new UsageError(`expected one peer, got ${named.map((peer) => `--${peer}`).join(' and ')}`)
  const [peerName] = named
  if (peer && peerName) {
    const what = { command: name, table, peerName }
    const compare = (/** @type {Values} */ complete) => runPairs({ ...peer, ...what, options: complete })
    await (peer.around ? peer.around(options, compare) : compare(options))
  } else await bench.run(options, new Report(name, options))
}

function usage() {
  return `usage: npm run bench -- ${NAMES.join(' | ')} [options]; with --help after the name: its options`
}
