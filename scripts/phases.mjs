/** @file Runs one command as a named phase: one line with its time on stderr, the whole log only when it fails. */

import { spawn } from 'node:child_process'
import { fileURLToPath } from 'node:url'

export const root = fileURLToPath(new URL('..', import.meta.url))

/** `npm ARGS` by the npm that started this script where there is one, so that versions agree. */
export function npm(...args) {
  const npmScript = process.env.npm_execpath
  return npmScript?.endsWith('.js') ? [process.execPath, npmScript, ...args] : ['npm', ...args]
}

/** `node SCRIPT` of an installed package, found without a shell and without npx. */
export function tool(packagePath, ...args) {
  return [process.execPath, `${root}node_modules/${packagePath}`, ...args]
}

/**
 * Runs `command` and resolves to its exit code and output. stdout and stderr are kept together, in order of arrival.
 * @param {string[]} command
 * @param {{ env?: Record<string, string>, cwd?: string }} options
 */
export function capture([file, ...args], options = {}) {
  return new Promise((resolve) => {
    const child = spawn(file, args, {
      cwd: options.cwd ?? root,
      env: { ...process.env, ...options.env },
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    const chunks = []
    child.stdout.on('data', (chunk) => chunks.push(chunk))
    child.stderr.on('data', (chunk) => chunks.push(chunk))
    child.on('error', (error) => resolve({ code: 127, output: `${Buffer.concat(chunks)}${error.message}\n` }))
    child.on('close', (code, signal) => {
      const output = `${Buffer.concat(chunks)}${signal ? `ended by ${signal}\n` : ''}`
      resolve({ code: code ?? 1, output })
    })
  })
}

/**
 * Runs a phase. Returns whether it passed.
 * @param {string} name
 * @param {string[]} command
 * @param {{ env?: Record<string, string>, cwd?: string }} options
 */
export async function phase(name, command, options = {}) {
  const started = performance.now()
  process.stderr.write(`${`${name} `.padEnd(28, '.')} `)
  const { code, output } = await capture(command, options)
  const seconds = ((performance.now() - started) / 1000).toFixed(1)
  if (code === 0) {
    process.stderr.write(`${seconds} s\n`)
    return true
  }
  process.stderr.write(`failed after ${seconds} s (exit ${code}): ${command.join(' ')}\n${output}\n`)
  return false
}
