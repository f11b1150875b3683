"""The table of golden cases: what each model looks like, what is trained and on which batch. generate.py makes the files.

Sizes are odd on purpose (widths that no vector length divides), and every case keeps one thing in focus.
"""

from dataclasses import dataclass, field



def adamw(eps: float) -> dict:
    """Among thousands of trained values some gradient is always next to zero, where AdamW turns its rounding error into a visible
    step. Cases that train whole matrices therefore take a larger eps than 1e-8."""
    return {"lr": 1e-3, "betas": [0.9, 0.999], "eps": eps, "weight_decay": 0.01}


@dataclass(frozen=True)
class Batch:
    """Random token rows. `prompts` counts the leading tokens of each row that carry no label."""

    lengths: tuple[int, ...]
    padding: str = "right"
    prompts: tuple[int, ...] | None = None
    weighted: bool = False  # a weight for each label, multiples of 1/8 from 0 to 2


@dataclass(frozen=True)
class Case:
    name: str
    focus: str
    config: dict  # arguments of the model type's config class
    lora: dict | None = None  # arguments of LoraConfig; None: every parameter is trained
    second: dict | None = None  # those of another adapter, loaded beside the first and switched to
    batches: tuple[Batch, ...] = (Batch((13, 13)),)  # more than one: micro batches of one accumulation window
    legacy: bool = False  # also write config.legacy.json, spelled as before transformers 5
    legacy_rope_key: str = "rope_type"  # "type" before transformers 4.43
    file_dtype: str = "float32"
    nf4: bool = False  # quantised when it is loaded
    prequantized: dict | None = None  # the file is quantised; changes to nf4.bnb_config
    shards: int = 1
    published_names: bool = False  # tensors named and repeated as in well-known checkpoints, see published_tensors()
    optimizer: dict = field(default_factory=lambda: adamw(eps=1e-8))


LLAMA_LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]


def llama(**changes) -> dict:
    base = {
        "model_type": "llama",
        "vocab_size": 131,
        "hidden_size": 48,
        "intermediate_size": 100,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 4,
        "max_position_embeddings": 128,
        "rms_norm_eps": 1e-5,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0},
        "tie_word_embeddings": True,
    }
    return base | changes


def small_llama(**changes) -> dict:
    """Three query heads over one key/value head and an odd feed-forward width; for cases whose focus is not the model."""
    small = {
        "vocab_size": 97,
        "hidden_size": 30,
        "intermediate_size": 57,
        "num_attention_heads": 3,
        "num_key_value_heads": 1,
        "tie_word_embeddings": False,
    }
    return llama(**(small | changes))


def qwen2(**changes) -> dict:
    """Like a small llama, with the biases on q, k and v that the model always has."""
    own_fields = {"model_type": "qwen2", "max_window_layers": 28, "use_sliding_window": False, "sliding_window": 4096}
    return small_llama(**(own_fields | changes))


def tiny(**changes) -> dict:
    """A small llama with fewer words and a narrower feed-forward part; for cases whose focus is attention."""
    return small_llama(**({"vocab_size": 61, "intermediate_size": 33} | changes))


def mistral(**changes) -> dict:
    return tiny(**({"model_type": "mistral", "sliding_window": None} | changes))


def qwen3(**changes) -> dict:
    own_fields = {"model_type": "qwen3", "head_dim": 14, "max_window_layers": 28, "use_sliding_window": False, "sliding_window": None}
    return tiny(**(own_fields | changes))


