"""What PyPI's gguf and llama.cpp's own quantiser make of the same weights.

pack NAME...             float32 values in base64 on stdin, in rows of 256; for each format a line of packed bytes in base64
read FILE                keys and tensors of a file as JSON
quantize LIB SOURCE...   llama_model_quantize of the libllama in folder LIB; SOURCE is IN OUT TYPE, where TYPE is the number of
                         general.file_type; an importance matrix on stdin as JSON, {tensor: [a number for each column]}, or nothing
"""

import base64
import ctypes
import hashlib
import json
import os
import sys

import numpy as np
from gguf import GGMLQuantizationType, GGUFReader
from gguf.quants import quantize


def pack(formats):
    values = np.frombuffer(base64.b64decode(sys.stdin.read()), np.float32).reshape(-1, 256)
    for name in formats:
        print(base64.b64encode(quantize(values, GGMLQuantizationType[name]).view(np.uint8).tobytes()).decode())


def read(path):
    reader = GGUFReader(path)
    fields = {name: field for name, field in reader.fields.items() if not name.startswith('GGUF.')}
    print(json.dumps({
        'keys': {name: field.contents() for name, field in fields.items()},
        'types': {name: [kind.name for kind in field.types] for name, field in fields.items()},
        'tensors': {
            tensor.name: {
                'type': tensor.tensor_type.name,
                'shape': [int(size) for size in reversed(tensor.shape)],
                'sha256': hashlib.sha256(np.ascontiguousarray(tensor.data).view(np.uint8).tobytes()).hexdigest(),
            }
            for tensor in reader.tensors
        },
    }))


class Importance(ctypes.Structure):
    """llama_model_imatrix_data of llama.h; a list of them ends where name is null."""

    _fields_ = [('name', ctypes.c_char_p), ('data', ctypes.POINTER(ctypes.c_float)), ('size', ctypes.c_size_t)]


class Params(ctypes.Structure):
    """llama_model_quantize_params of llama.h, as llama.cpp v0.4.0 has it."""

    _fields_ = [
        ('nthread', ctypes.c_int32),
        ('ftype', ctypes.c_int32),
        ('output_tensor_type', ctypes.c_int32),
        ('token_embedding_type', ctypes.c_int32),
        *((name, ctypes.c_bool) for name in (
            'allow_requantize', 'quantize_output_tensor', 'only_copy', 'pure', 'keep_split', 'dry_run',
        )),
        ('imatrix', ctypes.POINTER(Importance)),
        *((name, ctypes.c_void_p) for name in ('kv_overrides', 'tt_overrides', 'prune_layers')),
    ]


# What llama_model_quantize_default_params gives: another layout would give something else.
DEFAULTS = {
    'nthread': 0,
    'ftype': 7,
    'allow_requantize': False,
    'quantize_output_tensor': True,
    'only_copy': False,
    'pure': False,
    'keep_split': False,
    'dry_run': False,
    'kv_overrides': None,
    'tt_overrides': None,
    'prune_layers': None,
}


def open_llama(folder):
    def load(stem):
        name = next(name for name in sorted(os.listdir(folder)) if name.startswith(stem) and '.so' in name)
        return ctypes.CDLL(os.path.join(folder, name), mode=ctypes.RTLD_GLOBAL)

    load('libggml-base.')
    ggml = load('libggml.')
    ggml.ggml_backend_load_all_from_path.argtypes = [ctypes.c_char_p]
    ggml.ggml_backend_load_all_from_path(folder.encode())
    llama = load('libllama.')
    llama.llama_backend_init()
    llama.llama_model_quantize_default_params.restype = Params
    llama.llama_model_quantize.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.POINTER(Params)]
    llama.llama_model_quantize.restype = ctypes.c_uint32
    return llama


def quantize_models(folder, *arguments):
    text = sys.stdin.read()
    importance = [
        Importance(name.encode(), (ctypes.c_float * len(values))(*values), len(values))
        for name, values in json.loads(text or '{}').items()
    ]
    llama = open_llama(folder)
    for source, target, file_type in zip(*[iter(arguments)] * 3, strict=True):
        params = llama.llama_model_quantize_default_params()
        found = {name: getattr(params, name) for name in DEFAULTS}
        if found != DEFAULTS or params.imatrix or params.output_tensor_type != params.token_embedding_type:
            sys.exit(f'llama_model_quantize_params has another layout: {found}')
        params.nthread = 1
        params.ftype = int(file_type)
        if importance:
            params.imatrix = (Importance * (len(importance) + 1))(*importance, Importance(None, None, 0))
        result = llama.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(params))
        if result != 0:
            sys.exit(f'llama_model_quantize ended with {result}')


command, *arguments = sys.argv[1:]
{'pack': lambda: pack(arguments), 'read': lambda: read(*arguments), 'quantize': lambda: quantize_models(*arguments)}[command]()
