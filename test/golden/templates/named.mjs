// @ts-check
/**
 * @file Puts the sources of our own templates into `named.json.gz`, from the built library: `node named.mjs`. generate.py
 * adds their renderings.
 */

import { readFileSync, writeFileSync } from 'node:fs'
import { gunzipSync, gzipSync } from 'node:zlib'
import { NAMED_TEMPLATES } from '../../../dist/tokenizer/named-templates.js'

const file = new URL('named.json.gz', import.meta.url)

function stored() {
  try {
    return JSON.parse(gunzipSync(readFileSync(file)).toString())
  } catch {
    return {}
  }
}

writeFileSync(file, gzipSync(JSON.stringify({ ...stored(), sources: NAMED_TEMPLATES })))
