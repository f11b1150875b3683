"""Random templates from a grammar, rendered by Python, for `compare.mjs`. Not part of npm test.

    python test/golden/templates/fuzz.py 20000 1 /tmp/fuzz.json && node test/golden/templates/compare.mjs /tmp/fuzz.json

With `scopes` behind the file: blocks, loops and macros within each other, and few expressions.
"""

import json
import logging
import random
import sys
import warnings

import cases
import oracle

NAMES = list(json.loads(cases.VARIABLES)) + ["messages", "tools", "nope", "bos_token", "none", "true", "false", "x", "y"]
LITERALS = [
    "0", "1", "2", "-1", "3", "10", "255", "1.5", "2.0", "0.1", "1e3", "1e-7", "''", "'a'", "'ab c'", "' x '", "'A,b,,C'", "'%s|%d'", "'{}{:>4}'", "'\\n'",
    "'é😀'", "'ß'", "'it\\'s'", "'12'", "'1.5'", "'0x1f'", "[]", "{}", "()", "[1, 2.0, 'a']", "['b','A','c']", "{'a': 1, 'b': [2]}", "(1, 'a')", "[[1, 2], [3, 4]]",
    "[{'k': 1}, {'k': 2}]", "range(4)", "none", "true", "false", "9007199254740993", "'name'", "namespace(a=1)", "dict(a=1)", "'nan'|float", "'inf'|float", "1e400",
]
BINARY = ["+", "-", "*", "/", "//", "%", "~", "==", "!=", "<", ">", "<=", ">=", "in", "not in", "and", "or"]
FILTERS = (
    "abs attr batch capitalize center count default dictsort escape filesizeformat first float forceescape format groupby indent int items join last length list "
    "lower map max min pprint reject rejectattr replace reverse round safe select selectattr slice sort string striptags sum title tojson trim truncate unique upper "
    "urlencode urlize wordcount wordwrap xmlattr d e"
).split()
ARGUMENTS = {
    "attr": ["'a'", "'items'"], "batch": ["2", "3,'-'"], "center": ["9"], "default": ["'d'", "'d',true"], "d": ["1"], "dictsort": ["", "true", "by='value'", "reverse=true"],
    "float": ["", "1.5"], "format": ["1,2", "'a'", "a=1", "1.5,3"], "groupby": ["'k'", "0", "'g'", "'k',9"], "indent": ["", "2", "2,true", "'>'", "1,true,true"],
    "int": ["", "5", "0,16", "base=0"], "join": ["", "','", "',','k'"], "map": ["'upper'", "'string'", "attribute='k'", "attribute=0", "'int'", "'abs'", "'length'"],
    "max": ["", "true", "attribute='k'"], "min": ["", "attribute='k'"], "reject": ["", "'odd'", "'string'", "'eq',1"], "rejectattr": ["'k'", "'k','eq',1"],
    "replace": ["'a','b'", "'','-'", "'a','b',1", "1,2"], "round": ["", "1", "2,'floor'", "0,'ceil'", "-1"], "select": ["", "'odd'", "'number'", "'gt',1"],
    "selectattr": ["'k'", "'k','ge',2", "'role','equalto','user'"], "slice": ["2", "3,'x'"], "sort": ["", "true", "attribute='k'", "case_sensitive=true", "false,true"],
    "sum": ["", "'k'", "start=1", "start=[]"], "tojson": ["", "indent=2", "true", "sort_keys=true", "separators=(',',':')"], "trim": ["", "'a'", "' x'"],
    "truncate": ["5", "5,true", "9,false,'~',0", ""], "unique": ["", "true", "attribute='k'"], "wordwrap": ["5", "9,false", "7,true,none,false", "1"],
    "filesizeformat": ["", "true"], "urlize": ["", "9", "rel='a'", "extra_schemes=['x:']"],
}
METHODS = {
    "upper": [""], "lower": [""], "strip": ["", "'a '", "'x'"], "lstrip": ["", "'a'"], "rstrip": ["", "'b'"], "split": ["", "','", "',',1", "none,1", "maxsplit=1"],
    "rsplit": ["", "','", "' ',1"], "splitlines": ["", "true"], "startswith": ["'a'", "('a','b')", "'b',1"], "endswith": ["'c'", "('a','c')"],
    "find": ["'b'", "'a',1"], "rfind": ["'a'"], "index": ["'a'", "1"], "count": ["'a'", "1"], "replace": ["'a','b'", "'b','',1"], "title": [""], "capitalize": [""],
    "join": ["['x','y']", "'abc'", "words"], "items": [""], "keys": [""], "values": [""], "get": ["'a'", "'a',1", "'zz',none"], "copy": [""], "format": ["1", "1,'a'", "x=1"],
    "isdigit": [""], "isalpha": [""], "isspace": [""], "zfill": ["4"], "ljust": ["5", "5,'*'"], "rjust": ["5"], "center": ["6,'-'"], "partition": ["','"], "rpartition": ["'a'"],
    "casefold": [""], "swapcase": [""], "removeprefix": ["'a'"], "removesuffix": ["'c'"], "isupper": [""], "islower": [""], "istitle": [""], "expandtabs": ["2"], "append": ["1"], "pop": [""], "update": ["{}"], "is_integer": [""],
}
TESTS = "boolean callable defined escaped even false float integer iterable lower mapping none number odd sequence string true undefined upper".split()
BLOCK_FILTERS = ["upper", "trim", "indent(2)", "replace('a', 'b')", "length", "title"]
TESTS_WITH = ["divisibleby 2", "eq 1", "ne 'a'", "gt 1", "in [1,'a',none]", "ge 2", "lt 2", "sameas none", "sameas true", "equalto 'a'"]


