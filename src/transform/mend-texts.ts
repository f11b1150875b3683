/**
 * @file What can be mended in the texts of a row without guessing: marks that belong to files, and special tokens that
 * stand there twice. Values are copied, never changed.
 */

import type { RowTexts } from '../data/check/row-texts.js'
import { BYTE_ORDER_MARK } from '../data/check/text-rules.js'
import type { Tokenizer } from '../tokenizer/tokenizer.js'
import { isPlainObject } from '../values.js'

type Change = (text: string) => string

/** Another form of a row for a rule that found something; undefined where there is nothing to mend. */
export type MendText = (value: unknown, texts: RowTexts) => unknown

/** How texts are mended, by the id of the rule. */
export function textMends(tokenizer: Tokenizer, stopTokenIds: ReadonlySet<number>): Readonly<Record<string, MendText>> {
  const nameOf = (id: number | undefined): string => (id === undefined ? '' : (tokenizer.idToToken(id) ?? ''))
  const bos = nameOf(tokenizer.bosTokenId)
  const stops = [...stopTokenIds].map(nameOf).filter((stop) => stop !== '')
  const withoutStop: Change = (text) => {
    const trimmed = text.trimEnd()
    const stop = stops.find((name) => trimmed.endsWith(name))
    return stop === undefined ? text : trimmed.slice(0, -stop.length)
  }
  return {
    'byte-order-mark': (value, texts) =>
      changed(value, isOneOf(texts, allOf), (text) => (text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text)),
    'carriage-return': (value, texts) => changed(value, isOneOf(texts, allOf), (text) => text.replaceAll('\r\n', '\n')),
    'doubled-bos': (value, texts) =>
      bos === ''
        ? value
        : changed(value, isOneOf(texts, firstOf), (text) => (text.startsWith(bos) ? text.slice(bos.length) : text)),
    'doubled-stop': (value, texts) => changed(value, isOneOf(texts, answersOf), withoutStop),
  }
}

function isOneOf(texts: RowTexts, choose: (texts: RowTexts) => readonly string[]): (text: string) => boolean {
  const chosen = new Set(choose(texts))
  return (text) => chosen.has(text)
}

const allOf = ({ system, own }: RowTexts): readonly string[] => [...system, ...own]
const firstOf = (texts: RowTexts): readonly string[] => [...texts.system.slice(0, 1), ...texts.own.slice(0, 1)]
const answersOf = ({ turns, own, prompt }: RowTexts): readonly string[] =>
  turns.length > 0 ? turns.map(({ answer }) => answer) : own.filter((text) => text === prompt)

/** The value with other texts in the place of those that are `meant`; itself where none of them changes. */
function changed(value: unknown, isMeant: (text: string) => boolean, change: Change): unknown {
  if (typeof value === 'string') return isMeant(value) ? change(value) : value
  if (Array.isArray(value)) {
    const items = value.map((item) => changed(item, isMeant, change))
    return items.some((item, at) => item !== value[at]) ? items : value
  }
  if (value instanceof Map) {
    const entries = [...value].map(([key, item]) => [key, changed(item, isMeant, change)] as const)
    return entries.some(([key, item]) => item !== value.get(key)) ? new Map(entries) : value
  }
  if (!isPlainObject(value)) return value
  const entries = Object.entries(value).map(([key, item]) => [key, changed(item, isMeant, change)] as const)
  return entries.some(([key, item]) => item !== value[key]) ? Object.fromEntries(entries) : value
}
