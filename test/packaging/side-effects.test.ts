/**
 * @file What package.json tells bundlers: which files do something when they are loaded, so that none of them is left
 * out.
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