# What goes together, so that fewer templates end in a TypeError.
TEXTS = ["s", "u", "sp", "lines", "q", "html", "long", "'ab c'", "' x '", "'A,b,,C'", "'é😀'", "messages[0].content", "(messages|tojson)", "'%s|%d'", "'ΑΣ ǅx ßﬁ-İa Σ'", "'well-known x--y a-b-c'", "'(http://a.bc/d) x@y.zz www.q.com,'", "'&lt;b&gt; &#65;&eacute &amp;amp; <i>'"]
NUMBERS = ["i", "j", "f", "whole", "big", "tiny", "nz", "2", "-3", "0.5", "1e16", "t", "l|length", "s|length"]
LISTS = ["l", "words", "mixed", "rows", "messages", "tools", "d|items|list", "range(5)", "[3,1,2]", "['b','A']", "s|list", "(1,'a')"]


class Maker:
    def __init__(self, seed):
        self.random = random.Random(seed)
        self.blocks = 0

    def pick(self, options):
        return self.random.choice(options)

    def typed(self):
        """An expression that most likely has a value."""
        text, number, items = self.pick(TEXTS), self.pick(NUMBERS), self.pick(LISTS)
        kind = self.random.randrange(7)
        if kind == 0:
            name = self.pick([name for name in METHODS if name not in ("items", "keys", "values", "get", "copy", "append", "pop", "update", "is_integer")])
            return f"({text}).{name}({self.pick(METHODS[name])})"
        if kind == 1:
            name = self.pick("capitalize center escape forceescape indent length list lower replace reverse string striptags title tojson trim truncate upper urlencode wordcount wordwrap int float first last sort unique".split())
            return f"({text})|{name}({self.pick(ARGUMENTS.get(name, ['']))})"
        if kind == 2:
            name = self.pick("batch first join last length list map max min reject reverse select slice sort string sum tojson unique groupby selectattr rejectattr pprint".split())
            after = self.pick(["", "|list", "|string", "|length", "|tojson"])
            return f"({items})|{name}({self.pick(ARGUMENTS.get(name, ['']))}){after}"
        if kind == 3:
            name = self.pick("abs float int round string filesizeformat tojson".split())
            return f"({number})|{name}({self.pick(ARGUMENTS.get(name, ['']))})"
        if kind == 4:
            return f"({number}) {self.pick(['+', '-', '*', '/', '//', '%', '==', '<', '>=', '~'])} ({self.pick(NUMBERS)})"
        if kind == 5:
            return f"({self.pick([text, items])})[{self.subscript(1)}]"
        return f"({text}) {self.pick(['+', '~', '==', '<', 'in', '%'])} ({self.pick(TEXTS)})"

    def expression(self, depth):
        if self.random.random() < 0.4:
            return self.typed()
        if depth <= 0 or self.random.random() < 0.15:
            return self.pick(NAMES) if self.random.random() < 0.5 else self.pick(LITERALS)
        inner = lambda: self.expression(depth - 1 - self.random.randrange(2))
        kind = self.random.randrange(16)
        if kind < 3:
            # Powers of anything would take Python hours.
            if self.random.random() < 0.05:
                return f"{self.wrap(inner())} ** {self.pick(['2', '-1', '0.5', '0', '3'])}"
            return f"{self.wrap(inner())} {self.pick(BINARY)} {self.wrap(inner())}"
        if kind < 7:
            name = self.pick(FILTERS)
            arguments = self.pick(ARGUMENTS.get(name, [""]))
            return f"{self.wrap(inner())}|{name}" + (f"({arguments})" if arguments or self.random.random() < 0.2 else "")
        if kind < 9:
            name = self.pick(list(METHODS))
            return f"{self.wrap(inner())}.{name}({self.pick(METHODS[name])})"
        if kind == 9:
            test = self.pick(TESTS) if self.random.random() < 0.6 else self.pick(TESTS_WITH)
            return f"{self.wrap(inner())} is {self.pick(['', 'not '])}{test}"
        if kind == 10:
            return f"{self.wrap(inner())}[{self.subscript(depth)}]"
        if kind == 11:
            return f"{self.wrap(inner())}.{self.pick(['a', 'k', 'b', 'items', 'role', 'content', 'real', 'upper', 'nope'])}"
        if kind == 12:
            return f"({inner()} if {inner()}" + (f" else {inner()})" if self.random.random() < 0.7 else ")")
        if kind == 13:
            return self.pick(["[{}, {}]", "({}, {})", "{{'a': {}, {}: 1}}"]).format(inner(), inner())
        if kind == 14:
            return f"{self.pick(['not ', '-', '+'])}{self.wrap(inner())}"
        return f"{self.wrap(inner())} {self.pick(['<', '==', '>=', '!='])} {self.wrap(inner())} {self.pick(['<', '==', 'in'])} {self.wrap(inner())}"

    def wrap(self, text):
        return f"({text})" if self.random.random() < 0.7 else text

    def subscript(self, depth):
        part = lambda: self.pick(["", "0", "1", "-1", "2", "-2", "none", "i"])
        kind = self.random.randrange(4)
        if kind == 0:
            return f"{part()}:{part()}"
        if kind == 1:
            return f"{part()}:{part()}:{self.pick(['', '-1', '2', '1'])}"
        return self.pick(["0", "1", "-1", "9", "'a'", "'k'", "'role'", "none", self.expression(depth - 2)])

    def space(self):
        return self.pick(["", "", " ", "\n", "  \n", "\n  ", "\t", "a", " b ", "\r\n", "x\n\n"])

    def tag(self, body):
        return f"{{%{self.pick(['', '', '-', '+'])} {body} {self.pick(['', '', '-', '+'])}%}}"

    def show(self, depth=2):
        return f"{{{{{self.pick(['', '-', ''])} {self.expression(depth)} {self.pick(['', '-', ''])}}}}}"

    def block(self, depth):
        return "".join(self.space() + self.statement(depth) for _ in range(self.random.randrange(1, 4))) + self.space()

    def statement(self, depth):
        if depth <= 0:
            return self.pick([self.show(1), self.tag(f"set {self.pick('xyi')} = {self.expression(1)}"), "{{ x }}", "{{ y }}", "{# c #}"])
        kind = self.random.randrange(15)
        items = self.pick(["l", "words", "messages", "rows", "d", "u", "el", "range(3)", "d.items()", "nope", "l|map('string')", "[1, [2, [3]]]"])
        if kind < 3:
            loop = self.pick(["", "", "{{ loop.index }}", "{{ loop.last }}", "{{ loop.length }}", "{{ loop.previtem }}", "{{ loop.changed(x) }}", "{{ loop.nextitem is defined }}"])
            jump = self.pick(["", "", "", self.tag(f"if {self.pick(['loop.first', 'x == 1', 'loop.index > 1'])}") + self.tag(self.pick(["break", "continue"])) + self.tag("endif")])
            test = self.pick(["", "", "", f" if {self.pick(['x', 'x != 1', 'x is defined', 'y'])}"])
            target = self.pick(["x", "x", "x, y"])
            end = self.tag("else") + self.block(depth - 1) if self.random.random() < 0.3 else ""
            return self.tag(f"for {target} in {items}{test}") + loop + self.block(depth - 1) + jump + self.block(depth - 1) + end + self.tag("endfor")
        if kind < 5:
            other = self.pick(["", self.tag("else") + self.block(depth - 1), self.tag(f"elif {self.expression(1)}") + self.block(depth - 1)])
            return self.tag(f"if {self.expression(2)}") + self.block(depth - 1) + other + self.tag("endif")
        if kind == 5:
            return self.tag(f"set {self.pick('xyi')}") + self.block(depth - 1) + self.tag("endset")
        if kind == 6:
            return self.tag(f"set ns = namespace(v={self.expression(1)})") + self.tag(f"for x in {items}") + self.tag("set ns.v = x") + self.tag("endfor") + "{{ ns.v }}"
        if kind == 7:
            call = self.pick(["m()", "m(1)", "m(x=2)", "m(1, 2)", "m(y=3)", "m(i)"])
            return self.tag(f"macro m({self.pick(['', 'x', 'x=1', 'x, y=x'])})") + self.block(depth - 1) + self.pick(["", "{{ varargs }}", "{{ kwargs }}", "{{ caller() if caller }}"]) + self.tag("endmacro") + f"{{{{ {call} }}}}"
        if kind == 8:
            return self.tag(f"filter {self.pick(BLOCK_FILTERS)}") + self.block(depth - 1) + self.tag("endfilter")
        if kind == 9:
            return self.tag(f"with x={self.expression(1)}, i={self.expression(1)}") + self.block(depth - 1) + self.tag("endwith")
        if kind == 10:
            return self.tag("generation") + self.block(depth - 1) + self.tag("endgeneration")
        if kind in (12, 13):
            # Seldom a name that is there already: no template has two blocks of one.
            self.blocks += self.random.random() < 0.95
            name = f"b{self.blocks}"
            scoped = self.pick(["", "", " scoped", " scoped", " scoped", " scoped", " scoped", " scoped", " required"])
            again = self.pick(["", "", f"{{{{ self.{name}() }}}}", "{{ self.b1() }}", f"{{{{ self.b{self.random.randrange(9)}() if x is defined }}}}", "{{ super }}"])
            return self.tag(f"block {name}{scoped}") + self.pick(["", "{{ loop.index }}", "{{ x }}{{ y }}{{ i }}"]) + self.block(depth - 1) + self.tag(self.pick(["endblock", f"endblock {name}"])) + again
        if kind == 11:
            return self.tag("raw") + self.space() + "{{ x }}" + self.space() + self.tag("endraw")
        return self.show(3)


