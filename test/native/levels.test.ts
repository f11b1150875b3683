/**
 * @file What the choice of a level says in a build that has not all of them. dispatch.cpp is compiled alone, with
 * kernels that are names only.
 */

import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { expect, it } from 'vitest'
import { temporaryDirectory } from '../support/tiny-model.js'

const NATIVE = fileURLToPath(new URL('../../native', import.meta.url))
const folder = temporaryDirectory()

/** Prints the level that is chosen for each argument, or why none is. */
const MAIN = `
#include <cstdio>
#include "cpu/dispatch.h"
#ifdef LOWRANK_HAS_generic
namespace lowrank::cpu::generic {
extern const Backend kBackend;
extern const Probes kProbes;
const Backend kBackend{};
const Probes kProbes{};
}
#endif
int main(int count, char** isas) {
  for (int i = 1; i < count; ++i) {
    char error[512] = "";
    const lowrank::Backend* backend = lowrank::cpu::selectBackend(isas[i], error, sizeof error);
    std::puts(backend == nullptr ? error : "chosen");
  }
}`

/** What selectBackend() answers in a build with these levels. */
function choose(levels: readonly string[], ...isas: string[]): string[] {
  const source = join(folder, 'main.cpp')
  writeFileSync(source, MAIN)
  const program = join(folder, `choose-${levels.join('-')}`)
  const has = levels.map((level) => `-DLOWRANK_HAS_${level}`)
  const compiler = process.env.CXX || 'g++'
  execFileSync(compiler, [
    '-std=c++20',
    '-O0',
    ...has,
    '-I',
    NATIVE,
    source,
    join(NATIVE, 'cpu/dispatch.cpp'),
    // It asks the system for the registers of tiles.
    join(NATIVE, 'platform/linux.cpp'),
    '-o',
    program,
  ])
  const { LOWRANK_ISA: _, ...env } = process.env
  const options = { encoding: 'utf8', env: { ...env, LOWRANK_ISA_UNCHECKED: '1' } } as const
  return execFileSync(program, isas, options).trim().split('\n')
}

it('a level that the build leaves out is refused with those that it has and what makes the rest', () => {
  expect(choose(['generic'], '', 'generic', 'avx512', 'sse')).toEqual([
    'chosen',
    'chosen',
    "expected a level that this build has for isa, got 'avx512': this build has kernels for generic; npm run build makes all",
    "expected generic, avx2, avx512, avx512bf16 or amx for isa, got 'sse'",
  ])
})

it('a build without a level that the machine can run says so in place of running it', () => {
  expect(choose([], '')[0]).toMatch(
    /^expected kernels that this machine can run for isa, got '\w+': this build has kernels for none; npm run build makes all$/,
  )
})
