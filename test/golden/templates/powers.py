"""Powers as Python computes them, for `template-suite.test.ts`: writes `powers.json.gz`.

    python test/golden/templates/powers.py [COUNT [FILE]]
"""

import gzip
import json
import os
import random
import sys

HERE = os.path.dirname(os.path.abspath(__file__))


def main(count, path):
    chance = random.Random(7)
    bases = [lambda: chance.uniform(-100, 100), lambda: 10 ** chance.uniform(-300, 300), lambda: chance.randrange(-500, 10000), lambda: chance.randrange(1, 10000) / 100]
    exponents = [-1, -2, 2, 3, 4, 7, 20, 50, -3, -7, 0.5, 0.5, -0.5, 1.5, 2.5, 12.5, 0, 1, 0.25, 1 / 3, 2.0, -1.0]
    rows = []
    while len(rows) < count:
        base, exponent = chance.choice(bases)(), chance.choice(exponents)
        if chance.random() < 0.02:
            base = chance.choice([0, 0.0, -0.0, 1.0, -1, 2, 4, 0.25, 1e400, -1e400, 5e-324, 1.7976931348623157e308, 2**53 + 1])
        try:
            power = base**exponent
            power = None if isinstance(power, complex) else repr(power)
        except (OverflowError, ZeroDivisionError):
            power = None
        rows.append([repr(base).replace("inf", "1e400"), repr(exponent), power])
    with open(path, "wb") as file:
        file.write(gzip.compress(json.dumps(rows, separators=(",", ":")).encode(), 9, mtime=0))
    print(path, os.path.getsize(path))


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000, sys.argv[2] if len(sys.argv) > 2 else os.path.join(HERE, "powers.json.gz"))
