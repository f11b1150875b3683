// @ts-check
/** @file config.json of the models that benchmarks imitate: the real shapes, to be filled with random weights. The peers read the same file. */

import { readFileSync } from 'node:fs'

/** @type {Readonly<Record<string, Record<string, any>>>} */
export const MODEL_SHAPES = JSON.parse(readFileSync(new URL('model-shapes.json', import.meta.url), 'utf8'))
