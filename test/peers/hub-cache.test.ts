/**
 * @file One Hub cache for lowrank and huggingface_hub: each finds what the other fetched, and neither fetches it again.
 */

import { expect, it } from 'vitest'
import { fetchModel } from '../../src/hub/fetch-model.js'
import { FILES, hubCase, ID, NEEDED } from '../hub/hub-case.js'
import { describeWithPython, runPython } from './python.js'

const REVISIONS = ['main', 'v1', 'refs/pr/3']
const ENVIRONMENT = `
import os
for name in [name for name, value in os.environ.items() if value == '']: del os.environ[name]
`

describeWithPython('a Hub cache', () => {
  const place = hubCase()

  it('a cache of lowrank is read by huggingface_hub, every file at every revision', async () => {
    const commit = place.hub.put(ID, { files: FILES, revisions: REVISIONS })
    for (const revision of REVISIONS) await fetchModel(ID, 'nowhere', { revision })
    const { code, stdout, stderr } = await runPython([
      '-c',
      `${ENVIRONMENT}
import json
from huggingface_hub import hf_hub_download, scan_cache_dir, try_to_load_from_cache
for revision in ${JSON.stringify(REVISIONS)}:
    for name in ${JSON.stringify(NEEDED)}:
        path = hf_hub_download('${ID}', name, revision=revision, local_files_only=True)
        assert path == try_to_load_from_cache('${ID}', name, revision=revision)
        assert os.path.realpath(path).split(os.sep)[-2] == 'blobs'
cache = scan_cache_dir()
print(json.dumps([[str(warning) for warning in cache.warnings], [[r.commit_hash, sorted(r.refs)] for repo in cache.repos for r in repo.revisions]]))
`,
    ])
    expect(code, stderr).toBe(0)
    expect(JSON.parse(stdout)).toEqual([[], [[commit, [...REVISIONS].sort()]]])
  })

  it('a cache of huggingface_hub is read by lowrank without a file of it being fetched again', async () => {
    const commit = place.hub.put(ID, { files: FILES, revisions: REVISIONS })
    const { code, stderr } = await runPython([
      '-c',
      `${ENVIRONMENT}
os.environ['HF_HUB_OFFLINE'] = '0'
from huggingface_hub import hf_hub_download
for name in ${JSON.stringify(NEEDED)}: hf_hub_download('${ID}', name, revision='v1')
`,
    ])
    expect(code, stderr).toBe(0)
    place.hub.requests.splice(0)
    expect(await fetchModel(ID, 'nowhere', { revision: 'v1', localFilesOnly: true })).toMatchObject({ commit })
    expect(place.hub.requests).toEqual([])
    expect(await fetchModel(ID, 'nowhere', { revision: 'v1' })).toMatchObject({ commit })
    expect(place.hub.requests.map(({ path }) => path.split('?')[0])).toEqual([`/api/models/${ID}/revision/v1`])
  })
})
