/** @file Patterns of paths as .gitignore has them: which files are meant. Knows no disk. */

import { describeValue } from '../../../errors.js'
import { OptionError } from '../../../lowrank-error.js'

/** Whether a path, with slashes and relative to the root, or a directory above it is meant. */
export type PathTest = (path: string) => boolean

/**
 * A pattern without a slash is for names at any depth, one with a slash for paths from the root; `*` and `?` stay
 * within a name, `**` takes any folders, and a slash at the end means directories alone.
 * @throws OptionError for an empty pattern, and for one that begins with `!`
 */
export function pathTest(patterns: readonly string[]): PathTest {
  const tests = patterns.map(compile)
  return (path) => {
    const segments = path.split('/')
    return segments.some((_, index) => {
      const part = segments.slice(0, index + 1).join('/')
      const isDirectory = index < segments.length - 1
      return tests.some(({ regexp, isDirectoryAlone }) => (isDirectory || !isDirectoryAlone) && regexp.test(part))
    })
  }
}

function compile(pattern: string): { readonly regexp: RegExp; readonly isDirectoryAlone: boolean } {
  const isDirectoryAlone = pattern.endsWith('/')
  const body = pattern.replace(/^\//, '').replace(/\/$/, '')
  if (body === '' || pattern.startsWith('!')) {
    throw new OptionError(
      `[syncDirectory] expected a pattern such as "*.tmp", "logs/" or "data/**/raw", got ${describeValue(pattern)}; write one of these forms`,
    )
  }
  const isAnchored = pattern.startsWith('/') || body.includes('/')
  const source = body
    .split('/')
    .map((segment) => (segment === '**' ? '**' : segment.split('').map(characterOf).join('')))
    .join('/')
    .replace(/^\*\*$/, '.+')
    .replace(/^\*\*\//, '(?:.*/)?')
    .replace(/\/\*\*$/, '/.+')
    .replaceAll('/**/', '/(?:.*/)?')
  return { regexp: new RegExp(`${isAnchored ? '^' : '(?:^|/)'}${source}$`, 's'), isDirectoryAlone }
}

function characterOf(character: string): string {
  if (character === '*') return '[^/]*'
  if (character === '?') return '[^/]'
  return character.replace(/[.+^$(){}|[\]\\]/, '\\$&')
}
