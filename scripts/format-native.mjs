/** @file Formats the C++ sources with clang-format where it is installed. `--check` reports instead of writing. */

import { spawnSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { root } from './phases.mjs'

const check = process.argv.includes('--check')
const sources = readdirSync(`${root}native`, { recursive: true, encoding: 'utf8' })
  .filter((path) => /\.(h|cpp|cuh?)$/.test(path))
  .map((path) => `native/${path}`)
  .sort()

const { error, status } = spawnSync('clang-format', [...(check ? ['--dry-run', '--Werror'] : ['-i']), ...sources], {
  cwd: root,
  stdio: 'inherit',
})
if (error) process.stderr.write('clang-format is not installed: C++ formatting not looked at\n')
else process.exitCode = status ?? 1
