/** @file Commands that a person can copy from what is printed: quoted for a shell, and begun as this program was. */

import { delimiter, dirname, relative, resolve, sep } from 'node:path'

/** How the program was started. */
export interface Start {
  readonly argv: readonly string[]
  readonly env: NodeJS.ProcessEnv
}

/** A command line that runs `lowrank ARGS` where this process was started. */
export function commandLine(args: readonly string[], start: Start = process): string {
  return [programName(start), ...args.map(quoted)].join(' ')
}

/** `lowrank` where a shell finds it, `npx lowrank` where it is a package of the project, else `node PATH`. */
export function programName({ argv, env }: Start = process): string {
  // Set by npm for npx, npm exec and scripts, whose PATH the shell does not have.
  if (env.npm_command === 'exec' || env.npm_command === 'run-script' || env.npm_lifecycle_event !== undefined)
    return 'npx lowrank'
  const script = argv[1] ?? ''
  if (script.split(sep).slice(-2).join('/') === '.bin/lowrank') return 'npx lowrank'
  if (/\.[cm]?js$/.test(script)) return `node ${quoted(shown(script))}`
  return (env.PATH ?? '').split(delimiter).includes(dirname(resolve(script))) ? 'lowrank' : quoted(shown(script))
}

/** The shorter of a path's two forms. */
export function shown(path: string): string {
  const local = relative('.', path)
  return local.startsWith('..') ? path : local
}

/** An argument for a POSIX shell, in quotes where it needs them. */
export function quoted(argument: string): string {
  return /^[\w@%+=:,./-]+$/.test(argument) ? argument : `'${argument.replaceAll("'", "'\\''")}'`
}
