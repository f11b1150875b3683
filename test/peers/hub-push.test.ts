/** @file What pushToHub pushed, downloaded by huggingface_hub and by our own downloader: equal bytes. */

import { createHash } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, expect, it, vi } from 'vitest'
import { loadModel } from '../../src/checkpoint/load-model.js'
import { pushToHub } from '../../src/hub/push/push-to-hub.js'
import { startHub } from '../support/hub-server.js'
import { temporaryDirectory, trainTiny, writeTinyModel } from '../support/tiny-model.js'
import { describeWithPython, runPython } from './python.js'

const script = fileURLToPath(new URL('hub_push.py', import.meta.url))
const directory = temporaryDirectory()
afterAll(() => vi.unstubAllEnvs())

describeWithPython('what was pushed', () => {
  it('comes back with equal bytes in Python and here, an adapter and a merged model', async () => {
    const hub = await startHub()
    try {
      hub.writes.partSize = 10_000
      const model = await writeTinyModel(join(directory, 'base'))
      const adapter = join(directory, 'adapter')
      await trainTiny({ model, training: { maxSteps: 2 }, baseModelName: 'org/base' }, adapter)
      for (const [name, value] of Object.entries({
        HF_ENDPOINT: hub.endpoint,
        HF_TOKEN: 'hf_aBcDeFgHiJkLmNoPqRsTuVwXyZ012345',
        HF_HUB_OFFLINE: '',
        HF_HUB_DISABLE_XET: '1',
        HF_HOME: join(directory, 'home'),
      }))
        vi.stubEnv(name, value)
      const { commit } = await pushToHub(adapter, 'org/support')
      const { code, stdout, stderr } = await runPython([script, 'org/support', 'main', join(directory, 'cache')], '', {
        HF_HUB_OFFLINE: '0',
      })
      expect(code, stderr).toBe(0)
      const { files, sha, library } = JSON.parse(stdout)
      const { '.gitattributes': _, ...downloaded } = files
      const names = await readdir(adapter)
      const hashed = await Promise.all(
        names.map(async (name) => [
          name,
          createHash('sha256')
            .update(await readFile(join(adapter, name)))
            .digest('hex'),
        ]),
      )
      expect(downloaded).toEqual(Object.fromEntries(hashed))
      expect([sha, library]).toEqual([commit, 'peft'])

      await pushToHub(model, 'org/merged')
      const again = await loadModel('org/merged', { cacheDir: join(directory, 'ours') })
      const weights = 'model.safetensors'
      expect(await readFile(join(again.path ?? '', weights))).toEqual(await readFile(join(model, weights)))
      again.dispose()
    } finally {
      await hub.close()
    }
  })
})
