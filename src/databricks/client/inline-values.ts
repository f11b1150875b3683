/** @file Values of results in the format JSON_ARRAY: all of them are text, and the columns say what they mean. */

import { integerOf } from '../../arrow/columnar-values.js'

/** What the text of a value becomes, by the name of the column's type. */
export function inlineReader(typeName: string): (text: string | null) => unknown {
  const read = readerOf(typeName)
  return (text) => (text === null || text === undefined ? null : read(text))
}

function readerOf(typeName: string): (text: string) => unknown {
  switch (typeName) {
    case 'BOOLEAN':
      return (text) => text.toLowerCase() === 'true'
    case 'BYTE':
    case 'SHORT':
    case 'INT':
    case 'LONG':
      return (text) => integerOf(BigInt(text))
    case 'FLOAT':
    case 'DOUBLE':
      return (text) => Number(text)
    case 'BINARY':
      return (text) => Buffer.from(text, 'base64')
    case 'ARRAY':
    case 'MAP':
    case 'STRUCT':
      return (text) => JSON.parse(text) as unknown
    default:
      return (text) => text
  }
}
