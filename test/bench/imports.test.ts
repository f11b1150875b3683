/** @file Programs beside the library: what they import of dist/ is there. No compiler sees them. */

import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { expect, test } from 'vitest'

const root = fileURLToPath(new URL('../..', import.meta.url))
const DIST = join(root, 'dist')

/** The names that a program imports of each module of dist/, and where that is. */
function importsOfDist(path: string, text: string): { module: string; names: string[] }[] {
  return [...text.matchAll(/^import (?:(\w+|\* as \w+)|\{([^}]*)\}) from '([^']+)'/gm)].flatMap(
    ([, whole, names = '', specifier = '']) => {
      const module = specifier === 'lowrank' ? join(DIST, 'index.js') : resolve(dirname(path), specifier)
      if (!module.startsWith(DIST)) return []
      const named = names.split(',').flatMap((name) => name.trim().split(' as ', 1)[0] || [])
      return [{ module, names: whole === undefined ? named : whole.startsWith('*') ? [] : ['default'] }]
    },
  )
}

const programs = ['bench', 'examples', 'scripts', 'test'].flatMap((folder) =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.mjs'))
    .map((file) => join(root, folder, file)),
)

/** What is imported and is not there. */
async function missing(path: string, text: string): Promise<string[]> {
  const lacking: string[] = []
  for (const { module, names } of importsOfDist(path, text)) {
    if (!existsSync(module)) lacking.push(relative(root, module))
    else {
      const exported = (await import(/* @vite-ignore */ pathToFileURL(module).href)) as object
      lacking.push(...names.filter((name) => !(name in exported)).map((name) => `${relative(root, module)}: ${name}`))
    }
  }
  return lacking
}

test('every name that a program beside the library imports of dist/ is exported there', async () => {
  const lacking: string[] = []
  let seen = 0
  for (const path of programs) {
    const text = readFileSync(path, 'utf8')
    seen += importsOfDist(path, text).length
    lacking.push(...(await missing(path, text)).map((what) => `${relative(root, path)} imports ${what}`))
  }
  expect(lacking).toEqual([])
  // Fewer would mean that the search misses them.
  expect(seen).toBeGreaterThan(25)
})

test('a name that is not exported, and a module that is not there, are found', async () => {
  const text = `import { loadModel, nowhere as x } from '../dist/index.js'\nimport { y } from '../dist/none.js'\n`
  expect(await missing(join(root, 'bench/made.mjs'), text)).toEqual(['dist/index.js: nowhere', 'dist/none.js'])
})
