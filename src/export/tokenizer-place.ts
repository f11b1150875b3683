/** @file Whether there is a tokenizer. */

import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { isGgufPath } from '../gguf/reader.js'

/** Whether a directory or a GGUF file holds a tokenizer. */
export async function hasTokenizer(path: string): Promise<boolean> {
  if (isGgufPath(path)) return true
  return await stat(join(path, 'tokenizer.json')).then(
    (found) => found.isFile(),
    () => false,
  )
}
