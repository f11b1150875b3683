"""What sacrebleu, rouge_score, NLTK, the rules of SQuAD and json make of texts, for test/metrics/golden.test.ts.

    .venv/bin/python test/golden/text_metrics.py             writes text-metrics/*.json
    .venv/bin/python test/golden/text_metrics.py SEED COUNT  prints as many fresh cases of each metric

The second form is for test/peers/text-metrics.test.ts, whose requirements.txt has the versions.
"""

import json
import logging
import pathlib
import random
import re
import string
import sys
import unicodedata
from collections import Counter

from nltk.stem.porter import PorterStemmer
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

logging.getLogger("sacrebleu").setLevel(logging.ERROR)

SENTENCES = [
    "The quick brown fox jumps over the lazy dog.",
    "The quick brown dog jumps on the log.",
    "police killed the gunman",
    "He said: \"It's a well-known fact\", and left -- without a word...",
    "In 2019 the company sold 1,234,567.89 units (up 5.4%) for $3.50 each.",
    "Rock-n-roll isn't dead; it's 5-4 in the 3-1/2 game.",
    "Visit https://example.org/a_b?c=d&e=f#g or mail a.b@c.de!",
    "if (a[i] != b[j]) { return x^2 + y~z; } // 100% `code` | pipe \\ back",
    "&quot;Tom &amp; Jerry&quot; &lt;b&gt;bold&lt;/b&gt; &amp;lt; &apos; &#39;",
    "<skipped> this was - \nhyphen-\nated <skipped>text",
    "A relational database generalizes conditional operators, possibly happily flying skies.",
    "The dying men were lying about the news of the innings; geologically feudalism was adjustable.",
    "Le garçon a mangé une pomme à l'école, où était-il né ?",
    "Die Straße führt über Österreich; STRASSE, GROẞ und Äpfel.",
    "ΟΔΥΣΣΕΥΣ και ΣΊΣΥΦΟΣ, ΑΣ. Σ",
    "İstanbul'da IĞDIR ılık Şişli",
    "Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "العَرَبِيَّةُ لُغَةٌ جَمِيلَةٌ، أليس كذلك؟ ١٬٢٣٤٫٥٦",
    "हिन्दी में यह एक वाक्य है। क्या आप १२३ समझते हैं?",
    "我们在北京大学学习，今天是2024年1月3日。价格：￥1,000.50！",
    "日本語のテキスト、ラーメンを食べます。「はい」と言った。",
    "ภาษาไทยไม่มีช่องว่างระหว่างคำ",
    "한국어 문장입니다. 안녕하세요?",
    "עברית היא שפה: \"שלום\" ־ מה",
    "👩‍👩‍👧‍👦 family 🇩🇪 flag 👍🏽 ok ☃️ ❤",
    "cafe\u0301 re\u0301sume\u0301 vs café résumé; a\u0300\u0301\u0302",
    "𠀀𠀁 𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟙𝟚𝟛, 𐐀𐐨",
    "Ⅳ ½ ² ③ ٣ ৪, x₂ = ∑ ∞ ≠ € £ ¥ © ™ § ¶",
    "“curly” ‘quotes’ – dash — long… ‹x› «y» ¿qué? ¡ya!",
    "ＦＵＬＬ　ｗｉｄｔｈ，ｔｅｘｔ。１２３",
    "a\u00a0b\u2003c\u3000d\u200be\ufefff\u180eg\u2028h\u0085i\x1cj\x1dk\x0bl\x0cm\tn\ro",
    "line one\nline two\n\nline four\r\nline five\n",
    "word", "a", ".", "...", " ", "", "the", "The.", "42", "3.14", "1,000", ".5", "5.", "no", "yes",
]
SPACES = [" "] * 40 + ["  ", "\n", "\t", "\u00a0", "\u3000", "\r\n", "\u2003", "\x1f", "\u0085", "\u200b", "\ufeff", ""]
PUNCTUATION = list("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") + ["。", "，", "…", "–", "“", "”", "؟", "।", "€", "\u0301", "&amp;", "-\n"]
ASSIGNED = [c for c in map(chr, range(1, 0x110000)) if unicodedata.category(c) not in ("Cn", "Co", "Cs")]
ENGLISH = """a an the of to in and is are was cat dog house run runs running runner quickly happy happiness national nationality
relate relational conditional rational valency hesitancy digitizer conformably radically differently vilely analogously
vietnamization predication operator feudalism decisiveness hopefulness callousness formality sensitivity sensibility triplicate
formative formalize electricity electrical hopeful goodness revival allowance inference airliner gyroscopic adjustable defensible
irritant replacement adjustment dependent adoption homologous communism activate angularity effective bowdlerize probate rate
cease controlling rolled falling hissed fizzed failing filing plastered motoring sing feed agreed caresses ponies ties cats died
flies skies dying news proceed exceed spied enjoy enjoyment say by syzygy toy yyy 2nd 3rd 1990s geology theology biologically
""".split()


