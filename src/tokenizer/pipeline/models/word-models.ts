/** @file Models that look words up: WordPiece, the longest part first, and WordLevel, the whole. */

import type { Steps } from '../../../turns.js'
import { byteLength } from '../bytes.js'
import type { Fields } from '../fields.js'
import { atOnce, type Model, noToken, type Spans } from './model.js'
import { readVocabulary } from './vocabulary.js'

/** @throws naming what is damaged */
export function* readWordPiece(fields: Fields): Steps<Model> {
  const unknown = fields.text('unk_token')
  const prefix = fields.text('continuing_subword_prefix')
  const maxCharacters = fields.integer('max_input_chars_per_word')
  const vocabulary = yield* readVocabulary(fields, 'vocab')
  const { ids: known } = vocabulary
  let longest = 0
  for (const token of known.keys()) longest = Math.max(longest, token.length)
  const model = {
    vocabulary,
    tokenize(piece: string, ids: number[], spans?: Spans): void {
      const parts = count(piece) > maxCharacters ? undefined : longestParts(piece)
      if (parts === undefined) {
        pushWhole(known.get(unknown), unknown, piece, ids, spans)
        return
      }
      let position = 0
      for (const { id, length, text } of parts) {
        ids.push(id)
        spans?.starts.push(position)
        position += length
        spans?.ends.push(position)
        spans?.texts.push(text)
      }
    },
  }
  const longestParts = (piece: string): { id: number; length: number; text: string }[] | undefined => {
    const parts: { id: number; length: number; text: string }[] = []
    for (let start = 0; start < piece.length; ) {
      // Nothing longer than the longest token needs to be tried.
      let end = Math.min(piece.length, start + longest)
      let id: number | undefined
      let text = ''
      for (; end > start; end--) {
        if (isInside(piece, end)) continue
        text = (start > 0 ? prefix : '') + piece.slice(start, end)
        id = known.get(text)
        if (id !== undefined) break
      }
      if (id === undefined) return undefined
      parts.push({ id, length: byteLength(piece.slice(start, end)), text })
      start = end
    }
    return parts
  }
  return { ...model, tokenizeInSteps: (piece, ids, spans) => atOnce(model, piece, ids, spans) }
}

/** @throws naming what is damaged */
export function* readWordLevel(fields: Fields): Steps<Model> {
  const unknown = fields.text('unk_token')
  const vocabulary = yield* readVocabulary(fields, 'vocab')
  const { ids: known } = vocabulary
  const model = {
    vocabulary,
    tokenize(piece: string, ids: number[], spans?: Spans): void {
      const id = known.get(piece)
      pushWhole(id ?? known.get(unknown), id === undefined ? unknown : piece, piece, ids, spans)
    },
  }
  return { ...model, tokenizeInSteps: (piece, ids, spans) => atOnce(model, piece, ids, spans) }
}

function pushWhole(id: number | undefined, text: string, piece: string, ids: number[], spans: Spans | undefined): void {
  if (id === undefined) throw noToken()
  ids.push(id)
  spans?.starts.push(0)
  spans?.ends.push(byteLength(piece))
  spans?.texts.push(text)
}

function isInside(text: string, at: number): boolean {
  return at < text.length && (text.charCodeAt(at) & 0xfc00) === 0xdc00
}

/** Characters of a text. */
function count(text: string): number {
  let characters = 0
  for (let at = 0; at < text.length; at++) if (!isInside(text, at)) characters++
  return characters
}
