"""NF4 as bitsandbytes and transformers make it on the CPU, for the cases of generate.py that are quantised.

bitsandbytes 0.50.2 quantises a matrix as one row of blocks, whatever its width, and so do its CUDA kernels and its reference in PyTorch.
Its CPU kernel for dequantising does so only where rows are whole blocks (or odd): elsewhere it takes the scale of a wrong block. Importing
this module puts the reference in the kernel's place.
"""

import bitsandbytes as bnb
import torch
from bitsandbytes.backends.default.ops import _dequantize_4bit_compute
from bitsandbytes.backends.utils import _get_4bit_code
from bitsandbytes.functional import dequantize_4bit
from transformers import AutoConfig, AutoModelForCausalLM, BitsAndBytesConfig
from transformers.pytorch_utils import Conv1D


_library = torch.library.Library("bitsandbytes", "IMPL")


def _dequantize_4bit(packed, absmax, blocksize, quant_type, shape, dtype):
    code = _get_4bit_code(quant_type, packed.device)
    return _dequantize_4bit_compute(packed.view(torch.uint8).reshape(-1), absmax, code, blocksize, shape, dtype)


_library.impl("dequantize_4bit", _dequantize_4bit, "CPU", allow_override=True)


def bnb_config(compute_dtype: torch.dtype = torch.float32, **changes) -> BitsAndBytesConfig:
    """Double quantisation unless `changes` says otherwise; float32 products, so that tolerances can be tight."""
    options = {"bnb_4bit_use_double_quant": True} | changes
    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=compute_dtype, **options
    )


def load_quantized(folder, dtype: torch.dtype, prequantized: bool):
    """The model of a case in NF4: quantised from its weights rounded to dtype, or as the file holds it."""
    options = {} if prequantized else {"quantization_config": bnb_config(dtype)}
    model = AutoModelForCausalLM.from_pretrained(
        folder, dtype=dtype, attn_implementation="eager", device_map="cpu", **options
    )
    for parameter in model.parameters():  # transformers leaves some norms of a quantised file in float32
        if parameter.is_floating_point() and not isinstance(parameter, bnb.nn.Params4bit):
            parameter.data = parameter.data.to(dtype)
    return model


def quantized_linears(model) -> dict[str, bnb.nn.Linear4bit]:
    return {name: module for name, module in model.named_modules() if isinstance(module, bnb.nn.Linear4bit)}


@torch.no_grad()
def dequantized(folder, quantized):
    """A dense float32 model with the values that the quantised one computes with: PyTorch can run it in float64."""
    config = AutoConfig.from_pretrained(folder)
    if hasattr(config, "quantization_config"):
        del config.quantization_config
    dense = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="eager")
    linears = quantized_linears(quantized)
    state = {}
    for name, value in quantized.state_dict().items():
        module = linears.get(name.removesuffix(".weight"))
        if module is not None:
            value = dequantize_4bit(module.weight.data, module.weight.quant_state).float()
            if isinstance(dense.get_submodule(name.removesuffix(".weight")), Conv1D):
                value = value.t()
        if name in dense.state_dict():
            state[name] = value
    dense.load_state_dict(state)
    return dense


def state_tensors(model) -> dict[str, torch.Tensor]:
    """What a quantised weight is made of, under `nf4.<name of the weight>.`, and the two tables once."""
    tensors = {}
    for name, module in quantized_linears(model).items():
        weight, state = module.weight, module.weight.quant_state
        prefix = f"nf4.{name}.weight."
        tensors |= {
            f"{prefix}packed": weight.data.flatten(),
            f"{prefix}absmax": state.absmax,
            f"{prefix}nested_absmax": state.state2.absmax,
            f"{prefix}offset": state.offset.reshape(1),
        }
        tensors |= {"nf4.code": state.code, "nf4.nested_code": state.state2.code}
    return {name: value.clone() for name, value in tensors.items()}
