/** @file Changing the checkpoints of training runs in tests. */

import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { CHECKSUM_FILE, checksumsOf } from '../../src/checkpoint/checksums.js'

/** Writes checksums of what lies in a checkpoint now, so that it is looked at and not refused for having changed. */
export async function sealCheckpoint(directory: string): Promise<void> {
  await rm(join(directory, CHECKSUM_FILE), { force: true })
  await writeFile(join(directory, CHECKSUM_FILE), await checksumsOf(directory))
}

/** Changes the state of a checkpoint and its checksums. */
export async function editState(
  directory: string,
  edit: (state: Record<string, unknown>) => Record<string, unknown>,
): Promise<void> {
  const path = join(directory, 'lowrank_state.json')
  await writeFile(path, JSON.stringify(edit(JSON.parse(await readFile(path, 'utf8')))))
  await sealCheckpoint(directory)
}