def gpt2(**changes) -> dict:
    base = {
        "model_type": "gpt2",
        "vocab_size": 101,
        "n_positions": 40,
        "n_embd": 36,
        "n_inner": None,
        "n_layer": 2,
        "n_head": 3,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    return base | changes


# For cases about adapters alone.
TINY = {"vocab_size": 61, "hidden_size": 18, "intermediate_size": 33}
TINY_GPT2 = {"vocab_size": 61, "n_embd": 18, "n_positions": 28}


def lora(**changes) -> dict:
    return {"r": 4, "lora_alpha": 8, "target_modules": LLAMA_LINEAR} | changes


CASES = [
    Case("llama-plain", "multi-head attention, tied head, adapters on all linear layers", llama(), lora(r=5, lora_alpha=10), legacy=True),
    Case(
        "llama-gqa-untied",
        "grouped-query attention, three query heads per key/value head, untied head, another rope_theta",
        llama(
            num_attention_heads=6,
            num_key_value_heads=2,
            tie_word_embeddings=False,
            rope_parameters={"rope_type": "default", "rope_theta": 500000.0},
        ),
        lora(),
        legacy=True,
    ),
    Case(
        "llama-biases",
        "attention_bias and mlp_bias",
        llama(attention_bias=True, mlp_bias=True, num_key_value_heads=2),
        lora(),
        batches=(Batch((13, 11)),),
    ),
    Case(
        "llama-head-dim",
        "head_dim given, so that heads * head_dim is not hidden_size",
        llama(hidden_size=36, intermediate_size=75, head_dim=20, num_attention_heads=3, num_key_value_heads=1),
        lora(r=3, lora_alpha=7),
        legacy=True,
    ),
    Case(
        "llama-rope-llama3",
        "rope scaling llama3 with frequencies in all three bands and rows longer than the original context",
        llama(
            hidden_size=32,
            intermediate_size=75,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=256,
            rope_parameters={
                "rope_type": "llama3",
                "rope_theta": 10000.0,
                "factor": 8.0,
                "low_freq_factor": 1.0,
                "high_freq_factor": 4.0,
                "original_max_position_embeddings": 32,
            },
        ),
        lora(),
        batches=(Batch((71, 60)),),
        legacy=True,
    ),
    Case(
        "llama-rope-linear",
        "rope scaling linear; the old config spells the kind `type`",
        llama(
            hidden_size=36,
            intermediate_size=75,
            num_attention_heads=3,
            num_key_value_heads=3,
            rope_parameters={"rope_type": "linear", "rope_theta": 10000.0, "factor": 2.5},
        ),
        lora(),
        batches=(Batch((37, 29)),),
        legacy=True,
        legacy_rope_key="type",
    ),
    Case(
        "llama-rope-yarn",
        "rope scaling yarn with dimensions kept, slowed down and between, and rows longer than the original context",
        tiny(
            head_dim=16,
            rope_parameters={"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 32},
        ),
        lora(target_modules=["q_proj", "k_proj"]),
        batches=(Batch((45, 39)),),
        legacy=True,
        legacy_rope_key="type",
    ),
    Case(
        "llama-rope-yarn-mscale",
        "rope scaling yarn with mscale, its own betas and bounds that are not whole dimensions",
        tiny(
            head_dim=16,
            rope_parameters={
                "rope_type": "yarn",
                "rope_theta": 5000.0,
                "factor": 6.0,
                "original_max_position_embeddings": 20,
                "beta_fast": 4.0,
                "beta_slow": 0.5,
                "mscale": 1.4,
                "mscale_all_dim": 0.6,
                "truncate": False,
            },
        ),
        lora(target_modules=["k_proj", "o_proj"]),
        batches=(Batch((29, 37)),),
        legacy=True,
    ),
    Case(
        "llama-rope-dynamic",
        "rope scaling dynamic, rows and an answer that go beyond the original maximum",
        tiny(max_position_embeddings=9, rope_parameters={"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 5.0}),
        lora(target_modules=["q_proj", "k_proj"]),
        batches=(Batch((37, 29)),),
        legacy=True,
        legacy_rope_key="type",
    ),
    Case(
        "llama-rope-dynamic-mixed",
        "rope scaling dynamic, micro batches within the original maximum and beyond it, an answer within",
        tiny(max_position_embeddings=27, rope_parameters={"rope_type": "dynamic", "rope_theta": 500.0, "factor": 2.5}),
        lora(target_modules=["q_proj", "v_proj"]),
        batches=(Batch((9, 26)), Batch((33,), prompts=(12,)), Batch((11, 7))),
    ),
    Case("llama-right-padding", "rows of different lengths, padded on the right", small_llama(), lora(), batches=(Batch((17, 5, 11)),)),
    Case("llama-left-padding", "the same, padded on the left", small_llama(), lora(), batches=(Batch((17, 5, 11), padding="left"),)),
    Case(
        "llama-masked-prompts",
        "prompts without labels, one row without any label",
        small_llama(),
        lora(),
        batches=(Batch((19, 12, 15), prompts=(7, 12, 3)),),
    ),
    Case("llama-rslora", "scale alpha / sqrt(r)", small_llama(), lora(r=7, lora_alpha=9, use_rslora=True)),
    Case(
        "llama-save-head",
        "modules_to_save: an untied lm_head is trained whole beside the adapters",
        small_llama(),
        lora(target_modules=["q_proj", "v_proj"], modules_to_save=["lm_head"]),
        optimizer=adamw(eps=1e-6),
    ),
    Case(
        "llama-save-embeddings",
        "modules_to_save: the embedding and the untied head",
        small_llama(),
        lora(target_modules=["down_proj"], modules_to_save=["embed_tokens", "lm_head"]),
        optimizer=adamw(eps=1e-6),
    ),
    Case(
        "llama-save-norms",
        "modules_to_save: every module whose path ends in norm is trained whole beside the adapters",
        small_llama(),
        lora(target_modules=["q_proj"], modules_to_save=["norm"]),
        optimizer=adamw(eps=1e-6),
    ),
    Case(
        "llama-save-mlp",
        "modules_to_save: a module that holds others, and a norm named in full",
        tiny(),
        lora(target_modules=["v_proj"], modules_to_save=["layers.1.mlp", "model.norm"]),
        optimizer=adamw(eps=1e-6),
    ),
    Case(
        "llama-regex",
        "target_modules as a regular expression that must match the whole module path",
        small_llama(),
        lora(target_modules=r".*\.layers\.1\.(self_attn\.[qv]_proj|mlp\.down_proj)"),
    ),
    Case("llama-all-linear", "target_modules all-linear leaves out the head", small_llama(), lora(target_modules="all-linear")),
    Case("llama-sharded", "three weight files and model.safetensors.index.json", small_llama(), lora(), shards=3),
    Case("llama-bf16-file", "weights stored as bfloat16", small_llama(), lora(), file_dtype="bfloat16", legacy=True),
    Case("llama-f16-file", "weights stored as float16", small_llama(), lora(), file_dtype="float16", legacy=True),
    Case(
        "llama-published-names",
        "a file that also holds rotary frequencies per layer and the tied head, as older checkpoints do",
        small_llama(tie_word_embeddings=True),
        lora(target_modules=["q_proj", "k_proj"]),
        published_names=True,
    ),
    Case(
        "llama-weights",
        "a weight for each label, over a window of two micro batches, with a head that is trained as a whole",
        small_llama(),
        lora(modules_to_save=["lm_head"]),
        batches=(Batch((17, 5, 11), prompts=(3, 1, 6), weighted=True), Batch((9, 13), weighted=True)),
        optimizer=adamw(eps=1e-5),
    ),
    Case(
        "llama-accumulation",
        "four micro batches with different numbers of supervised tokens; the gradient divides by the sum over the window",
        small_llama(),
        lora(),
        batches=(Batch((9, 6)), Batch((17,), prompts=(14,)), Batch((4, 11, 8), prompts=(1, 5, 0)), Batch((12, 12))),
    ),
    Case(
        "llama-full",
        "method full: every parameter, tied head, biases",
        small_llama(num_key_value_heads=3, attention_bias=True, mlp_bias=True, tie_word_embeddings=True),
        batches=(Batch((13, 8)),),
        optimizer=adamw(eps=1e-5),
    ),
    Case(
        "qwen2-plain",
        "biases on q, k and v alone, grouped-query attention, tied head, a window that is not used",
        qwen2(num_attention_heads=6, num_key_value_heads=2, hidden_size=48, tie_word_embeddings=True, sliding_window=3),
        lora(),
        legacy=True,
    ),
    Case(
        "qwen2-window",
        "the last of three layers sees five keys, by max_window_layers; untied head",
        qwen2(num_hidden_layers=3, use_sliding_window=True, sliding_window=5, max_window_layers=2),
        lora(),
        batches=(Batch((23, 20)),),  # a padding position that sees no token at all is NaN in float64
        legacy=True,
    ),
    Case(
        "qwen2-layer-types",
        "the first of two layers sees four keys, by layer_types; padded on the left",
        qwen2(use_sliding_window=True, sliding_window=4, layer_types=["sliding_attention", "full_attention"]),
        lora(target_modules=["q_proj", "o_proj", "down_proj"]),
        batches=(Batch((17, 5, 11), padding="left"),),
    ),
    Case(
        "mistral-window",
        "all layers see five keys; head_dim from the width",
        mistral(sliding_window=5),
        lora(target_modules=["q_proj", "v_proj", "down_proj"]),
        batches=(Batch((23, 20)),),
        legacy=True,
    ),
    Case(
        "mistral-head-dim",
        "no window, head_dim given so that heads * head_dim is not hidden_size; padded on the left",
        mistral(head_dim=14, num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True),
        lora(target_modules=["k_proj", "o_proj", "gate_proj"]),
        batches=(Batch((17, 5, 11), padding="left"),),
        legacy=True,
    ),
    Case(
        "qwen3-plain",
        "norms on the heads of q and k, head_dim that the width does not make, tied head, adapters on all linear layers",
        qwen3(num_attention_heads=4, num_key_value_heads=2, tie_word_embeddings=True),
        lora(r=3, lora_alpha=7),
        batches=(Batch((13, 9)),),
        legacy=True,
    ),
    Case(
        "qwen3-save-norms",
        "modules_to_save: the norms on the heads of q and k",
        qwen3(num_attention_heads=4, num_key_value_heads=2),
        lora(target_modules=["o_proj"], modules_to_save=["q_norm", "k_norm"]),
        optimizer=adamw(eps=1e-5),
    ),
    Case(
        "qwen3-window",
        "attention_bias, and the second of two layers sees five keys, by layer_types",
        qwen3(attention_bias=True, use_sliding_window=True, sliding_window=5, layer_types=["full_attention", "sliding_attention"]),
        lora(target_modules=["q_proj", "k_proj", "v_proj"]),
        batches=(Batch((19, 16)),),
    ),
    Case(
        "qwen3-full",
        "method full: every parameter, the norms of heads among them",
        qwen3(attention_bias=True, num_key_value_heads=3, tie_word_embeddings=True),
        batches=(Batch((13, 8)),),
        optimizer=adamw(eps=1e-5),
    ),
    Case(
        "gpt2-plain",
        "Conv1D weights stored [in, out], learned positions, tied head",
        gpt2(),
        lora(target_modules=["c_attn", "c_proj", "c_fc"], fan_in_fan_out=True),
    ),
    Case(
        "gpt2-save-norms",
        "modules_to_save: LayerNorms with their biases, beside a head that is not tied",
        gpt2(n_embd=30, n_inner=44, tie_word_embeddings=False),
        lora(target_modules=["c_attn"], modules_to_save=["ln_f", "ln_1"], fan_in_fan_out=True),
        optimizer=adamw(eps=1e-6),
    ),
    Case(
        "gpt2-padding",
        "right padding, masked prompts and a given n_inner",
        gpt2(n_embd=30, n_inner=77),
        lora(r=3, lora_alpha=5, target_modules=["c_attn", "c_fc"], fan_in_fan_out=True),
        batches=(Batch((23, 6, 14), prompts=(4, 0, 9)),),
    ),
    Case(
        "gpt2-published-names",
        "tensor names without the `transformer.` prefix, and causal masks stored as weights, as in the published GPT-2",
        gpt2(n_embd=30),
        lora(target_modules=["c_attn"], fan_in_fan_out=True),
        published_names=True,
    ),
    Case(
        "gpt2-full",
        "method full: every parameter, the key biases among them, whose true gradient is zero",
        gpt2(n_embd=30),
        batches=(Batch((13, 8)),),
        optimizer=adamw(eps=1e-5),
    ),
    Case(
        "llama-patterns",
        "ranks and alphas by name and by expression, of which the first hit counts; modules excluded by name",
        small_llama(**TINY),
        lora(
            target_modules=LLAMA_LINEAR,
            exclude_modules=["o_proj", "layers.1.mlp.gate_proj"],
            rank_pattern={r"layers\.0\..*": 2, "q_proj": 7},
            alpha_pattern={r".*\.mlp\.(up|down)_proj": 3, "k_proj": 5},
        ),
    ),
    Case(
        "llama-layers",
        "two of three layers, modules excluded by an expression, A from a normal distribution, rsLoRA with a rank of its own",
        small_llama(num_hidden_layers=3, **TINY),
        lora(
            target_modules=["q_proj", "v_proj", "model.layers.1.mlp.down_proj"],
            layers_to_transform=[0, 2],
            layers_pattern="layers",
            exclude_modules=r".*\.2\.self_attn\.v_proj",
            rank_pattern={"v_proj": 6},
            init_lora_weights="gaussian",
            use_rslora=True,
        ),
    ),
    Case(
        "llama-two-adapters",
        "another adapter is loaded and switched to: other modules, another rank, a head of its own",
        small_llama(**TINY),
        lora(target_modules=["q_proj", "v_proj"]),
        second=lora(r=3, lora_alpha=5, target_modules=["v_proj", "down_proj"], modules_to_save=["lm_head"]),
    ),
    Case(
        "qwen2-bias-all",
        "bias all: the biases of q, k and v, with and without an adapter on the module",
        qwen2(**TINY),
        lora(target_modules=["q_proj", "o_proj"], rank_pattern={"o_proj": 2}, bias="all"),
    ),
    Case(
        "qwen2-bias-lora-only",
        "bias lora_only: the biases of modules with an adapter, in one layer",
        qwen2(**TINY),
        lora(target_modules=["q_proj", "k_proj", "down_proj"], layers_to_transform=1, bias="lora_only"),
    ),
    Case(
        "gpt2-bias-all",
        "bias all: those of projections and norms",
        gpt2(**TINY_GPT2),
        lora(target_modules=["c_attn"], fan_in_fan_out=True, bias="all"),
        optimizer=adamw(eps=1e-4),
    ),
    Case(
        "gpt2-bias-lora-only",
        "bias lora_only, in the layers that layers_pattern counts",
        gpt2(**TINY_GPT2),
        lora(
            target_modules=["c_attn", "c_proj"],
            exclude_modules=["attn.c_proj"],
            layers_to_transform=[1],
            layers_pattern=["h"],
            fan_in_fan_out=True,
            bias="lora_only",
        ),
        optimizer=adamw(eps=1e-5),
    ),
    Case(
        "llama-nf4",
        "NF4 of rows that blocks of 64 do not divide, one matrix with two blocks of nested scales",
        llama(vocab_size=97, hidden_size=80, intermediate_size=216, num_attention_heads=5, num_key_value_heads=1, num_hidden_layers=1),
        lora(target_modules="all-linear"),
        batches=(Batch((15, 12)),),
        file_dtype="bfloat16",
        nf4=True,
    ),
    Case(
        "llama-nf4-aligned",
        "NF4 of rows that are whole blocks, biases, an untied head, two of the projections without adapters",
        small_llama(hidden_size=64, intermediate_size=128, num_attention_heads=4, num_key_value_heads=2, attention_bias=True),
        lora(target_modules=["q_proj", "v_proj", "o_proj", "gate_proj", "down_proj"]),
        nf4=True,
    ),
    Case(
        "gpt2-nf4",
        "NF4 of Conv1D weights, transposed first as transformers does",
        gpt2(n_embd=48, n_inner=120),
        lora(target_modules=["c_attn", "c_proj", "c_fc"], fan_in_fan_out=True),
        batches=(Batch((14, 9)),),
        nf4=True,
    ),
    Case(
        "llama-nf4-file",
        "a file that holds NF4 weights with nested scales",
        small_llama(hidden_size=48),
        lora(target_modules="all-linear"),
        nf4=True,
        prequantized={},
    ),
    Case(
        "llama-nf4-file-plain",
        "a file that holds NF4 weights with plain scales, stored as bfloat16, and leaves out some projections",
        small_llama(intermediate_size=60, tie_word_embeddings=True),
        lora(target_modules="all-linear"),
        nf4=True,
        prequantized={
            "bnb_4bit_use_double_quant": False,
            "bnb_4bit_quant_storage": "bfloat16",
            "llm_int8_skip_modules": ["lm_head", "model.layers.0.mlp", "v_proj"],
        },
    ),
    Case(
        "gpt2-nf4-file",
        "a file that holds NF4 weights of Conv1D projections",
        gpt2(n_embd=30, n_inner=77),
        lora(target_modules=["c_attn", "c_fc"], fan_in_fan_out=True),
        nf4=True,
        prequantized={},
    ),
]
