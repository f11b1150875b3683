/** @file What doctor says of GPUs, for machines that need not be there; and of one that pretends to have a driver. */

import { chmod, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import type { DoctorReport } from '../../src/cli/doctor.js'
import { examineGpus, gpuLines } from '../../src/cli/gpu-report.js'
import type { CudaInfo } from '../../src/tensor/addon.js'
import { temporaryDirectory } from '../support/tiny-model.js'
import { lowrank } from './run-cli.js'

const GIB = 2 ** 30
const A100 = { name: 'A100', computeCapability: '8.0', totalMemory: 80 * GIB, freeMemory: 77 * GIB }
const T4 = { name: 'T4', computeCapability: '7.5', totalMemory: 16 * GIB, freeMemory: 15 * GIB }
const working: CudaInfo = { driverVersion: '13.1', runtimeVersion: '13.0', error: null, devices: [A100, T4] }

describe('an engine with CUDA', () => {
  it('names every GPU with its memory, and those that are too old', () => {
    const { gpu, problems } = examineGpus(working, '/proc/driver/nvidia')
    expect(gpu).toEqual({
      engine: true,
      cudaRequired: '13.0',
      cudaOfDriver: '13.1',
      driverFiles: '/proc/driver/nvidia',
      devices: [
        { ...A100, serves: true },
        { ...T4, serves: false },
      ],
    })
    expect(problems).toEqual([
      {
        what: 'cuda:1, T4, has compute capability 7.5, and 8.0 is needed',
        remedy: "use a GPU of the Ampere generation or newer, or device 'cpu'",
      },
    ])
    expect(gpuLines(gpu)).toEqual([
      ['engine', 'with CUDA 13.0'],
      ['driver', 'runs CUDA 13.1; CUDA 13.0 is needed'],
      ['cuda:0', 'A100, compute capability 8.0, 77.0 GiB free of 80.0 GiB'],
      ['cuda:1', 'T4, compute capability 7.5, 15.0 GiB free of 16.0 GiB; too old'],
    ])
  })

  const broken = (changes: Partial<CudaInfo>) => examineGpus({ ...working, devices: [], ...changes }, null)

  it('an engine with CUDA without a driver says which to install', () => {
    const { gpu, problems } = broken({ driverVersion: null, error: 'no NVIDIA driver was found' })
    expect(gpuLines(gpu)[1]).toEqual(['driver', 'none'])
    expect(problems).toEqual([
      {
        what: 'no NVIDIA driver was found',
        remedy: "for GPUs install an NVIDIA driver for CUDA 13.0 or newer; device 'cpu' works without",
      },
    ])
  })

  it('an engine with CUDA with an old driver says which is needed', () => {
    // As a text 9.2 would be the newer one.
    const error = 'the NVIDIA driver runs CUDA 9.2 at most, and CUDA 13.0 is needed'
    expect(broken({ driverVersion: '9.2', error }).problems).toEqual([
      { what: error, remedy: 'install an NVIDIA driver for CUDA 13.0 or newer' },
    ])
  })

  it('an engine with CUDA whose driver shows no GPU says where to look', () => {
    const error = 'the NVIDIA driver shows no GPU to this process'
    const [problem] = broken({ error }).problems
    expect(problem?.what).toBe(error)
    expect(problem?.remedy).toContain('CUDA_VISIBLE_DEVICES')
  })
})

describe('an engine without CUDA', () => {
  it('is no problem where there is no driver', () => {
    const { gpu, problems } = examineGpus(null, null)
    expect(problems).toEqual([])
    expect(gpuLines(gpu)).toEqual([['engine', 'without CUDA']])
  })

  it('an engine without CUDA on a machine with a driver names the package, in text and in JSON', async () => {
    const folder = temporaryDirectory()
    const program = join(folder, 'nvidia-smi')
    await writeFile(program, '')
    await chmod(program, 0o755)
    const env = {
      LOWRANK_ADDON: fileURLToPath(new URL('../../build/Release/lowrank.node', import.meta.url)),
      PATH: `${folder}${delimiter}${process.env.PATH}`,
    }
    const { code, stdout } = await lowrank(['doctor'], { env })
    expect(code).toBe(0)
    expect(stdout).toMatch(/\nGPU\n {2}engine {10}without CUDA\n {2}driver {10}\//)
    expect(stdout).toMatch(
      /Problem: there is an NVIDIA driver \(.*\), but the engine has no CUDA\n {2}to do: install @lowrank\//,
    )
    const report = JSON.parse((await lowrank(['doctor', '--json'], { env })).stdout) as DoctorReport
    expect(report.gpu).toMatchObject({ engine: false, cudaRequired: null, devices: [] })
    expect(report.problems.map(({ remedy }) => remedy).join()).toMatch(
      /-cuda beside lowrank, or in a checkout run LOWRANK_CUDA=ON/,
    )
  })
})