class Scopes(Maker):
    """Statements within each other around expressions that never fail: which variable a name means."""

    def show(self, depth=2):
        return self.pick(["{{ x }}", "{{ y }}", "{{ i }}", "{{ m is defined }}", "{{ loop.index if loop }}", "[{{ x }}{{ y }}]"])

    def expression(self, depth):
        return self.pick(["1", "2", "x", "y", "i", "'a'"])

    def statement(self, depth):
        if depth <= 0:
            return self.pick([self.show(), self.tag(f"set {self.pick('xyi')} = {self.expression(1)}")])
        inner = lambda: self.block(depth - 1)
        other = lambda: self.pick(["", self.tag("else") + inner()])
        kind = self.random.randrange(20)
        if kind < 7:
            self.blocks += 1
            name = f"b{self.blocks}"
            return self.tag(f"block {name}{self.pick(['', ' scoped', ' scoped'])}") + "{{ x }}{{ y }}" + inner() + self.tag("endblock") + self.pick(["", f"{{{{ self.{name}() }}}}"])
        if kind < 11:
            return self.tag(f"for {self.pick('xy')} in {self.pick(['l', 'words', 'el', 'range(2)'])}{self.pick(['', ' if x'])}") + inner() + other() + self.tag("endfor")
        if kind < 13:
            return self.tag(f"if {self.pick('texy')}") + inner() + other() + self.tag("endif")
        if kind < 15:
            return self.tag(f"with {self.pick('xyi')} = {self.expression(1)}") + inner() + self.tag("endwith")
        if kind < 17:
            return self.tag(f"set {self.pick('xyi')}") + inner() + self.tag("endset")
        if kind < 19:
            return self.tag(f"macro m({self.pick(['', 'x', 'x=1', 'y=x'])})") + inner() + self.tag("endmacro") + "{{ m() }}"
        return self.tag("filter upper") + inner() + self.tag("endfilter")


def main(count, seed, path, maker):
    maker = maker(seed)
    variables = {**json.loads(cases.VARIABLES), **cases.SPECIAL_TOKENS}
    rows = []
    for number in range(count):
        maker.blocks = 0
        source = maker.block(4) if isinstance(maker, Scopes) else maker.show(4) if number % 2 else maker.block(3)
        text, spans = oracle.render_chat(source, cases.conversation("calls"), json.loads(cases.TOOLS), False, variables)
        error = None
        if text is None:
            error, spans = spans, []
        elif oracle.ADDRESS.search(text):
            text, error, spans = None, "an address", []
        rows.append([source, text, [span for span in spans if span[1] > span[0]], error])
    with open(path, "w", encoding="utf-8") as file:
        json.dump(
            {"messages": cases.CONVERSATIONS["calls"], "tools": cases.TOOLS, "variables": cases.VARIABLES, "specialTokens": cases.SPECIAL_TOKENS, "rows": rows}, file
        )


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3], Scopes if "scopes" in sys.argv else Maker)
