/** @file Modules that threads load. */

const SOURCE = /\/src\/(.*)\.ts$/

/**
 * The address of a module as JavaScript. Threads run what Node itself can load: of sources in TypeScript, as tests have
 * them, the built module.
 */
export function builtModule(url: string): string {
  return url.replace(SOURCE, '/dist/$1.js')
}
