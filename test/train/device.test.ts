/**
 * @file Training, plans and answers on a device chosen by name: on the CPU, and in the emulator's project on the
 * emulated GPU.
 */

import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { loadModel } from '../../src/checkpoint/load-model.js'
import { planGeneration } from '../../src/generation/plan-generation.js'
import { Device, type DeviceName } from '../../src/tensor/device.js'
import type { TrainEvent } from '../../src/train/events.js'
import type { TrainRunOptions } from '../../src/train/options.js'
import { planTraining } from '../../src/train/plan.js'
import { trainLora } from '../../src/train/train-lora.js'
import { testDeviceNames } from '../support/devices.js'
import { ofType, rejection, TINY_CONFIG, temporaryDirectory, writeTinyModel } from '../support/tiny-model.js'

const folder = temporaryDirectory()
const model = await writeTinyModel(join(folder, 'model'))

/** Every row is longer than maxLength, so that all rows are equally long. */
const dataset = Array.from({ length: 5 }, (_, i) => ({ text: `${i} one two three `.repeat(40) }))

describe.each(testDeviceNames() as DeviceName[])('device %s', (device) => {
  const isGpu = device !== 'cpu'
  const options = (changes: Partial<TrainRunOptions> = {}): TrainRunOptions => ({
    model,
    dataset,
    device,
    lora: { r: 3 },
    ...changes,
    training: {
      maxSteps: 2,
      maxLength: 19,
      perDeviceTrainBatchSize: 2,
      gradientAccumulationSteps: 1,
      ...changes.training,
    },
  })

  it.each<[string, Partial<TrainRunOptions>]>([
    ['LoRA', { dtype: 'float32', lora: { r: 3, loraDropout: 0.1 } }],
    ['QLoRA with checkpointing', { quantization: 'nf4', training: { gradientCheckpointing: true } }],
    [
      'QLoRA in as little as it can',
      { quantization: 'nf4', offloadEmbedding: true, training: { gradientCheckpointing: 'full' } },
    ],
  ])('trains %s in the planned memory, to the byte', async (_, changes) => {
    const events: TrainEvent[] = []
    const run = await trainLora(options({ ...changes, onEvent: (event) => void events.push(event) }))
    const { type } = run.model.device
    const { peak, touched, hostLive } = run.model.device.memory()
    run.dispose()
    const plan = await planTraining(options(changes))
    expect(plan).toMatchObject({ peakTensors: peak, hostTensors: hostLive })
    // Gaps between blocks also come from what loading read in between, which a plan does not: 5 % of a model this
    // small.
    expect(Math.abs(plan.residentTensors / touched - 1)).toBeLessThan(0.1)
    expect(plan).toMatchObject({ device: type, fits: true })
    // The process lies beside the tensors of the CPU only.
    expect(plan.peakResident - plan.residentTensors).toBe(plan.process)
    expect(plan.process > 0).toBe(!isGpu)
    expect(ofType(events, 'start')).toMatchObject([{ device: type, plannedMemory: plan.peakResident }])
    const losses = ofType(events, 'step').map(({ loss }) => loss)
    expect(losses).toHaveLength(2)
    // A random model guesses among 512 ids, and two steps change little.
    for (const loss of losses) expect(Math.abs(loss - Math.log(512))).toBeLessThan(0.5)
  })

  it('reads offloaded embeddings from the machine: the same bits in less memory of a GPU', async () => {
    const loaded: { logits: Float32Array; live: number; hostLive: number }[] = []
    for (const offloadEmbedding of [false, true]) {
      const lm = await loadModel(model, { device, dtype: 'float32', offloadEmbedding })
      expect(lm.offloadEmbedding).toBe(offloadEmbedding && isGpu)
      const { live, hostLive } = lm.device.memory()
      const { logits } = lm.eval().forward({ inputIds: [[5, 0, 511, 5, 77]] }, { logits: true })
      loaded.push({ logits: await logits.read(), live, hostLive })
      lm.device.close()
    }
    const [without, offloaded] = loaded as [(typeof loaded)[0], (typeof loaded)[0]]
    expect(offloaded.logits).toEqual(without.logits)
    const bytes = isGpu ? 512 * 48 * 4 : 0
    expect(without.live - offloaded.live).toBe(bytes)
    expect([without.hostLive, offloaded.hostLive]).toEqual([0, bytes])
  })

  it('offloads neither embeddings that the head shares nor ones that are trained', async () => {
    const config = { ...TINY_CONFIG, tie_word_embeddings: true }
    const tied = await writeTinyModel(join(folder, 'tied'), { config })
    const onTied = rejection(loadModel(tied, { device, offloadEmbedding: true }).then((it) => it.device.close()))
    if (isGpu) {
      expect(await onTied).toBe(
        '[model] expected a head with weights of its own for offloadEmbedding, but lm_head shares model.embed_tokens.weight; leave out offloadEmbedding',
      )
      const offloaded = await loadModel(model, { device, offloadEmbedding: true })
      expect(() => offloaded.parameters().get('model.embed_tokens.weight')?.unfreeze()).toThrow(
        `[parameter] expected a parameter on ${offloaded.device.type} to train, but model.embed_tokens.weight is in the machine's memory`,
      )
      offloaded.device.close()
    } else {
      expect(await onTied).toBe('nothing was thrown')
    }
    const changes = { lora: { r: 3, modulesToSave: ['embed_tokens'] } }
    const run = await trainLora(options({ ...changes, offloadEmbedding: true }))
    expect(run.step).toBe(2)
    const { peak, hostLive } = run.model.device.memory()
    run.dispose()
    // The table of the base model is where it was, and the copy that is trained on the GPU.
    const plan = await planTraining(options({ ...changes, offloadEmbedding: true }))
    expect(plan).toMatchObject({ peakTensors: peak, hostTensors: hostLive, settings: { offloadEmbedding: isGpu } })
    expect(await rejection(loadModel(model, { device, offloadEmbedding: 'yes' as unknown as boolean }))).toBe(
      '[loadModel] expected true or false for offloadEmbedding, got "yes"',
    )
  })

  it.runIf((device as string) === 'cuda-emulator')(
    'says why the machine has no memory for what is offloaded',
    async () => {
      const small = Device.open(device, { emulator: { hostBytes: 1000 } })
      expect(await rejection(loadModel(model, { device: small, offloadEmbedding: true }))).toBe(
        "[loadFile] expected 48.0 KiB for target in the machine's memory, where the GPU reads it, but the emulated machine has 1000 bytes; leave out offloadEmbedding",
      )
      small.close()
    },
  )

  it('computes in bfloat16 by default on a GPU', async () => {
    const loaded = await loadModel(model, { device })
    expect(loaded.device.isGpu).toBe(isGpu)
    if (isGpu) expect(loaded.dtype).toBe('bfloat16')
    expect((await planTraining(options())).settings.dtype).toBe(loaded.dtype)
    expect(await planGeneration({ model: TINY_CONFIG, device, promptTokens: 3, maxNewTokens: 2 })).toMatchObject({
      device: loaded.device.type,
      dtype: loaded.dtype,
    })
    loaded.device.close()
  })

  it('refuses a run that does not fit with what would, and trains the next one', async () => {
    const { peakTensors } = await planTraining(options({ dtype: 'float32' }))
    const memoryBudget = peakTensors - 1
    const refused = options({ dtype: 'float32', memoryBudget, training: { gradientCheckpointing: false } })
    expect(await rejection(trainLora(refused))).toMatch(
      isGpu
        ? /^\[train\] expected a run that fits the memory budget of .*; it would fit with .* \([\d.]+ [KM]iB on the GPU\)\./
        : /^\[train\] expected a run that fits the memory budget of .*; (it would fit with .* \([\d.]+ [KM]iB for the whole process\)|no setting makes it fit: .*)\./,
    )
    const tiny = options({ memoryBudget: 1000 })
    expect(await rejection(trainLora(tiny))).toMatch(/^\[loadModel\] the weights of .* but the memory budget is 0 MiB/)
    const run = await trainLora(options({ training: { maxSteps: 1 } }))
    expect(run).toMatchObject({ reason: 'completed', step: 1 })
    run.dispose()
  })
})

it('a GPU without the engine for it is refused with the remedy', async () => {
  // Neither the addon for CPUs nor that of the tests has CUDA; the one that has refuses the number.
  expect(await rejection(loadModel(model, { device: 'cuda:999' }))).toMatch(
    /^\[device\] expected (an engine with CUDA for device 'cuda', got the one for CPUs; install @lowrank\/linux-x64-gnu-cuda|a GPU)/,
  )
})
