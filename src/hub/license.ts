/** @file The licence of a model, as its card says it. */

import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ModelLicense } from '../models/model.js'
import { CARD_FILE } from './model-files.js'

/** Reads the metadata of a model card. Undefined where it names no licence. */
export function parseLicense(card: unknown): ModelLicense | undefined {
  if (typeof card !== 'object' || card === null) return undefined
  const { license, license_name: name, license_link: link } = card as Record<string, unknown>
  // A few cards list several.
  const id = Array.isArray(license) ? license.join(', ') : license
  if (typeof id !== 'string' || id === '') return undefined
  return { id, ...(typeof name === 'string' && { name }), ...(typeof link === 'string' && { link }) }
}

/** The licence that the README.md in a directory names in its YAML header, where there is one. */
export async function readLicense(directory: string): Promise<ModelLicense | undefined> {
  const text = await readFile(join(directory, CARD_FILE), 'utf8').catch(() => '')
  const [, header] = /^---\r?\n(.*?)\r?\n---/s.exec(text) ?? []
  if (header === undefined) return undefined
  // Loaded where it is needed: it takes longer than everything else of the Hub.
  const { parse } = await import('yaml')
  try {
    return parseLicense(parse(header))
  } catch {
    // The card is for people; a model whose card has a defect still works.
    return undefined
  }
}