def words(rng):
    """A short text: of one script or several, with some of what is awkward."""
    kind = rng.random()
    if kind < 0.15:
        return [rng.choice(ENGLISH) for _ in range(rng.randint(1, 25))]
    if kind < 0.25:
        return ["".join(rng.choice(ASSIGNED) for _ in range(rng.randint(1, 4))) for _ in range(rng.randint(1, 12))]
    if kind < 0.4:
        pool = "ab1., -'" + rng.choice(["é", "中", "अ", "ب", "𝟙", "½", "€", "。", "\u0301", "\n"])
        return ["".join(rng.choice(pool) for _ in range(rng.randint(1, 5))) for _ in range(rng.randint(1, 12))]
    parts = []
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        parts += rng.choice(SENTENCES).split(" ")
    return parts


def change(rng, parts):
    """A text that shares something with another."""
    parts = list(parts)
    for _ in range(rng.choice([0, 0, 1, 1, 2, 4, 8])):
        where = rng.randrange(len(parts) + 1)
        kind = rng.randrange(7)
        if kind == 0 or not parts:
            parts.insert(where, rng.choice(rng.choice(SENTENCES).split(" ")))
        elif kind == 1:
            parts.pop(where - 1)
        elif kind == 2:
            parts[where - 1] = parts[where - 1].upper()
        elif kind == 3:
            parts[where - 1] += rng.choice(PUNCTUATION)
        elif kind == 4:
            parts.insert(where, parts[where - 1])
        elif kind == 5:
            parts[where - 1] = rng.choice(PUNCTUATION) + parts[where - 1][1:]
        else:
            rng.shuffle(parts)
    return parts


def join(rng, parts):
    plain = rng.random() < 0.6
    text = "".join(part + (" " if plain else rng.choice(SPACES)) for part in parts)
    return text.removesuffix(" ") if rng.random() < 0.8 else rng.choice(SPACES) + text


def row(rng):
    base = words(rng)
    references = [join(rng, change(rng, base)) for _ in range(rng.choice([1, 1, 1, 2, 3]))]
    prediction = rng.choice(references) if rng.random() < 0.1 else join(rng, change(rng, base))
    if rng.random() < 0.05:
        prediction = ""
    if rng.random() < 0.05:
        references[rng.randrange(len(references))] = ""
    return prediction, references


def long_row(rng):
    base = [rng.choice(ENGLISH) for _ in range(700)]
    return join(rng, change(rng, base)), [join(rng, change(rng, change(rng, base)))]


def streams(references):
    most = max(map(len, references))
    return [[refs[i] if i < len(refs) else None for refs in references] for i in range(most)]


def bleu_options(rng):
    options = {}
    if rng.random() < 0.7:
        options["tokenize"] = rng.choice(["13a", "13a", "intl", "intl", "zh", "char", "none"])
    if rng.random() < 0.6:
        options["smoothMethod"] = rng.choice(["exp", "floor", "add-k", "none"])
        if options["smoothMethod"] in ("floor", "add-k") and rng.random() < 0.5:
            options["smoothValue"] = rng.choice([0, 0.01, 0.5, 1, 2])
    if rng.random() < 0.2:
        options["lowercase"] = True
    if rng.random() < 0.2:
        options["maxNgramOrder"] = rng.randint(1, 7)
    if rng.random() < 0.2:
        options["effectiveOrder"] = rng.random() < 0.5
    return options


