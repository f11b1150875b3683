/**
 * @file What package.json tells bundlers: which files do something when they are loaded, so that none of them is left
 * out. And what it tells programs that find types as older versions of TypeScript do.
 */

import { readdirSync, readFileSync } from 'node:fs'
import { join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { expect, test } from 'vitest'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))

/** Whether a statement of a module does more than declare. */
function acts(statement: ts.Statement): boolean {
  return !(
    ts.isImportDeclaration(statement) ||
    ts.isExportDeclaration(statement) ||
    ts.isVariableStatement(statement) ||
    ts.isFunctionDeclaration(statement) ||
    ts.isClassDeclaration(statement) ||
    ts.isInterfaceDeclaration(statement) ||
    ts.isTypeAliasDeclaration(statement)
  )
}

test('package.json lists the files that act when they are loaded, and no other', () => {
  const acting = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts'))
    .filter((file) => {
      const text = readFileSync(join(ROOT, 'src', file), 'utf8')
      return ts.createSourceFile(file, text, ts.ScriptTarget.Latest).statements.some(acts)
    })
    .map((file) => `./dist/${file.split(sep).join('/').replace(/\.ts$/, '.js')}`)
  const { sideEffects } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { sideEffects: string[] }
  expect(acting.sort()).toEqual([...sideEffects].sort())
})

test('package.json names the types of every entry for programs that do not read exports', () => {
  const { exports, typesVersions } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
    exports: Record<string, string | { types: string }>
    typesVersions: Record<string, Record<string, string[]>>
  }
  const expected = Object.entries(exports).flatMap(([name, target]) =>
    name === '.' || typeof target === 'string' ? [] : [[name.slice(2), [target.types]]],
  )
  expect(typesVersions).toEqual({ '*': Object.fromEntries(expected) })
})
