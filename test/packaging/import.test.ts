/**
 * @file Importing the library asks nothing of the machine, so that runtimes where that is a permission, as Deno, need
 * to give none.
 */

import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, it } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))

/** Counts what modules ask for while they load. Files of packages are read by Node itself, not by these functions. */
const PROGRAM = `
import { syncBuiltinESMExports } from 'node:module'
import fs from 'node:fs'
import os from 'node:os'
const asked = []
// Node loads modules by the same functions.
const ask = (what) => /[/](dist|node_modules)[/]/.test(new Error().stack) && asked.push(what)
const watch = (object, name) => {
  const original = object[name]
  object[name] = (...args) => {
    ask(name)
    return original.apply(object, args)
  }
}
for (const name of ['readFileSync', 'readlinkSync', 'statSync', 'lstatSync', 'existsSync', 'openSync', 'readdirSync', 'accessSync', 'realpathSync']) watch(fs, name)
for (const name of ['hostname', 'homedir', 'cpus', 'totalmem', 'freemem', 'userInfo', 'networkInterfaces', 'loadavg']) watch(os, name)
syncBuiltinESMExports()
process.env = new Proxy(process.env, { get: (env, name) => (ask('env ' + String(name)), env[name]) })
const { loadModel } = await import('lowrank')
const whileLoading = [...asked]
await loadModel('none/such', { localFilesOnly: true }).catch(() => {})
console.log(JSON.stringify({ type: typeof loadModel, whileLoading, later: asked.length }))
`

it('asks for no file, no variable and no name of the machine', async () => {
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', PROGRAM], { cwd: root })
  const { type, whileLoading, later } = JSON.parse(stdout)
  expect({ type, whileLoading }).toEqual({ type: 'function', whileLoading: [] })
  // What is asked for is seen: the environment says where the Hub cache is.
  expect(later).toBeGreaterThan(0)
})
