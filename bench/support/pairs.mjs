// @ts-check
/** @file The same work here and in a peer, in turn, each in a process of its own: figures of both and their ratio, pair by pair. */

import { fileURLToPath } from 'node:url'
import { camelCase, UsageError, writeOptions } from './options.mjs'
import { runLines } from './process.mjs'
import { Report, round, summary } from './report.mjs'

const MAIN = fileURLToPath(new URL('../main.mjs', import.meta.url))

/**
 * @param {object} what
 * @param {string} what.command
 * @param {import('./options.mjs').OptionTable} what.table
 * @param {import('./options.mjs').Values} what.options
 * @param {import('./options.mjs').PeerName} what.peerName
 * @param {readonly string[]} what.keys fields that say which lines of the two sides belong together.
 * @param {readonly string[]} what.figures fields that are compared, by their medians: ours / theirs.
 */
export async function runPairs({ command, table, options, peerName, keys, figures }) {
  const environment = peerEnvironment(options.peerEnv)
  const report = new Report(command, options)
  /** @type {Map<string, import('./report.mjs').Measurement[]>} */
  const pairsByKey = new Map()
  for (let pair = 1; pair <= options.pairs; pair++) {
    const run = async (/** @type {string} */ who, /** @type {() => Promise<any[]>} */ start) => {
      report.progress(`pair ${pair} of ${options.pairs}: ${who}`)
      return await start()
    }
    const ours = await run('lowrank', () => runOurs(command, table, options))
    const theirs = await run('the peer', () => runPeer(command, table, options, peerName, environment))
    const keyOf = (/** @type {any} */ line) => JSON.stringify(keys.map((key) => line[key]))
    for (const lowrank of ours) {
      const peer = theirs.find((line) => keyOf(line) === keyOf(lowrank))
      if (!peer) continue
      // What only one of them has, as the memory of a GPU, has no ratio.
      const both = figures.filter((name) => lowrank[name] !== undefined && peer[name] !== undefined)
      const ratios = Object.fromEntries(
        both.map((name) => [`${name}_ratio`, round(middle(lowrank[name]) / middle(peer[name]))]),
      )
      const measurement = { pair, ...Object.fromEntries(keys.map((key) => [key, lowrank[key]])), ...ratios }
      const rows = [
        { pair, who: 'lowrank', ...lowrank },
        { pair, who: 'peer', ...peer, peer_env: options.peerEnv.join(' ') },
      ].map(({ bench, ...row }) => row)
      report.add({ ...measurement, lowrank, peer }, rows)
      pairsByKey.set(keyOf(lowrank), [...(pairsByKey.get(keyOf(lowrank)) ?? []), measurement])
    }
  }
  if (pairsByKey.size === 0) throw new Error('expected figures of the same work from both sides, got none in common')
  printRatios([...pairsByKey.values()], keys, figures, options.quiet)
}

/** @param {readonly import('./report.mjs').Measurement[][]} groups @param {readonly string[]} keys @param {readonly string[]} figures */
function printRatios(groups, keys, figures, quiet = false) {
  if (quiet) return
  for (const pairs of groups) {
    const compared = figures.filter((name) => pairs.every((pair) => pair[`${name}_ratio`] !== undefined))
    const ratios = compared.map((name) => {
      const { min, median, max } = summary(pairs.map((pair) => pair[`${name}_ratio`]))
      return `${name} ${median.toFixed(2)}x (${min.toFixed(2)} - ${max.toFixed(2)})`
    })
    console.error(
      `${keys.map((key) => pairs[0]?.[key]).join(' ')}: ${ratios.join(', ')} of the peer's, ${pairs.length} pairs`,
    )
  }
}

/** @param {any} figure */
function middle(figure) {
  return typeof figure === 'object' ? figure.median : figure
}

/** @param {string} command @param {import('./options.mjs').OptionTable} table @param {import('./options.mjs').Values} options */
function runOurs(command, table, options) {
  const ours = Object.fromEntries(
    Object.entries(table).filter(([name]) => !name.startsWith('peer') && name !== 'pairs'),
  )
  return collect(process.execPath, [MAIN, command, ...writeOptions(ours, { ...options, noSave: true, quiet: true })])
}

/**
 * @param {string} command @param {import('./options.mjs').OptionTable} table @param {import('./options.mjs').Values} options
 * @param {import('./options.mjs').PeerName} peerName @param {NodeJS.ProcessEnv} environment
 */
function runPeer(command, table, options, peerName, environment) {
  const theirs = Object.fromEntries(Object.entries(table).filter(([, { peer }]) => peer === true || peer === peerName))
  const args = writeOptions(theirs, { ...options, threads: options.peerThreads ?? options.threads })
  const script = (/** @type {string} */ file) => fileURLToPath(new URL(`../peers/${file}`, import.meta.url))
  if (peerName === 'peer-llama-cpp')
    return collect(process.execPath, [script('llama-cpp.mjs'), command, ...args], environment)
  return collect(options[camelCase(peerName)], [script(`${command}.py`), ...args], environment)
}

/** Warnings of what will be deprecated and bars say nothing here. @param {readonly string[]} settings @returns {NodeJS.ProcessEnv} */
function peerEnvironment(settings) {
  const given = settings.map((setting) => {
    const at = setting.indexOf('=')
    if (at < 1) throw new UsageError(`expected NAME=VALUE for --peer-env, got ${setting}`)
    return [setting.slice(0, at), setting.slice(at + 1)]
  })
  const quiet = { PYTHONWARNINGS: 'ignore', HF_DATASETS_DISABLE_PROGRESS_BARS: '1', HF_HUB_DISABLE_PROGRESS_BARS: '1' }
  return { ...process.env, ...quiet, ...Object.fromEntries(given) }
}

/** @param {string} program @param {readonly string[]} args @param {NodeJS.ProcessEnv} [env] */
async function collect(program, args, env) {
  /** @type {any[]} */
  const lines = []
  await runLines(program, args, (line) => line.startsWith('{"') && lines.push(JSON.parse(line)), env)
  return lines
}
