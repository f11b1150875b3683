/** @file What Ollama refuses of models, adapters and templates. */

import { ggufAdapterFindings } from './llama-cpp.js'
import { ignored, type Loader, refused } from './loader.js'
import { templatesByName, writesTools } from './template-features.js'

const MODELS = ['llama', 'mistral', 'qwen2', 'qwen3']

export const ollama: Loader = {
  name: 'ollama',
  version: 'commits 01cf744, 0242080 and 0097ef5',
  read: 'convert/convert.go, convert/convert_llama_adapter.go and template/template.go of ollama/ollama',
  check({ config, adapter, chatTemplate }) {
    const type = config?.model_type
    const templates = templatesByName(chatTemplate)
    return [
      ...(type !== undefined && !MODELS.includes(type as string)
        ? [refused('model_type', `no folder for Ollama of model_type '${String(type)}' is written here`)]
        : []),
      ...(adapter ? ggufAdapterFindings(adapter, config) : []),
      ...(adapter?.useRslora
        ? [
            ignored(
              'useRslora',
              "its own conversion of PEFT's files scales by alpha / r whatever use_rslora says; format 'ollama' writes a GGUF file with the right scale",
            ),
          ]
        : []),
      ...(adapter && !Number.isInteger(adapter.loraAlpha)
        ? [
            refused(
              'loraAlpha',
              `its own conversion of PEFT's files takes whole numbers alone, got ${adapter.loraAlpha}; format 'ollama' writes a GGUF file`,
            ),
          ]
        : []),
      ...(templates.some(writesTools)
        ? [
            ignored(
              'chatTemplate',
              "its templates are Go's, not Jinja: those of known families are written for turns of text; what yours writes of tools is left out",
            ),
          ]
        : []),
    ]
  },
}
