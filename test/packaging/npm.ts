/**
 * @file npm and Node as a stranger's machine has them: no compiler, no Python, nothing of this checkout in the
 * environment.
 */

import { execFile } from 'node:child_process'
import { mkdirSync, readFileSync, realpathSync, symlinkSync } from 'node:fs'
import { delimiter, dirname, join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** The script of the npm that is on this machine. */
function npmScript(): string {
  if (process.env.npm_execpath?.endsWith('.js')) return process.env.npm_execpath
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    try {
      return realpathSync(join(folder, 'npm'))
    } catch {
      // Not in this folder.
    }
  }
  throw new Error('expected npm on the PATH, found none')
}

/**
 * The environment without what `npm test` adds for its children, which would send a nested npm to this checkout; with
 * what that is built of.
 */
function strangersEnvironment(path: string | undefined): NodeJS.ProcessEnv {
  const kept = Object.entries(process.env).filter(
    ([name]) => !/^(npm_|lowrank_(?!cuda$)|node_(env|options|path)$|vitest)/i.test(name),
  )
  return { ...Object.fromEntries(kept), PATH: path }
}

/** Runs npm in `cwd` and gives what it printed. @throws with npm's own words when it fails. */
export async function npm(
  args: readonly string[],
  { cwd, node = process.execPath, path = process.env.PATH }: { cwd: string; node?: string; path?: string },
): Promise<string> {
  try {
    const env = strangersEnvironment(path)
    return (await run(node, [npmScript(), ...args], { cwd, env, maxBuffer: 1 << 26 })).stdout
  } catch (error) {
    const { stderr, message } = error as Error & { stderr?: string }
    throw new Error(`npm ${args.join(' ')} failed: ${stderr || message}`, { cause: error })
  }
}

/** A Node binary, and a PATH on which it is the only program. */
export interface Runtime {
  readonly node: string
  readonly path: string
}

/**
 * Node of a version: this process's own when it has the major version, else from npm.
 * @param version '20', or a full version
 */
export async function installNode(version: string, folder: string): Promise<Runtime> {
  let node = process.execPath
  if (version !== process.versions.node && version !== process.versions.node.split('.')[0]) {
    // What npm's `node` package downloads in an install script, asked for directly.
    const name = `node-${process.platform}-${process.arch}`
    await npm(['install', '--prefix', folder, '--ignore-scripts', '--no-save', `${name}@${version}`], {
      cwd: dirname(folder),
    })
    node = join(folder, 'node_modules', name, 'bin/node')
  }
  const path = join(folder, 'bin')
  mkdirSync(path, { recursive: true })
  symlinkSync(node, join(path, 'node'))
  return { node, path }
}

/** Runs a program with the runtime's PATH and nothing else to find. */
export async function runAlone(
  { path }: Runtime,
  file: string,
  args: readonly string[],
  cwd: string,
): Promise<{ stdout: string; stderr: string }> {
  return await run(file, args, { cwd, env: strangersEnvironment(path) })
}

/** A package.json or lock file. */
export function readJson(path: string): Record<string, unknown> {
  return JSON.parse(readFileSync(path, 'utf8')) as Record<string, unknown>
}
