/** @file The kernels' object files: code of one instruction-set level must not be reachable from another. */

import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'

const OBJECTS = fileURLToPath(new URL('../../build/CMakeFiles', import.meta.url))
const SOURCES = fileURLToPath(new URL('../../native/cpu', import.meta.url))

describe.each(['generic', 'avx2', 'avx512', 'avx512bf16', 'amx'])('the %s kernels', (isa) => {
  it('define no symbol outside their namespace, and none that the linker could merge with another level', () => {
    const folder = join(OBJECTS, `kernels_${isa}.dir`, 'cpu')
    // From the sources, because a build folder keeps the objects of files that are gone. dispatch.cpp belongs to no
    // level.
    const sources = readdirSync(SOURCES).filter((name) => name.endsWith('.cpp') && name !== 'dispatch.cpp')
    const files = sources.map((name) => `${name}.o`)
    expect(files).toContain('attention.cpp.o')
    const lines = files.flatMap((name) =>
      execFileSync('nm', ['-C', '--defined-only', join(folder, name)], { encoding: 'utf8' }).split('\n'),
    )
    // "address type name"; lower-case types are local to the object. V, W and u are merged across objects.
    const symbols = lines.flatMap((line) => /^[0-9a-f]* ([A-Zu]) (.*)$/.exec(line)?.slice(1).join(' ') ?? [])
    expect(symbols.length).toBeGreaterThan(20)
    const ours = new RegExp(`^[TRBD] lowrank::cpu::${isa}::`)
    expect(symbols.filter((symbol) => !ours.test(symbol))).toEqual([])
  })
})
