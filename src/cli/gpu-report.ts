/**
 * @file What `lowrank doctor` says of GPUs: the engine's side, the driver's side, and what is missing between them.
 * Asks nothing of the machine itself.
 */

import { formatBytes } from '../bytes.js'
import { type CudaInfo, platformName } from '../tensor/addon.js'

/** Something that is not as it should be, and what to do. */
export interface Problem {
  readonly what: string
  readonly remedy: string
}

/** One GPU, `cuda:N` by its place in the list. */
export interface GpuDevice {
  readonly name: string
  readonly computeCapability: string
  readonly totalMemory: number
  readonly freeMemory: number
  /** Whether its compute capability is enough. */
  readonly serves: boolean
}

export interface GpuReport {
  /** Whether the engine that loads has CUDA. */
  readonly engine: boolean
  /** The CUDA that the engine was built with, which the driver has to run; null without such an engine. */
  readonly cudaRequired: string | null
  /** The newest CUDA that the driver runs; null: no driver, or no engine to ask it. */
  readonly cudaOfDriver: string | null
  /** What of NVIDIA's is on the machine whatever the engine: its kernel module or `nvidia-smi`. */
  readonly driverFiles: string | null
  readonly devices: readonly GpuDevice[]
}

const LEAST_MAJOR = 8

/**
 * @param cuda what an engine with CUDA says; null: an engine without.
 * @param driverFiles the path of a sign of NVIDIA's driver.
 */
export function examineGpus(
  cuda: CudaInfo | null,
  driverFiles: string | null,
): { gpu: GpuReport; problems: readonly Problem[] } {
  const devices = (cuda?.devices ?? []).map((device) => ({
    ...device,
    serves: Number(device.computeCapability.split('.')[0]) >= LEAST_MAJOR,
  }))
  const gpu = {
    engine: cuda !== null,
    cudaRequired: cuda?.runtimeVersion ?? null,
    cudaOfDriver: cuda?.driverVersion ?? null,
    driverFiles,
    devices,
  }
  return { gpu, problems: problemsOf(cuda, gpu) }
}

function problemsOf(cuda: CudaInfo | null, { driverFiles, devices }: GpuReport): Problem[] {
  if (cuda === null) {
    if (driverFiles === null) return []
    const remedy =
      `install @lowrank/${platformName()}-cuda beside lowrank, or in a checkout run LOWRANK_CUDA=ON npm run build ` +
      'with nvcc on the path'
    return [{ what: `there is an NVIDIA driver (${driverFiles}), but the engine has no CUDA`, remedy }]
  }
  const driver = `an NVIDIA driver for CUDA ${cuda.runtimeVersion} or newer`
  if (cuda.driverVersion === null)
    return [{ what: 'no NVIDIA driver was found', remedy: `for GPUs install ${driver}; device 'cpu' works without` }]
  if (cuda.error !== null) {
    const isOld = compareVersions(cuda.driverVersion, cuda.runtimeVersion) < 0
    const remedy = isOld
      ? `install ${driver}`
      : 'see what nvidia-smi shows; in a container start it with the GPUs, and look at CUDA_VISIBLE_DEVICES'
    return [{ what: cuda.error, remedy }]
  }
  return devices.flatMap(({ name, computeCapability, serves }, number) => {
    if (serves) return []
    const what = `cuda:${number}, ${name}, has compute capability ${computeCapability}, and ${LEAST_MAJOR}.0 is needed`
    return [{ what, remedy: "use a GPU of the Ampere generation or newer, or device 'cpu'" }]
  })
}

/** Below 0 where the first version is the older. */
function compareVersions(first: string, second: string): number {
  const [major = 0, minor = 0] = first.split('.').map(Number)
  const [otherMajor = 0, otherMinor = 0] = second.split('.').map(Number)
  return major - otherMajor || minor - otherMinor
}

/** Names and values of the lines for people. */
export function gpuLines({ engine, cudaRequired, cudaOfDriver, driverFiles, devices }: GpuReport): [string, string][] {
  if (!engine) return [['engine', 'without CUDA'], ...(driverFiles ? [pair('driver', driverFiles)] : [])]
  const lines = [
    pair('engine', `with CUDA ${cudaRequired}`),
    pair('driver', cudaOfDriver === null ? 'none' : `runs CUDA ${cudaOfDriver}; CUDA ${cudaRequired} is needed`),
  ]
  devices.forEach(({ name, computeCapability, totalMemory, freeMemory, serves }, number) => {
    const memory = `${formatBytes(freeMemory)} free of ${formatBytes(totalMemory)}`
    lines.push(
      pair(`cuda:${number}`, `${name}, compute capability ${computeCapability}, ${memory}${serves ? '' : '; too old'}`),
    )
  })
  return lines
}

function pair(name: string, value: string): [string, string] {
  return [name, value]
}
