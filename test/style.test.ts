/** @file How comments and test titles are written, as far as a program can see it. */

import { readdirSync, readFileSync } from 'node:fs'
import { join, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { expect, test } from 'vitest'

/** Written by programs. */
const GENERATED = ['src/tokenizer/pipeline/unicode-data.ts']
/** Programs that made the golden files: they stay as they ran. */
const GOLDEN = 'test/golden/'

const ROOT = fileURLToPath(new URL('..', import.meta.url))
const LONGEST_LINE = 120

/** Source files below some folders, by their paths from the root. */
function sources(folders: readonly string[], ending: RegExp): string[] {
  return folders.flatMap((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: 'utf8' })
      .filter((file) => ending.test(file) && !file.includes('node_modules'))
      .map((file) => `${folder}/${file.split(sep).join('/')}`)
      .filter((file) => !file.startsWith(GOLDEN) && !GENERATED.includes(file)),
  )
}

const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8')

/** What is wrong with the comments of a text, a line for each. */
function mistakesOfComments(file: string, text: string): string[] {
  return text.split('\n').flatMap((line, index) => {
    const at = `${file}:${index + 1}`
    const isComment = /^\s*(?:\/\/|\/?\*)|[;{},)]\s+\/\/ /.test(line)
    // An address cannot be cut.
    const isLong = isComment && line.length > LONGEST_LINE && !/https?:\S{60}/.test(line)
    const beginsWithOf =
      /(?:^\s*|[;{},)]\s+)(?:\/\/|\/\*\*) Of\b/.test(line) ||
      (/^\s*\* Of\b/.test(line) && /\/\*\*\s*$/.test(text.split('\n')[index - 1] ?? ''))
    return [
      ...(isLong ? [`${at}: the comment goes beyond column ${LONGEST_LINE}`] : []),
      ...(beginsWithOf ? [`${at}: the comment begins with "Of": begin with the subject`] : []),
    ]
  })
}

/** Words that only continue the name of a group. */
const CONTINUES =
  /^(?:that|and|of|with|in|by|may|without|at|for|between|before|after|from|on|whose|through|under|above|about|as|again|behind|beside|outside|to|called|cannot|must|was)\b/

/** Titles of tests that are no sentences without the group that they stand in. */
function fragments(file: string, text: string): string[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true)
  const found: string[] = []
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node)) {
      let callee: ts.Expression = node.expression
      while (ts.isCallExpression(callee) || ts.isPropertyAccessExpression(callee)) callee = callee.expression
      const [title] = node.arguments
      if (
        /^(?:it|test)$/.test(callee.getText()) &&
        title &&
        ts.isStringLiteralLike(title) &&
        CONTINUES.test(title.text)
      )
        found.push(`${file}: ${title.text}`)
    }
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

test('comments of src, native and test end at column 120, and none begins with "Of"', () => {
  const files = sources(['src', 'native', 'test'], /\.(?:ts|mjs|cpp|h|cu|cuh)$/)
  expect(files.length).toBeGreaterThan(500)
  expect(files.flatMap((file) => mistakesOfComments(file, read(file)))).toEqual([])
})

test('titles of tests are sentences without the name of their group', () => {
  const files = sources(['test'], /\.test\.ts$/)
  expect(files.length).toBeGreaterThan(100)
  expect(files.flatMap((file) => fragments(file, read(file)))).toEqual([])
})

test('long comments, comments that begin with "Of", and fragments are seen', () => {
  const long = 'word '.repeat(30).trim()
  const text = [
    `// ${long}`,
    `const a = 1; // ${long}`,
    '/**',
    ' * Of the files.',
    ' */',
    '// Of it.',
    `const b = '${long}'`,
  ]
  const seen = mistakesOfComments('x.ts', text.join('\n')).map((mistake) => mistake.split(':')[1])
  expect(seen).toEqual(['1', '2', '4', '6'])
  const titles =
    "describe('a run', () => { it('that fails ends', f); it.each([1])('%s ends', f); test.each(['a'])('of %s', f) })"
  expect(fragments('x.ts', titles)).toEqual(['x.ts: that fails ends', 'x.ts: of %s'])
})
