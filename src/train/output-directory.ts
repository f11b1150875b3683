/**
 * @file The directory of a run: its lock, and which checkpoints lie in it. Links are never followed to write or to
 * delete.
 */

import { access, constants, lstat, readdir, rename, rm, rmdir } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import { makeDirectories, recoverDirectory, writeError, writeReason } from '../atomic-write.js'
import { ownedName } from '../file-owner.js'
import { describeKind, ownErrorCode } from '../regular-file.js'
import { toError } from '../values.js'
import { DirectoryLock } from './directory-lock.js'

const NAME = /^checkpoint-(0|[1-9]\d{0,14})$/
/** What a write or a removal that was cut short leaves: only who holds the lock makes such names. */
const LEFTOVER = /^\.checkpoint-\d{1,15}\.lowrank-/
const ASIDE = /^\.(checkpoint-\d{1,15})\.lowrank-replaced$/

/** An output directory that belongs to one run until `close()`. */
export class OutputDirectory {
  readonly path: string
  readonly #lock: DirectoryLock
  /** The first directory that was made for it. */
  readonly #made: string | undefined
  /** Checkpoints that could not be removed; one warning each. */
  readonly #kept = new Set<string>()

  private constructor(path: string, lock: DirectoryLock, made: string | undefined) {
    this.path = path
    this.#lock = lock
    this.#made = made
  }

  /**
   * Makes the directory, takes its lock, and clears what a killed run left.
   * @throws when it cannot be written to, better before the training than after its first hours, or when another run
   * has it
   */
  static async open(outputDir: string): Promise<OutputDirectory> {
    let made: string | undefined
    try {
      made = await makeDirectories(outputDir)
      await access(outputDir, constants.W_OK)
    } catch (error) {
      throw writeError(outputDir, error)
    }
    const output = new OutputDirectory(outputDir, await DirectoryLock.take(outputDir), made)
    for (const name of await readdir(outputDir)) {
      const aside = ASIDE.exec(name)?.[1]
      if (aside !== undefined) await recoverDirectory(join(outputDir, aside))
      else if (LEFTOVER.test(name)) await rm(join(outputDir, name), { recursive: true, force: true }).catch(() => {})
    }
    return output
  }

  /** The directory of the checkpoint after `step`. */
  checkpointPath(step: number): string {
    return join(this.path, `checkpoint-${step}`)
  }

  /** Steps of the complete checkpoints, ascending. */
  async checkpoints(): Promise<number[]> {
    return await listCheckpoints(this.path)
  }

  /** Before everything that is written. @throws when another run has the directory now */
  async confirm(): Promise<void> {
    await this.#lock.confirm()
  }

  /**
   * Removes the oldest checkpoints until `keep` are left. The last one and the best one stay.
   * @returns what could not be removed and why, each once
   */
  async prune(keep: number, best?: string): Promise<string[]> {
    const paths = (await this.checkpoints()).map((step) => this.checkpointPath(step))
    const stays = paths.filter((path, at) => at === paths.length - 1 || isSame(path, best))
    const old = paths.filter((path) => !stays.includes(path))
    return await this.#remove(old.slice(0, Math.max(0, paths.length - Math.max(keep, stays.length))))
  }

  /** Removes all checkpoints but one of this directory. @returns as `prune` */
  async keepOnly(kept: string): Promise<string[]> {
    const paths = (await this.checkpoints()).map((step) => this.checkpointPath(step))
    return paths.some((path) => isSame(path, kept))
      ? await this.#remove(paths.filter((path) => !isSame(path, kept)))
      : []
  }

  async #remove(paths: readonly string[]): Promise<string[]> {
    const warnings: string[] = []
    for (const path of paths) {
      const problem = await removeCheckpoint(path)
      if (problem === undefined || this.#kept.has(path)) continue
      this.#kept.add(path)
      warnings.push(
        `[train] cannot remove the old checkpoint ${path}: ${problem}; the run goes on, remove it yourself to free its space`,
      )
    }
    return warnings
  }

  /** Gives the directory free; one that was made for the run and is still empty goes. */
  async close(): Promise<void> {
    await this.#lock.release()
    if (this.#made === undefined) return
    const first = resolve(this.#made)
    for (let path = resolve(this.path); path.startsWith(first); path = dirname(path)) {
      const isEmpty = await rmdir(path).then(
        () => true,
        () => false,
      )
      if (!isEmpty) break
    }
  }
}

function isSame(path: string, other: string | undefined): boolean {
  return other !== undefined && resolve(path) === resolve(other)
}

/** The step of a checkpoint's directory, by its name. */
export function checkpointStep(name: string): number | undefined {
  const step = NAME.exec(name)?.[1]
  return step === undefined ? undefined : Number(step)
}

/** Steps of the complete checkpoints in a directory, ascending. */
export async function listCheckpoints(directory: string): Promise<number[]> {
  const names = await readdir(directory).catch(() => [])
  return names.flatMap((name) => checkpointStep(name) ?? []).sort((a, b) => a - b)
}

/** Out of the way first, so that no half of a checkpoint stays under its name. @returns why it could not be removed */
async function removeCheckpoint(path: string): Promise<string | undefined> {
  const aside = join(dirname(path), ownedName(`.${path.slice(dirname(path).length + 1)}.lowrank-`))
  try {
    const status = await lstat(path)
    // What a link leads to may be someone else's.
    if (!status.isDirectory()) return `it is ${describeKind(status)} and not a directory`
    await rename(path, aside)
  } catch (error) {
    return reasonOf(error)
  }
  return await rm(aside, { recursive: true, force: true }).then(
    () => undefined,
    (error: unknown) => `${reasonOf(error)}; the rest of it lies in ${aside}`,
  )
}

function reasonOf(error: unknown): string {
  const code = ownErrorCode(error)
  return code === undefined ? toError(error).message : `${writeReason(code) ?? code} (${code})`
}
