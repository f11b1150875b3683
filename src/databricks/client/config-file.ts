/** @file The profiles of `~/.databrickscfg`, the file that Databricks' own programs share. Nothing is written to it. */

import { homedir } from 'node:os'
import { join } from 'node:path'
import { listNames, nearestName } from '../../errors.js'
import { OptionError } from '../../lowrank-error.js'
import { readRegularFileIfThere } from '../../regular-file.js'

/** The keys of one profile, with their values. */
export type Profile = Readonly<Record<string, string>>

export interface FoundProfile {
  readonly name: string
  /** Path of the file. */
  readonly file: string
  readonly values: Profile
}

/** Bytes. */
const LARGEST_FILE = 4 * 2 ** 20
/** Holds settings of Databricks' command line and is no profile. */
const SETTINGS = '__settings__'
/** The profile without a name of its own. Others inherit nothing from it, as in Databricks' programs. */
const DEFAULT = 'DEFAULT'

/** Path of the file of profiles: DATABRICKS_CONFIG_FILE, else `~/.databrickscfg`. */
export function configFilePath(given: string | undefined): string {
  const path = given || process.env.DATABRICKS_CONFIG_FILE || '~/.databrickscfg'
  return path.startsWith('~/') ? join(process.env.HOME || homedir(), path.slice(2)) : path
}

/**
 * The profile of a name. Without one: the default that the file names, else its profile DEFAULT.
 * @returns undefined where no name was given and there is no file, or no default profile in it
 * @throws OptionError for a name that the file does not have
 */
export async function findProfile(name: string | undefined, file: string): Promise<FoundProfile | undefined> {
  if (name === SETTINGS) throw reserved(name)
  const text = await readProfiles(file, name)
  if (text === undefined) return undefined
  const sections = parseSections(text, file)
  const fromSettings = sections.get(SETTINGS)?.default_profile?.trim() || undefined
  if (name === undefined && fromSettings === SETTINGS) throw reserved(fromSettings)
  sections.delete(SETTINGS)
  const wanted = name ?? fromSettings ?? DEFAULT
  const values = sections.get(wanted)
  if (values !== undefined) return { name: wanted, file, values }
  if (name === undefined && fromSettings === undefined) return undefined
  const names = [...sections.keys()]
  const nearest = nearestName(wanted, names)
  throw new OptionError(
    `[databricks] expected a profile of ${file} for profile, got ${JSON.stringify(wanted)}; ` +
      (names.length === 0
        ? 'the file has none'
        : `${nearest === undefined ? '' : `did you mean ${JSON.stringify(nearest)}? `}it has ${listNames(names)}`),
  )
}

async function readProfiles(file: string, name: string | undefined): Promise<string | undefined> {
  const bytes = await readRegularFileIfThere(file, { where: 'databricks', limit: LARGEST_FILE })
  if (bytes !== undefined || name === undefined) return bytes?.toString('utf8')
  throw new OptionError(
    `[databricks] expected the profile ${JSON.stringify(name)} in ${file}, but there is no such file; run "databricks auth ` +
      'login" to make one, or set DATABRICKS_CONFIG_FILE',
  )
}

/** Sections of an INI file, as configparser of Python reads them; comments begin with # or ;. */
function parseSections(text: string, file: string): Map<string, Record<string, string>> {
  const sections = new Map<string, Record<string, string>>()
  let section: Record<string, string> | undefined
  for (const [index, raw] of text.split(/\r?\n/).entries()) {
    const line = raw.trim()
    if (line === '' || line.startsWith('#') || line.startsWith(';')) continue
    const [, title] = /^\[([^\]]*)\]$/.exec(line) ?? []
    if (title !== undefined) {
      section = sections.get(title) ?? Object.create(null)
      sections.set(title, section as Record<string, string>)
      continue
    }
    const [, key, value] = /^([^=:]+?)\s*[=:]\s*(.*)$/.exec(line) ?? []
    if (section === undefined || key === undefined) {
      // The line itself may be a secret.
      throw new OptionError(
        `[databricks] expected "[profile]" or "key = value" in line ${index + 1} of ${file}, got something else; correct the line`,
      )
    }
    section[key.toLowerCase()] = value as string
  }
  return sections
}

function reserved(name: string): OptionError {
  return new OptionError(
    `[databricks] expected a profile for profile, got ${JSON.stringify(name)}, which holds settings; name another one`,
  )
}
