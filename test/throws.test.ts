/** @file Which errors src may make that have no code: only those that never leave this package as they are. */

import { readdirSync, readFileSync } from 'node:fs'
import { join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { expect, test } from 'vitest'

const SOURCE = fileURLToPath(new URL('../src', import.meta.url))

/** File, class and number of the errors without a code, and who gives them one. */
const WITHOUT_CODE: Readonly<Record<string, string>> = {
  'cli/config.ts: 1 Error': 'caught beside it, for a UsageError',
  'arrow/zstd.ts: 8 Error': 'unpack.ts says which file is damaged',
  'http/exchange.ts: 1 Error': 'the cause of a ServiceError',
  'http/proxied-fetch.ts: 2 Error': 'the cause of what fetch throws',
  'http/short-exchange.ts: 3 Error': 'the cause of a ServiceError',
  'hub/http.ts: 1 Error': 'the cause of a TransportError',
  'hub/push/push-fetch.ts: 1 Error': 'the cause of a HubError',
  'lossless-json.ts: 1 SyntaxError': 'as of JSON.parse: its callers say which file it is',
  'lossless-json.ts: 1 TypeError': 'as of JSON.stringify',
  'tokenizer/chat-template.ts: 2 TypeError': 'the cause of a ModelError',
  'tokenizer/json-steps.ts: 4 SyntaxError': 'as of JSON.parse: its caller says which file it is',
  'values.ts: 1 Error': 'what others threw that is no error',
  'weights/strict-json.ts: 2 Error': 'the cause of a ModelError',
}

/** Built-in classes of errors that a file makes, each with how often. */
function builtInErrors(file: string, text: string): string[] {
  const counts = new Map<string, number>()
  const visit = (node: ts.Node): void => {
    if ((ts.isNewExpression(node) || ts.isCallExpression(node)) && ts.isIdentifier(node.expression)) {
      const name = node.expression.text
      if (/^(?:Error|TypeError|RangeError|SyntaxError|EvalError|URIError|AggregateError)$/.test(name))
        counts.set(name, (counts.get(name) ?? 0) + 1)
    }
    ts.forEachChild(node, visit)
  }
  visit(ts.createSourceFile(file, text, ts.ScriptTarget.Latest))
  return [...counts].map(([name, count]) => `${file}: ${count} ${name}`)
}

test('every error that src makes has a code, but for a few that are caught within', () => {
  const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' }).filter((file) => file.endsWith('.ts'))
  const found = files.flatMap((file) =>
    builtInErrors(file.split(sep).join('/'), readFileSync(join(SOURCE, file), 'utf8')),
  )
  expect(found.sort()).toEqual(Object.keys(WITHOUT_CODE).sort())
})

test('an error without a code is seen, thrown or not, with new or without', () => {
  const text = "throw new Error('a'); const b = RangeError('b'); throw new OptionError('c')"
  expect(builtInErrors('x.ts', text)).toEqual(['x.ts: 1 Error', 'x.ts: 1 RangeError'])
})
