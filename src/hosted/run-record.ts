/**
 * @file The record of a hosted run, `hosted-run.json` in its folder: what was begun and what came of it, written before
 * and after each call that makes something, so that a run that was killed goes on. It holds no secrets.
 */

import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import { writeFileAtomic } from '../atomic-write.js'
import { OptionError } from '../lowrank-error.js'
import { readRegularFileIfThere } from '../regular-file.js'
import { isObject } from '../values.js'
import type { ResolvedConnection } from './connect-options.js'

/** A file of rows, as the run knows it. */
interface RecordedFile {
  readonly digest: string
  readonly name: string
  readonly bytes: number
  /** Undefined: nobody knows whether it is there. */
  readonly id?: string
}

export interface RunRecord {
  readonly version: 1
  readonly runId: string
  /** Who was asked, without secrets. */
  readonly connection: Readonly<Record<string, string>>
  readonly server: string
  /** What the job is made of; a run that goes on must have the same. */
  readonly job: Readonly<Record<string, unknown>>
  readonly files: { readonly train?: RecordedFile; readonly eval?: RecordedFile }
  /** A call that makes the job was begun. */
  readonly isJobBegun?: boolean
  readonly jobId?: string
  /** The tuned model. */
  readonly model?: string
  readonly endpoint?: string
  readonly deployment?: string
}

const NAME = 'hosted-run.json'
const SECRETS = ['apiKey', 'clientSecret']

export function newRunId(): string {
  return randomBytes(8).toString('hex')
}

/** @throws OptionError for a file that is no record */
export async function readRecord(outputDir: string): Promise<RunRecord | undefined> {
  const path = join(outputDir, NAME)
  const bytes = await readRegularFileIfThere(path, { where: 'hosted' })
  if (bytes === undefined) return undefined
  let json: unknown
  try {
    json = JSON.parse(bytes.toString('utf8'))
  } catch {
    json = undefined
  }
  const isRecord =
    isObject(json) &&
    json.version === 1 &&
    typeof json.runId === 'string' &&
    isObject(json.files) &&
    isObject(json.connection)
  if (isRecord) return json as unknown as RunRecord
  throw new OptionError(
    `[hosted] expected the record of a hosted run in ${path}, got another file; name another outputDir`,
  )
}

/** @throws OptionError where there is none */
export async function expectRecord(outputDir: string): Promise<RunRecord> {
  const record = await readRecord(outputDir)
  if (record !== undefined) return record
  throw new OptionError(
    `[hosted] expected the folder of a hosted run, got ${outputDir} without ${NAME}; name the outputDir of the run`,
  )
}

export async function writeRecord(outputDir: string, record: RunRecord): Promise<void> {
  await writeFileAtomic(join(outputDir, NAME), `${JSON.stringify(record, undefined, 2)}\n`)
}

/** A connection as the record has it. */
export function withoutSecretOptions(connection: ResolvedConnection): Record<string, string> {
  return Object.fromEntries(
    Object.entries(connection).filter(([name, value]) => value !== undefined && !SECRETS.includes(name)),
  ) as Record<string, string>
}
