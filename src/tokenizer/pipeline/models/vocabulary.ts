/** @file Reading the vocabulary of a model, in steps: there may be hundreds of thousands of tokens. */

import { describeValue } from '../../../errors.js'
import type { Steps } from '../../../turns.js'
import { entriesOf, type Fields, isIndex, wrong } from '../fields.js'
import type { Vocabulary } from './model.js'

const STEP = 2048
// Ids above this many holes are kept in a map: a file cannot make an array of 2^32 places.
const MAX_HOLES = 1_000_000

/** The object of token to id. @throws naming the entry that is damaged */
export function* readVocabulary(fields: Fields, name: string): Steps<Vocabulary> {
  const entries = entriesOf(fields.raw(name))
  if (entries === undefined) throw fields.error(name, 'an object of token to id')
  const ids = new Map<string, number>()
  let largest = -1
  let count = 0
  for (const [token, id] of entries) {
    if (!isIndex(id))
      throw wrong(`${fields.path}.${name}[${describeValue(token)}]`, 'a whole number from 0 to 2^32 - 1', id)
    ids.set(token, id)
    if (id > largest) largest = id
    if (++count % STEP === 0) yield
  }
  const sparse = largest > ids.size + MAX_HOLES
  const list: (string | undefined)[] = sparse ? [] : new Array<string | undefined>(largest + 1).fill(undefined)
  const map = new Map<number, string>()
  for (const [token, id] of ids) {
    // The library keeps whichever of two tokens with one id its table gives last, so what the id means is not known.
    const other = sparse ? map.get(id) : list[id]
    if (other !== undefined) {
      throw wrong(
        `${fields.path}.${name}`,
        'one token for each id',
        `${describeValue(other)} and ${describeValue(token)} with id ${id}`,
      )
    }
    if (sparse) map.set(id, token)
    else list[id] = token
    if (++count % STEP === 0) yield
  }
  return { ids, texts: sparse ? map : list, size: ids.size }
}
