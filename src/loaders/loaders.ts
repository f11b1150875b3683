/** @file The loaders by name; a new one is its file, a line here, and its name in loader-names.ts. */

import { llamaCpp } from './llama-cpp.js'
import type { LoadedFiles, Loader, LoaderFinding } from './loader.js'
import type { LoaderName } from './loader-names.js'
import { mlx } from './mlx.js'
import { ollama } from './ollama.js'
import { peft } from './peft.js'
import { transformers } from './transformers.js'
import { vllm } from './vllm.js'

export const LOADERS: Readonly<Record<LoaderName, Loader>> = {
  vllm,
  'llama.cpp': llamaCpp,
  ollama,
  mlx,
  peft,
  transformers,
}

/** All that the named loaders would not do as the files say. */
export function loaderFindings(names: readonly LoaderName[], files: LoadedFiles): LoaderFinding[] {
  return names.flatMap((name) => {
    const loader = LOADERS[name]
    return loader.check(files).map((finding) => ({ loader: name, version: loader.version, ...finding }))
  })
}
