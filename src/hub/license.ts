/** @file The licence of a model, as its card says it. */

import { join } from 'node:path'
import { readRegularFile } from '../regular-file.js'
import { readYamlTexts } from '../yaml-text.js'
import { CARD_FILE } from './model-files.js'
import type { ModelLicense } from './model-origin.js'

const LONGEST_VALUE = 500
/** Cards with long lists of languages and results have some ten thousand letters. */
const LARGEST_HEADER = 200_000

/** Reads the metadata of a model card. Undefined where it names no licence. */
export function parseLicense(card: unknown): ModelLicense | undefined {
  if (typeof card !== 'object' || card === null) return undefined
  const { license, license_name: name, license_link: link } = card as Record<string, unknown>
  // A few cards list several.
  const id = Array.isArray(license) ? license.join(', ') : license
  if (!isShort(id)) return undefined
  return { id, ...(isShort(name) && { name }), ...(isShort(link) && { link }) }
}

/**
 * Strangers write cards, and this is printed and written into others: a line of a sensible length, without what looks
 * like an access token.
 */
function isShort(value: unknown): value is string {
  if (typeof value !== 'string' || value === '' || value.length > LONGEST_VALUE) return false
  return !/\p{Cc}|\bhf_[A-Za-z0-9]{16}/u.test(value)
}

/** The licence that the README.md in a directory names in its YAML header, where there is one. */
export async function readLicense(directory: string): Promise<ModelLicense | undefined> {
  const card = await readRegularFile(join(directory, CARD_FILE), { where: 'hub' }).catch(() => undefined)
  const [, header] = /^---\r?\n(.*?)\r?\n---/s.exec(card?.toString() ?? '') ?? []
  if (header === undefined || header.length > LARGEST_HEADER) return undefined
  return parseLicense(readYamlTexts(header, ['license', 'license_name', 'license_link']))
}
