/**
 * @file Processes that see others as those of another container do: their own process ids and host name, on the same
 * kernel.
 */

import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/**
 * The command that starts a program so, as root and, where users may, as anyone; undefined where the system does not
 * allow it.
 */
export const containerCommand: readonly string[] | undefined = [
  ['unshare', '--pid', '--uts', '--fork', '--mount-proc', '--kill-child'],
  ['unshare', '--user', '--map-root-user', '--pid', '--uts', '--fork', '--mount-proc', '--kill-child'],
].find(([program = '', ...args]) => spawnSync(program, [...args, 'hostname', 'container']).status === 0)

/** The process that `unshare` has made, by the id that it has here. */
export function childOf(pid: number): number {
  const [child] = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ')
  if (!child) throw new Error(`[test] expected a child of process ${pid}, found none`)
  return Number(child)
}