def bleu(options, rows, effective_order):
    metric = BLEU(
        tokenize=options.get("tokenize", "13a"),
        smooth_method=options.get("smoothMethod", "exp"),
        smooth_value=options.get("smoothValue"),
        lowercase=options.get("lowercase", False),
        max_ngram_order=options.get("maxNgramOrder", 4),
        effective_order=options.get("effectiveOrder", effective_order),
        force=True,
    )
    score = metric.corpus_score([prediction for prediction, _ in rows], streams([references for _, references in rows]))
    return {
        "score": score.score,
        "counts": score.counts,
        "totals": score.totals,
        "precisions": score.precisions,
        "bp": score.bp,
        "sysLen": score.sys_len,
        "refLen": score.ref_len,
    }


def corpus_bleu(rng, rows):
    options = bleu_options(rng)
    return options, bleu(options, rows, False)


def sentence_bleu(rng, rows):
    del rows[1:]
    options = bleu_options(rng)
    return options, bleu(options, rows, True)


def chrf(rng, rows, word_order=0):
    options = {}
    if word_order:
        options["wordOrder"] = rng.choice([word_order] * 8 + [1, 3])
    if rng.random() < 0.2:
        options["charOrder"] = rng.randint(1, 8)
    if rng.random() < 0.2:
        options["beta"] = rng.choice([1, 3, 0.5])
    for name in ("lowercase", "whitespace", "epsSmoothing"):
        if rng.random() < 0.25:
            options[name] = True
    metric = CHRF(
        char_order=options.get("charOrder", 6),
        word_order=options.get("wordOrder", 0),
        beta=options.get("beta", 2),
        lowercase=options.get("lowercase", False),
        whitespace=options.get("whitespace", False),
        eps_smoothing=options.get("epsSmoothing", False),
    )
    predictions = [prediction for prediction, _ in rows]
    return options, metric.corpus_score(predictions, streams([references for _, references in rows])).score


def chrf_plus_plus(rng, rows):
    return chrf(rng, rows, 2)


def rouge(rng, rows):
    del rows[1:]
    options = {"useStemmer": True} if rng.random() < 0.5 else {}
    types = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
    if rng.random() < 0.2:
        types.append(rng.choice(["rouge3", "rouge4", "rouge9"]))
        options["rougeTypes"] = types
    prediction, references = rows[0]
    scores = RougeScorer(types, use_stemmer="useStemmer" in options).score_multi(references, prediction)
    return options, {name: {part: float(value) for part, value in score._asdict().items()} for name, score in scores.items()}


