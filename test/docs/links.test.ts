/**
 * @file Links of README and docs/: every file and every heading that one names exists, and no page is left without a
 * way to it.
 */

import { existsSync, statSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { expect, test } from 'vitest'
import { pages, proseOf, ROOT } from './pages.js'

/** The anchors of a page, as GitHub makes them of its headings. */
function anchorsOf(page: string): string[] {
  return proseOf(page)
    .filter((line) => /^#+ /.test(line))
    .map((line) =>
      line
        .replace(/^#+ /, '')
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .replaceAll(' ', '-'),
    )
}

/** What the links of a page point at: paths from the root of the repository, with their anchor. */
function linksOf(page: string): { line: number; path: string; anchor: string | undefined }[] {
  return proseOf(page).flatMap((text, index) =>
    [...text.matchAll(/\]\(([^)\s]+)\)/g)]
      .map(([, target = '']) => target)
      .filter((target) => !/^https?:/.test(target))
      .map((target) => {
        const [path = '', anchor] = target.split('#')
        return { line: index + 1, path: path === '' ? page : join(dirname(page), path), anchor }
      }),
  )
}

test.each(pages())('%s links to files and headings that exist', (page) => {
  for (const { line, path, anchor } of linksOf(page)) {
    expect(existsSync(join(ROOT, path)), `${page}:${line} links to ${path}`).toBe(true)
    if (anchor !== undefined && statSync(join(ROOT, path)).isFile() && path.endsWith('.md'))
      expect(anchorsOf(path), `${page}:${line} links to ${path}#${anchor}`).toContain(anchor)
  }
})

test('README leads to the list of pages, and that list to every page', () => {
  const from = (page: string): string[] => linksOf(page).map(({ path }) => relative(ROOT, join(ROOT, path)))
  expect(from('README.md')).toContain('docs/README.md')
  const listed = from('docs/README.md')
  for (const page of pages().filter((page) => page.startsWith('docs/') && page !== 'docs/README.md'))
    expect(listed).toContain(page)
})
