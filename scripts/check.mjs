/**
 * @file `npm run check`: everything that a change must pass, cheapest first. Every phase runs even when an earlier one
 * failed, so that one run shows all there is to fix. `--no-tests` leaves out the suites.
 */

import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { capture, npm, phase, tool } from './phases.mjs'

const { code, output } = await capture([process.execPath, 'scripts/ensure.mjs', '--emulator'])
process.stderr.write(output)
if (code !== 0) process.exit(1)

const failed = []
async function check(name, command) {
  if (!(await phase(name, command))) failed.push(name)
}

await check('Format and lint', tool('@biomejs/biome/bin/biome', 'check', '--error-on-warnings', '.'))
await check('C++ format', [process.execPath, 'scripts/format-native.mjs', '--check'])
await check('Types', tool('typescript/bin/tsc', '--noEmit'))
await check(
  'Types of packages/ai-sdk-provider',
  tool('typescript/bin/tsc', '--noEmit', '-p', 'packages/ai-sdk-provider'),
)
await check('Unused code (knip)', tool('knip/bin/knip.js'))
await check('API reference', tool('typedoc/bin/typedoc', '--emit', 'none'))
await check('Third-party notices', [process.execPath, 'scripts/notices.mjs', '--check'])

// publint looks at the tarballs themselves: what it sees is what a user installs.
const packed = mkdtempSync(join(tmpdir(), 'lowrank-check-'))
await check('Pack', npm('pack', '--pack-destination', packed))
await check('Pack packages', npm('pack', '--workspaces', '--pack-destination', packed))
for (const tarball of readdirSync(packed)) {
  await check(`Publint ${tarball}`, tool('publint/src/cli.js', 'run', '--strict', join(packed, tarball)))
}
rmSync(packed, { recursive: true })

if (!process.argv.includes('--no-tests')) await check('Tests', tool('vitest/vitest.mjs', 'run'))

process.stderr.write(failed.length === 0 ? 'All checks passed\n' : `Failed: ${failed.join(', ')}\n`)
process.exitCode = failed.length === 0 ? 0 : 1