def squad_words(text):
    """The words that SQuAD's evaluation compares."""
    bare = "".join(character for character in text.lower() if character not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", bare).split()


def gold(references, version):
    """The references as an edition of SQuAD's evaluation takes them."""
    if version == "1.1":
        return references
    return [reference for reference in references if squad_words(reference)] or [""]


def exact_match(rng, rows):
    if rng.random() < 0.3:
        return {}, sum(prediction in references for prediction, references in rows) / len(rows)
    version = rng.choice(["2.0", "1.1"])
    scores = [
        max(squad_words(reference) == squad_words(prediction) for reference in gold(references, version))
        for prediction, references in rows
    ]
    return {"normalize": "squad", "squadVersion": version}, sum(scores) / len(rows)


def f1(rng, rows):
    version = rng.choice(["2.0", "1.1"])
    scores = [
        max(squad_f1(reference, prediction, version) for reference in gold(references, version))
        for prediction, references in rows
    ]
    return {"squadVersion": version}, sum(scores) / len(rows)


def squad_f1(reference, prediction, version):
    expected, given = squad_words(reference), squad_words(prediction)
    if version == "2.0" and not (expected and given):
        return int(expected == given)
    shared = sum((Counter(expected) & Counter(given)).values())
    if shared == 0:
        return 0
    precision, recall = shared / len(given), shared / len(expected)
    return 2 * precision * recall / (precision + recall)


def json_validity(rng, rows):
    for index in range(len(rows)):
        rows[index] = (json_text(rng), [])
    required = rng.choice([[], [], ["a"], ["a", "é"]])

    def refuse(constant):
        raise ValueError(constant)

    def is_valid(text):
        try:
            value = json.loads(text, parse_constant=refuse)
        except ValueError:
            return False
        return not required or (isinstance(value, dict) and all(key in value for key in required))

    share = sum(is_valid(prediction) for prediction, _ in rows) / len(rows)
    return {"requiredKeys": required} if required else {}, share


def json_text(rng):
    def value(depth):
        kind = rng.randrange(8 if depth < 3 else 5)
        if kind == 0:
            return rng.choice([None, True, False])
        if kind == 1:
            return rng.choice([0, -1, 1.5, 1e300, -2.5e-7, 12345678901234567890])
        if kind < 5:
            return rng.choice(SENTENCES)
        if kind == 5:
            return [value(depth + 1) for _ in range(rng.randrange(4))]
        return {key: value(depth + 1) for key in rng.sample(["a", "b", "é", "", "__proto__"], rng.randrange(4))}

    text = json.dumps(value(0), ensure_ascii=rng.random() < 0.5, indent=rng.choice([None, 1]))
    if rng.random() < 0.5:
        where = rng.randrange(len(text) + 1)
        text = text[:where] + rng.choice([",", "}", '"', "\n", "\t", " ", "\u00a0", "\ufeff", "0", "NaN", "//", "'", "\\", "\x01", "-", "+", ".", "e", "\u0663"]) + text[where:]
    elif rng.random() < 0.2:
        text = rng.choice(["NaN", "Infinity", "-Infinity", "", " ", "\ufeff{}", "{'a': 1}", "[1,]", "01", "1.", ".5", "-", "1e5", "1E+05", '"\\x"', '"\\ud800"', "```json\n{}\n```", "null null", "tru", "True", "\u00a0{}", '{"a": 1, "a": 2}'])
    return text


METRICS = {
    "bleu": corpus_bleu,
    "sentence-bleu": sentence_bleu,
    "chrf": chrf,
    "chrf-plus-plus": chrf_plus_plus,
    "rouge": rouge,
    "exact-match": exact_match,
    "f1": f1,
    "json-validity": json_validity,
}


def cases(name, seed, count, most_rows):
    """Cases of one metric: texts, options, and what the library makes of them."""
    rng = random.Random(f"{name} {seed}")
    made = []
    for number in range(count):
        if number < 2 and name != "json-validity":
            rows = [long_row(rng)]
        elif number < 2 + len(SENTENCES):
            # Every text once beside one that is nearly the same.
            text = SENTENCES[number - 2]
            rows = [(text, [join(rng, change(rng, text.split(" ")))])]
        else:
            rows = [row(rng) for _ in range(rng.randint(1, most_rows))]
        options, result = METRICS[name](rng, rows)
        made.append(
            {
                "options": options,
                "predictions": [prediction for prediction, _ in rows],
                "references": [references for _, references in rows],
                "result": result,
            }
        )
    return made


def stems(rng, count):
    """Words and their stems: English words with endings of all kinds, and runs of letters."""
    endings = "s es ies ed eed ing ly y e ational tional enci anci izer bli alli entli eli ousli ization ation ator alism iveness fulness ousness aliti iviti biliti fulli logi icate ative alize iciti ical ful ness al ance ence er ic able ible ant ement ment ent ion ou ism ate iti ous ive ize ll ied sses".split()
    stemmer = PorterStemmer()
    made = dict.fromkeys(ENGLISH)
    while len(made) < count:
        word = rng.choice(ENGLISH) if rng.random() < 0.5 else "".join(rng.choice("aeiouybcdlstz1") for _ in range(rng.randint(1, 6)))
        made[word + rng.choice(endings) + (rng.choice(endings) if rng.random() < 0.2 else "")] = None
    return {word: stemmer.stem(word) for word in made}


def main():
    if len(sys.argv) == 3:
        seed, count = sys.argv[1], int(sys.argv[2])
        everything = {name: cases(name, seed, count, 5) for name in METRICS}
        json.dump({**everything, "stems": stems(random.Random(f"stems {seed}"), 20 * count)}, sys.stdout)
        return
    folder = pathlib.Path(__file__).parent / "text-metrics"
    folder.mkdir(exist_ok=True)
    for name in METRICS:
        lines = [json.dumps(case, ensure_ascii=False) for case in cases(name, 0, 200, 3)]
        (folder / f"{name}.json").write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
    (folder / "stems.json").write_text(json.dumps(stems(random.Random(0), 2000), indent=0) + "\n", encoding="utf-8")


main()
