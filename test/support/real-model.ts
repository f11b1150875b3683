/**
 * @file The real model that some suites run on, where LOWRANK_TEST_MODELS names the folder that holds it; without it
 * they are skipped.
 */

import { existsSync } from 'node:fs'
import { join } from 'node:path'

const folder = process.env.LOWRANK_TEST_MODELS
const path = folder === undefined || folder === '' ? undefined : join(folder, 'SmolLM2-135M-Instruct.Q4_1.gguf')
// A name that leads nowhere is a mistake, and no reason to leave tests out.
if (path !== undefined && !existsSync(path)) throw new Error(`[test] expected ${path}, as LOWRANK_TEST_MODELS says`)

/** SmolLM2-135M-Instruct in GGUF, or undefined. */
export const SMOLLM2 = path
