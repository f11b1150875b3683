/**
 * @file Loads and disposes a model many times. Arguments: its directory, how often. Prints as JSON what the process has
 * before and after.
 */

import { readdirSync, readFileSync } from 'node:fs'
import { loadModel } from '../../dist/index.js'

const [directory, times] = process.argv.slice(2)

function state() {
  const status = readFileSync('/proc/self/status', 'utf8')
  const mebibytes = (name) => Number(new RegExp(`${name}:\\s*(\\d+)`).exec(status)[1]) / 1024
  const threads = readdirSync('/proc/self/task').map((id) => {
    try {
      return readFileSync(`/proc/self/task/${id}/comm`, 'utf8').trim()
    } catch {
      return 'ended meanwhile'
    }
  })
  return {
    addresses: mebibytes('VmSize'),
    resident: mebibytes('RssAnon'),
    threads: threads.filter((name) => name === 'lowrank-stream').length,
  }
}

let before
for (let i = 0; i < Number(times); i++) {
  const model = await loadModel(directory, { dtype: 'bfloat16' })
  // An answer in every other round, whose promise nobody waits for in the last.
  if (i % 2 === 1) await model.generate([1, 2, 3], { maxNewTokens: 2 })
  if (i + 1 === Number(times)) model.generate([1, 2, 3], { maxNewTokens: 2 }).catch(() => {})
  model.dispose()
  model.dispose()
  before ??= state()
}
// The last had work left. What the others had is back, or there was no memory for the next.
for (let turns = 0; state().threads > 0 && turns < 10_000; turns++)
  await new Promise((resolve) => setImmediate(resolve))
process.stdout.write(JSON.stringify({ before, after: state() }))
