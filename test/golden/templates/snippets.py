"""A template for each filter, test, method, operator and statement, with values that are awkward on purpose."""

FILTERS = """
i|abs j|abs nz|abs t|abs s|abs nope|abs
d|attr('items')|list d|attr('b') s|attr('upper') nope|attr('x') s|attr('nope') l|attr('append')
l|batch(2)|list l|batch(2,'-')|list words|batch(3,n)|list el|batch(2)|list l|batch(0)|list l|batch(-1)|list u|batch(4)|list l|batch('2')|list
s|capitalize u|capitalize 'ǆa ÉCOLE'|capitalize n|capitalize i|capitalize ''|capitalize 'ŉX'|capitalize
s|center(20) s|center(21) u|center s|center(3) s|center(width=15)|length n|center(7) s|center('5') s|center(-4)
nope|default nope|default('x') n|default('x') n|default('x',true) e|d('y',boolean=true) nope|d(default_value=3) zero|default(1,1) el|default([1],true) nope.x|default('y') d.nope|default('y')
d|dictsort d|dictsort(true) d|dictsort(by='value') d|dictsort(false,'value',true) d|dictsort(reverse=true) ed|dictsort {'a':2,'B':1}|dictsort(by='value') l|dictsort nope|dictsort d|dictsort(by='x') {'b':1,'a':'x'}|dictsort(by='value')
html|e html|escape html|forceescape html|e|e html|e|forceescape i|e n|e l|e (html|e)~html html|e+'<' '<'+(html|e) html|safe html|safe|e (html|safe)=='x' '<'|e in ['&lt;'] [('<'|e)]
1|filesizeformat 0|filesizeformat 999|filesizeformat 1000|filesizeformat 1500000|filesizeformat 1048576|filesizeformat(true) 1023|filesizeformat(binary=true) 123456789012|filesizeformat 1.5|filesizeformat big|filesizeformat n|filesizeformat
l|first el|first s|first d|first nope|first i|first (l|map('string'))|first el|first is defined
num|float '1e3'|float '1_0.5'|float 'x'|float 'x'|float(1.5) n|float(none) i|float big|float 'nan'|float '-inf'|float '1.'|float '.5'|float '_1'|float '٣.٤'|float t|float [1]|float ''|float nope|float '0x10'|float
'%s-%d'|format('a',3) '%(a)s'|format(a=1) '%s'|format(l) '%d'|format('x') '%5.2f|%-6s|%+d|%05d'|format(2.345,'ab',3,-42) '%x %X %o %#x %e %g'|format(255,255,8,255,12345.678,0.0001) '%s'|format '%%'|format '%s %s'|format('a') '%(a)s'|format(1) '%s'|format(none,1) '%c%c'|format(65,'é') '%r'|format('a\\n') '%.2s'|format('😀ab') '%*d'|format(5,3) '%i'|format(2.9) '%d'|format(true) '%.0f %.0f'|format(0.5,1.5) '%g %g %g'|format(1e16,1e-5,100000.0) '%G'|format(1e-10) '%.3g'|format(1234.5) '%#.3g'|format(1.0) '% d'|format(5) '%s'|format(2.0) '%s'|format(t)
rows|groupby('g') rows|groupby('g',case_sensitive=true) rows|groupby('o.p.0',default=9) (rows|groupby('g'))[0].grouper (rows|groupby('g'))[0].list|length rows|groupby('v') rows|groupby('zz') words|groupby(0) (rows|groupby('g'))[0][1]
lines|indent lines|indent(2,true) lines|indent(2,blank=true) lines|indent('> ') lines|indent(first=true,width=1) ''|indent '\\n\\na'|indent 'a\\n'|indent n|indent i|indent l|indent lines|indent(t) lines|indent(1.5)
num|int '12.9'|int '0x1F'|int(base=16) '0x1F'|int(0,16) '0x1F'|int '0b11'|int(0,0) 'x'|int 'x'|int(-1) n|int f|int '-3.7'|int big|int '1_000'|int '٣'|int t|int l|int(5) ''|int 'inf'|int '1e3'|int nope|int ' \\u00a07 '|int 1e300|int|string|length '１２'|int '077'|int 'z'|int(0,36)
d|items|list ed|items|list nope|items|list l|items|list n|items|list (d|items)|first
l|join l|join(', ') words|join('-') rows|join(',','n') rows|join(attribute='v') mixed|join('|') d|join nope|join el|join s|join('.') i|join [1,none,true,2.0,nope]|join(' ') rows|join('+','o.p') l|join(none) ['<',('<'|e)]|join('&')
l|last el|last s|last d|last nope|last i|last (l|map('string'))|last [none]|last
l|length s|length u|length d|length el|length nope|length i|length n|length u|count '😀'|length rows|length range(5)|length d.items()|length (l|map('string'))|length
l|list s|list d|list u|list d.items()|list nope|list i|list range(3)|list n|list
u|lower 'ΑΣ'|lower 'ΑΣ.'|lower 'İ'|lower i|lower n|lower l|lower
l|map('string')|list words|map('upper')|join rows|map(attribute='n')|list rows|map(attribute='o.p',default='-')|list rows|map(attribute='zz')|list l|map('nope')|list l|map|list nope|map('upper')|list rows|map(attribute='o.p.0')|list words|map('replace','a','X')|list l|map('default',0)|list el|map('nope')|list rows|map(attribute='n',zz=1)|list
l|max l|min words|max words|min words|max(true) rows|max(attribute='v') el|max el|min is defined mixed|max [1,'a']|max nope|max d|max [2,1.5,true]|min [1,1.0]|max ['b','A']|min(case_sensitive=true) rows|min('v')
d|pprint l|pprint s|pprint {'b':1,'a':[1,2]}|pprint n|pprint u|pprint
l|reject('odd')|list l|reject('eq',1)|list mixed|reject('string')|list rows|rejectattr('o')|list|length rows|rejectattr('v','gt',2)|list|length l|reject('nope')|list nope|reject|list
s|replace('l','L') s|replace('l','L',1) s|replace('','-') u|replace('a','\\n') i|replace('7','8') s|replace('o',2) s|replace('zz','') n|replace('N','n') s|replace('l','L',count=0) u|replace('','.',3) s|replace('l') 'aaa'|replace('aa','b') l|replace(',',';') s|replace(old='H',new='J')
l|reverse|list s|reverse u|reverse d|reverse|list i|reverse nope|reverse|list range(3)|reverse|list (l|map('abs'))|reverse n|reverse d.items()|reverse|list
2.5|round 3.5|round 2.675|round(2) 2.567|round(2,'floor') 2.561|round(2,'ceil') i|round 1234|round(-2) 1234.5|round(-2) 2.5|round(method='floor') s|round n|round 0.5|round 1.5|round -2.5|round 1e22|round(2) 1.005|round(2) 2.0|round|int 5.5|round|int big|round(-3) 7|round(2,'ceil') 2.5|round(1,'x') 1e300|round(5) t|round
l|select('odd')|list l|select|list mixed|select('number')|list rows|selectattr('o')|list|length rows|selectattr('v','ge',2.5)|map(attribute='n')|list rows|selectattr|list words|select('in',['a','c'])|list rows|selectattr('o.p')|list|length l|select('divisibleby',3)|list mixed|select('mapping')|list rows|selectattr('n','equalto','x')|list|length d|select|list nope|select('odd')|list
l|slice(2)|list l|slice(2,'x')|list words|slice(3)|list l|slice(0)|list el|slice(2)|list l|slice(5,0)|list l|slice('2')|list
l|sort words|sort words|sort(true) words|sort(case_sensitive=true) rows|sort(attribute='v')|map(attribute='n')|list rows|sort(attribute='g,v')|map(attribute='n')|list rows|sort(true,attribute='g')|map(attribute='n')|list mixed|sort el|sort [2,1.5,true]|sort nope|sort s|sort d|sort [[2],[1,3],[1]]|sort [none,1]|sort [none]|sort rows|sort rows|sort(attribute='zz') ['é','z','😀','\\uffee']|sort l|sort(reverse='x') l|sort(reverse=none)
i|string n|string s|string l|string nope|string f|string big|string html|e|string
html|striptags '<b>x'|striptags '<!-- <b> -->y'|striptags i|striptags 'a<b'|striptags
l|sum rows|sum('v') rows|sum(attribute='v',start=10) el|sum words|sum words|sum(start='') [[1],[2]]|sum(start=[]) [0.1,0.2,0.3]|sum [t,t]|sum nope|sum [big,1]|sum [1,none]|sum
s|title u|title 'a-b (c) [d] {e} <f> it\\'s'|title 'ǆx ßa'|title n|title "don't"|title 'HELLO wORLD'|title
sp|trim sp|trim|length s|trim('Hd') ' x '|trim(none) i|trim n|trim 'xxaxx'|trim(chars='x') '\\ufeffx'|trim|length s|trim(1) ''|trim '\\x1cx\\x85'|trim
long|truncate(20) long|truncate(20,true) long|truncate(20,false,'…') long|truncate(20,leeway=0) long|truncate(54) long|truncate(2) s|truncate(5,leeway=0) u|truncate(9,true,'',0) l|truncate(1) l|truncate(10) i|truncate n|truncate long|truncate(30,end='')
words|unique|list words|unique(true)|list mixed|unique|list rows|unique(attribute='g')|map(attribute='n')|list [1,1.0,true]|unique|list [nope,nope]|unique|list [(1,2),(1,2)]|unique|list
u|upper 'ßŉﬁ'|upper i|upper n|upper
s|urlencode 'a/b?c=d&é😀!\\'()*~'|urlencode d|urlencode [('a',1),('b','x y')]|urlencode i|urlencode n|urlencode f|urlencode l|urlencode nope|urlencode
s|wordcount u|wordcount ''|wordcount long|wordcount i|wordcount "it's x_y"|wordcount
long|wordwrap(20) long|wordwrap(3) long|wordwrap(3,false) long|wordwrap(20,wrapstring='|') lines|wordwrap(4) ''|wordwrap 'a b'|wordwrap(0) '  lead   two'|wordwrap(6) u|wordwrap(5) i|wordwrap
{'a':1,'b':none,'c':nope,'d':'<"'}|xmlattr {'a b':1}|xmlattr ed|xmlattr {'a':1}|xmlattr(false) l|xmlattr
l|nope l|random s|urlize
"""

TOJSON = """
i j big f whole tiny huge nz t n s e u sp lines q l mixed el d ed rows html nope (1,'a') range(3) d.items() d.keys() [[],{},[[]],{'a':{}}] {1:2,none:3,true:4,2.5:5} {(1,2):3} 'inf'|float 'nan'|float [1.0,1e16,1e-5,123456789.123] '\\u2028\\x7f' html|e [html|e] namespace(a=1) s.upper [nope]
"""

TOJSON_ARGS = """
indent=2 indent=0 indent=none indent=-1 indent='--' indent=true ensure_ascii=true ensure_ascii=false sort_keys=true separators=(',',':') separators=[',',':'] indent=1,sort_keys=true true false,2 indent=2,separators=(';','=') indent='x',ensure_ascii=true indent=1.5 nope=1 separators=(',') separators=none indent=4,ensure_ascii=true,sort_keys=true
"""

TESTS = "boolean callable defined escaped even false float integer iterable lower mapping none number odd sequence string true undefined upper filter test".split()
TESTED = "i j zero big f whole nz t n s e u l el d ed rows nope d.nope range(3) d.items() (l|map('string')) (html|e) s.upper raise_exception namespace() (1,) 'upper' 'odd' 'ABC' 'a1' 'Ǆ' cycler(1) joiner() 'ª'".split()
TESTS_WITH = """
i is eq 7 i is == 7 f is eq 2.5 whole is eq 2 t is eq 1 s is ne 'x' i is gt 3 i is ge 7 i is lt 3 i is le 7 i is lessthan 9 i is greaterthan 9 s is gt 3 'a' is in s 3 is in l 'b' is in d nope is in l 3 is in nope i is divisibleby 7 i is divisibleby(2) f is divisibleby 0.5 i is divisibleby 0 s is divisibleby 2 n is sameas none t is sameas true 1 is sameas true l is sameas l l is sameas [1] nope is sameas nope i is sameas 7 i is not eq 8 i is not none nope is not defined i is eq(7) i is eq 7 and t i is nope 'x' is eq 'x' is eq i is odd is even i is in(l) l is eq [3,1,2] d is eq d nope is eq nope d is ne ed i is equalto 7.0 i is eq i is eq(1,2)
"""

METHODS = """
s.upper() s.lower() u.upper() u.lower() u.title() u.swapcase() s.swapcase() u.capitalize() u.casefold() s.casefold() 'ΑΣ ΑΣΑ'.lower() "they're bill's".title() 'ǆABC'.title() '1a b2c'.title() 'ßx'.title() 'ﬁx'.capitalize()
sp.strip() sp.lstrip() sp.rstrip() s.strip('Hd') s.lstrip('Hel') s.rstrip('dlr') '\\n    x'.lstrip('\\n') 'xxx'.strip('x') u.strip('Stre') '😀a😀'.strip('😀') s.strip(none) s.strip(1) s.strip('a','b') s.strip(chars='H') ''.strip() '\\x1c\\x1d\\x85\\u2029a\\ufeff'.strip()|length s.strip('') s.strip(nope)
s.split() s.split(' ') sp.split() lines.split('\\n') 'a,b,,c'.split(',') 'a,b,,c'.split(',',1) 'a,b,,c'.split(',',maxsplit=2) 'a,b,,c'.split(sep=',') ' a  b '.split(none,1) 'a b c'.split(maxsplit=1) ''.split() ''.split(',') s.split('') 'a,b,c'.rsplit(',',1) ' a b c '.rsplit(none,1) 'a b c'.rsplit() 'abab'.rsplit('b') 'aXbXc'.split('X',0) 'a b'.split(1) 'a b'.split(' ',none) ' a b '.split(' ') 'a b c '.split(none,0) 'a\\u3000b\\x1cc'.split()
s.startswith('He') s.startswith(('x','He')) s.startswith('l',2) s.startswith('l',2,3) s.endswith('ld') s.endswith(('a','d')) s.endswith('o',0,5) s.startswith('') s.startswith(1) s.startswith(['H']) 'a'.startswith('',2) 'a'.startswith('',1) s.startswith('o',-3) u.startswith('😀',11)
s.find('o') s.find('o',5) s.find('z') s.rfind('o') s.index('o') s.index('z') s.rindex('o') u.find('😀') u.find('n') u.rfind('e') u.index('😀',3,-1) s.find('') s.find('',99) s.find('o',-5,-1) s.count('l') s.count('') u.count('') s.count('l',3) 'aaa'.count('aa') s.find(1) s.find('o',none,6)
s.replace('l','L') s.replace('l','L',1) s.replace('','-') s.replace('l','L',-1) s.replace('l','L',0) u.replace('😀','') s.replace(1,2) s.replace('l') ''.replace('','x') s.replace('l','L',count=1) 'aaa'.replace('a','bb',2)
s.join(['a','b']) ''.join(words) ', '.join(d) ','.join([1]) '-'.join('abc') ','.join(nope) ','.join(none) ', '.join(words|map('upper')) ''.join([])
s.center(21,'*') s.ljust(15,'.') s.rjust(15) 'ab'.center(5) 'abc'.center(6) 'a'.center(4,'😀') s.center(20,'ab') '7'.zfill(3) '-7'.zfill(4) '+'.zfill(3) 'abc'.zfill(2) u.zfill(30) s.ljust('x') 'a\\tb'.expandtabs() 'a\\tb\\n\\tc'.expandtabs(4) 'a\\tb'.expandtabs(tabsize=0) '\\ta'.expandtabs(-1)
s.partition('o') s.rpartition('o') s.partition('z') s.rpartition('z') s.partition('') s.removeprefix('He') s.removesuffix('ld') s.removeprefix('x') s.removesuffix('') lines.splitlines() lines.splitlines(true) ''.splitlines() '\\n'.splitlines() 'a\\n\\nb'.splitlines(keepends=true) 'a\\x1c\\x1d\\x1eb\\x85c'.splitlines() 'a\\n'.splitlines(1)
'1'.isdigit() '²'.isdigit() '²'.isdecimal() '½'.isnumeric() '½'.isdigit() '٣'.isdigit() '٣'.isdecimal() '一'.isnumeric() 'a1'.isalnum() 'a '.isalnum() 'é'.isalpha() ''.isalpha() ' \\u3000\\x1c'.isspace() ''.isspace() '\\ufeff'.isspace() 'Ab'.istitle() 'AB'.istitle() 'A1b'.istitle() 'ǅa'.istitle() 'ab1'.islower() 'AB1'.isupper() '1'.isupper() 'aǅ'.islower() 'ab'.isascii() 'é'.isascii() 'a_1'.isidentifier() '1a'.isidentifier() 'é'.isidentifier() 'a\\n'.isprintable() 'é'.isprintable() '\\u00ad'.isprintable() '\\u00a0'.isprintable() 'Ⅷ'.isnumeric() '①'.isdigit() 'ª'.islower() 'Ⓐ'.isupper()
'{} {}'.format(1,'a') '{0}{1}{0}'.format('a','b') '{a.b} {b[x]}'.format(a=d,b={'x':3}) '{:>5}|{:<5}|{:^5}|{:=+5d}'.format('a','b','c',4) '{:05.1f}'.format(2.345) '{:,}'.format(1234567) '{:_}'.format(1234567) '{:x} {:#x} {:b} {:o} {:X}'.format(255,255,5,8,255) '{:e} {:g} {:%}'.format(1234.5,0.00001,0.256) '{!r} {!s}'.format('a','b') '{{}}'.format() '{'.format() '}'.format() '{}'.format() '{a}'.format(1) '{:.2}'.format('abc') '{:d}'.format('a') '{:d}'.format(2.5) '{:s}'.format(1) '{:10}|'.format(true) '{}'.format(true) '{:{w}}|'.format('a',w=4) '{0[0]}'.format(l) '{0.upper}'.format(s) '{.real}'.format(3) '{} {1}'.format(1,2) '{:.3}'.format(3.14159) '{:.0f} {:.0f}'.format(0.5,1.5) '{:n}'.format(5) '{:c}'.format(65) '{}'.format(nope) '{:>5}'.format(nope) '{}'.format(none) '{:>5}'.format(none) '{}'.format(l) '{:,.2f}'.format(1234567.891) '{:010,}'.format(1234) '{:+}'.format(5) '{: }'.format(5) '{:.1%}'.format(0.5) '{:G}'.format(1e-10) '{:*^9}'.format('é😀') '{}'.format(2.0) '{:}'.format(1e16) '{x}'.format_map({'x':1}) '{:.5}'.format(100000.0) '{:.3}'.format(123456.0) '{:5}'.format(2.5) '{0.__class__}'.format(1) '{:E}'.format(0.0) '{:<05}'.format(7) '{:05}'.format(-7) '{:05}'.format('a') '{:,}'.format(1234.5) '{:b}'.format(big) '{!x}'.format(1) '{a!r:>6}'.format(a='x') '{:.2f}'.format(7)
s.encode() s.nope s.nope() s.upper s.__class__ s.__len__() s._x '%d items' % 3 '%s' % l '%s %s' % (1,2) '%(a)s' % {'a':1} '%s' % {'a':1} '%' % 1 '%z' % 1 'a' % 1 'a' % () 'a' % l 'a' % d '%s' % (1,2) '%d' % big '%.3d' % 5 '%#o' % 8 '%5s|%-5s|' % ('a','b') '%s' % none '%s' % nope '%d' % nope '%x' % 2.5 '%+.1e' % 12345.678 '%5%' % () '%(x)s' % d '%-05d|' % 3
d.items()|list d.keys()|list d.values()|list d.get('b') d.get('z') d.get('z',5) d.get('x y',1) d.get() d.get([1]) d.copy() d.pop('b') d.update({}) d.clear() d.setdefault('a',1) d.popitem() d.fromkeys('ab',1) d.items d['items'] d.items() d.keys() d.values() ed.items() d.b d['b'] d.nope d['nope'] d['x y'] d[10] d['10'] d.get('10') 'b' in d d.items()|length d.keys()|first d.b.c d.nope.c d['nope']['c'] d[nope] d[none] d[[1]] 'items' in d d.get(key='b') {'get':1}.get('get')
l.append(4) l.index(1) l.index(9) l.index(2,1) l.count(1) l.copy() l.sort() l.reverse() l.pop() l.extend([1]) l.insert(0,1) l.remove(1) l.nope l[0] l[-1] l[9] l[-9] l['a'] l[1.0] l[t] l[none] l.0 l.9 (1,2,3)[1] (1,2).count(1) (1,2).index(2) l[nope] l[big] mixed.count(1) mixed.index('a') l.index(1,-2) l.clear
i.real i.bit_length() f.is_integer() whole.is_integer() i.nope f.real n.x t.x i.numerator i[0] n[0] t.real f.hex() i.imag
"""

OPERATORS = """
1+2 1-2 2*3 7/2 7//2 -7//2 7%3 -7%3 7%-3 2**10 2**-1 -2**2 2**0.5 2.0**3 10**20 big*big big+1 big-big big//7 big%97 -big//7 big/3 7.5//2 -7.5//2 nz//1 nz//-1 0.0//-3 -0.5//1 nz%3 nz%-3 7.5%2 -7.5%2 7.5%-2 1/0 1//0 1%0 1.0/0 1.0//0 1.0%0 0**-1 0.0**-1 1e308*10 1e16 1e15 123456789012345678 0.1+0.2 1/3 2/1 4.0 -0.0 0.0 1e22 1e21 1.5e300*1.5e300 i+f i*whole t+t t*3 -t +t -s +s n+1 -n 1+n
'a'+'b' 'a'+1 1+'a' 'a'*3 3*'a' 'a'*-1 'a'*2.0 [1]+[2] [1]+(2,) (1,)+(2,) [1]*2 2*[1] (1,)*2 'a'-'b' [1]-[1] d+d 'a'~1 1~2 n~t f~l nope~'x' 'a'~whole~none 'x'+nope nope+'x' nope+1 -nope s+l s+n s+['text'] 'a'/2 'a'%'b' nope*2 [1]*nope 'a'*t [nope] nope==1 t~f ''~'' e~n~nope
1==1.0 1==true 'a'=='a' n==none n==false 0==false ''==false [1]==[1.0] {'a':1}=={'a':1.0} (1,)==[1] nope==nope nope==none nope!=none big==big big==1e30 'a'!='b' 1<2 1<2<3 1<3<2 3>2>1 1<2>1 'a'<'b' 'B'<'a' '😀'>'\\uffff' 'é'>'z' [1,2]<[1,3] [1]<[1,0] (1,2)<(1,3) 1<'a' 'a'<1 n<1 n<none l<d [1]<(2,) t<2 1.5<2 big>1 big<1e40 nope<1 1<nope 1<=1.0 'a'>='a' [nope]==[nope] 1==1==1 1!=1!=2 d==d d<d 'nan'|float=='nan'|float
1 in l 9 in l 1.0 in l 'ell' in s 1 in s 'b' in d 10 in d '10' in d 1 not in l not 1 in l 'x' in nope nope in l nope in s 1 in n 1 in 5 '' in s 2 in range(3) 5 in range(3) 1.5 in range(3) [1] in [[1]] none in mixed true in l 'a' in ['a'] in [true] [1] in d (1,2) in {(1,2):3} 'a' in d.keys() 'b' in d.keys() 2 in d.values() ('b',1) in d.items()
t and 1 t or 1 zero and 1 zero or 'x' n or e or 'z' not t not n not el not nope t and nope nope or 'd' e and s 1 and 2 and 3 '' or [] not '' not '0' not 0.0 not (l|map('abs')) not not 1 not 1==2 1 if t 1 if e 1 if e else 2 (1 if e)|default('u') 1 if n else 2 if e else 3 'x' if nope is defined else 'y' (1 if e) is defined not 1 in l
s[0] s[-1] s[99] s[1:3] s[::-1] s[-3:] s[:-3] s[::2] s[5:1:-1] s[10:2] s[::0] u[7] u[10:14] u[::-1] u[9] l[1:] l[::-1] l[:2] l[5:] (1,2,3)[1:] s['a':] s[1.0:] s[none:none] s[nope:] d[1:] i[1:] n[0:1] nope[0] nope[0:1] s[-99:99] s[t:] l[big:] l[-big:2] range(10)[2:8:3] range(10)[::-1] range(10)[3] range(10)[-1] range(3)[9] s[0,1] l[0,1] s[1:2,3]
[1,2,] (1,) () [] {} {'a':1,} (1,2) {'a':{'b':[1,{'c':none}]}} {1:'a',1.0:'b',true:'c'} {none:1} {[1]:2} {(1,2):3} [1,[2,[3]]] [none,true,false,1.0,'a'] ((1)) ((1,)) {'10':1,'2':2} {'a':1,'a':2} {nope:1} 'a' 'b' "a'b" 'a"b' 'a\\'b' 'a\\\\b' 0x1f 0b101 0o17 1_000 1_0.5 1e3 1E-2 00 007 1.e3 .5 1. 'a' 'b'|upper -1|abs (-1)|abs -'1'|int 2**3**2 1+2~3 1~2+3 not 1+1 -1**2 - 1 + 1 {'a':1}['a'] {'a':1}.a [1,2][1] 'abc'[1] 'abc'.upper() (1).real 1.real '\\x41\\u00e9\\U0001F600\\101\\n' '\\q' '\\é' '\\u12' '\\N{DASH}' 'a\\
b' "\\"" none None True false
range(5) range(2,5)|list range(5,0,-2)|list range(0) range(1,1)|list range(100000)|length range(100001) range(1.5) range('3') range(1,2,0) range() range(1,2,3,4) range(-5)|list range(t)|list range(stop=3) range(big) range(3).stop range(3)==range(0,3) range(0,5,2)==range(0,6,2) range(3).index(2) range(3).count(9) range(3)|first
dict(a=1) dict(d,b=5) dict([('a',1)]) dict(1) dict('ab') dict(['ab']) dict() dict({}) dict(none) dict(nope) dict.fromkeys('ab') dict.fromkeys(l,0) dict(**d) dict(a=1,**{'a':2}) namespace(a=1) namespace(a=1).a namespace({'a':1}).a namespace().b namespace(_a=1) namespace({'_a':1}) namespace(items=3).items namespace(a=1)['a'] namespace()() cycler() cycler(1,2).next() cycler(1,2).current cycler(1).pos joiner()() joiner('-').sep lipsum() raise_exception('no') raise_exception() strftime_now('%Y-%m-%d') strftime_now('%d %b %Y %H:%M:%S %j %A %-d %e %I %p %y %B %a %m %% %U %W %w %u %V %G %C %D %F %T %R %r %c %x %X %h %n%t|%Z%z|%f %k %l %P %_d %05d %^a %#p %Q %') strftime_now(1) strftime_now() strftime_now('')
nope nope.x nope['x'] nope() nope.x.y d.nope() s() i() n() nope|upper nope|length nope|list nope|trim nope[0:1] nope is defined s.nope is defined d.x.y is defined d.x is defined self loop caller varargs kwargs messages|length tools|length documents add_generation_prompt bos_token eos_token nope.__class__ nope._x d._x d.__class__ l.__len__ d['__class__'] s['__class__'] documents is defined n.nope n['nope'] ''.nope.x 1 .x i .real
s.format s.upper.x d.get.x [s.upper] range dict cycler loop.index namespace raise_exception l|map('abs') d|items (l|reverse) cycler(1) joiner() namespace(x=[1,'a']) [range(3),nope] [d.items()] (l|select) {'a':nope} [(l|first)] [1.0,none,'x\\ny',"q'",'q"\\'',u,'\\x00\\x7f\\xa0\\xad\\u200b\\ue000'] [[[]]] [html|e]
i(1) s.upper(1) s.upper(x=1) raise_exception(message='m') d.get('b',default=1) s.split(sep=' ',maxsplit=1) s.split(' ',sep=' ') s.split(*[' ',1]) s.split(**{'sep':'o'}) s.split(*nope) s.split(**nope) s.split(*1) s.split(**{1:2}) s.split(*' ') dict(*[d]) s.replace(*('l','L')) l|join(*['-']) l|join(d='-') l|join(**{'d':'-'}) l|sort(reverse=true) l|join(x=1) l|length(1) i is divisibleby(num=7) s.upper(*[]) dict(**{'a b':1}) (l|join)(1)
"""

STATEMENTS = [
    "{% for x in l %}{{ x }}{% endfor %}|{% for x in el %}{{ x }}{% else %}none{% endfor %}|{% for x in nope %}{% else %}u{% endfor %}",
    "{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.depth }}{{ loop.depth0 }} {% endfor %}",
    "{% for x in l %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {{ loop.previtem is defined }}{{ loop.nextitem is defined }}{{ loop.changed(x > 1) }}{{ loop.cycle('a','b') }};{% endfor %}",
    "{% for x in [1,1,2,none,none] %}{{ loop.changed(x) }}{{ loop.changed(x, 1) }} {% endfor %}",
    "{% for x in l %}{{ loop }}{{ loop|length }}{{ loop.nope }}{% endfor %}",
    "{% for x in l %}{{ loop.nope.x }}{% endfor %}",
    "{% for x in l %}{{ loop.cycle() }}{% endfor %}",
    "{% for x in l if x > 1 %}{{ loop.index }}/{{ loop.length }}:{{ x }} {% else %}no{% endfor %}{% for x in l if x > 9 %}{% else %}none{% endfor %}",
    "{% for x in l if loop.index %}{{ x }}{% endfor %}",
    "{% for x in l|map('string') %}{{ loop.length }}{{ loop.last }}{{ x }}{% endfor %}",
    "{% for k, v in d.items() %}{{ k }}={{ v }};{% endfor %}{% for k in d %}{{ k }}{% endfor %}{% for k, v in d|dictsort %}{{ k }}{% endfor %}",
    "{% for a, b in [(1,2),[3,4],'xy'] %}{{ a }}{{ b }} {% endfor %}{% for a, (b, c) in [(1,(2,3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for a, b in [(1,2,3)] %}{{ a }}{% endfor %}",
    "{% for a, b in [(1,)] %}{{ a }}{% endfor %}",
    "{% for a, b in l %}{{ a }}{% endfor %}",
    "{% for x in i %}{% endfor %}",
    "{% for x in n %}{% endfor %}",
    "{% for x in s %}{{ x }}.{% endfor %}{% for x in u %}{{ x }}.{% endfor %}",
    "{% for x in l %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% if x == 2 %}{% break %}{% endif %}{% endfor %}.",
    "{% for x in l %}{% break %}{% else %}else{% endfor %}|{% for x in l %}a{% continue %}b{% else %}else{% endfor %}|{% for x in l %}{% if loop.last %}{% break %}{% endif %}.{% else %}e{% endfor %}",
    "{% for x in l %}pre{{ x }}{% for y in l %}{% if y == 1 %}{% break %}{% endif %}{{ y }}{% endfor %}post{% endfor %}",
    "{% for x in l %}{% set y %}a{% if x == 1 %}{% continue %}{% endif %}b{% endset %}{{ y }}{{ x }}{% endfor %}",
    "{% break %}",
    "{% if t %}{% continue %}{% endif %}",
    "{% for x in l %}{% else %}{% break %}{% endfor %}",
    "{% for x in l %}{% macro m() %}{% break %}{% endmacro %}{% endfor %}",
    "{% for x in l %}{% for y in el %}{% else %}{% break %}{% endfor %}{{ x }}{% endfor %}",
    "{% for x in [[1,[2]],[3]] recursive %}{% if x is iterable %}({{ loop(x) }}){% else %}{{ x }}@{{ loop.depth }}{% endif %}{% endfor %}",
    "{% for x in l recursive %}{{ x }}{% else %}e{% endfor %}{% for x in [1] %}{{ loop([2]) }}{% endfor %}",
    "{% for x in [[1],[2]] recursive if x %}{{ x }}{% endfor %}",
    "{% for x in [[1],[]] if x recursive %}{{ loop.length }}{{ loop(x) if x is not number else x }}{% endfor %}",
    "{% for loop in l %}{{ loop }}{% endfor %}",
    "{% for x in l %}{% set loop = 1 %}{% endfor %}",
    "{% for x in l %}{% for y in l %}{{ loop.index }}{% endfor %}{{ loop.index }} {% endfor %}",
    "{% for x in l %}{% set outer = loop %}{% for y in [1] %}{{ outer.index }}{{ loop.index }} {% endfor %}{% endfor %}",
    "{% set x = 1 %}{% for y in l %}{{ x }}{% set x = y %}{{ x }} {% endfor %}{{ x }}",
    "{% for y in l %}{% set x = y %}{% endfor %}{{ x }}|{{ x is defined }}",
    "{% for y in l %}{{ x }}{% set x = y %}{{ x }} {% endfor %}",
    "{% if t %}{% set x = 1 %}{% endif %}{{ x }}{% if e %}{% set y = 1 %}{% endif %}{{ y }}|{{ y is defined }}",
    "{% if e %}{% set i = 1 %}{% endif %}{{ i }}{% if t %}{% set i = 9 %}{% endif %}{{ i }}",
    "{{ x }}{% set x = 1 %}{{ x }}{% set x = x + 1 %}{{ x }}",
    "{% set s = s ~ '!' %}{{ s }}{% for q in [1] %}{% set s = s ~ '?' %}{{ s }}{% endfor %}{{ s }}",
    "{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set a = 1, %}{{ a }}{% set (a, b) = l[:2] %}{{ a }}{{ b }}{% set a, b = l %}",
    "{% set x %}a{{ i }}b{% endset %}{{ x }}{{ x is string }}|{% set x|upper %}abc{% endset %}{{ x }}|{% set x | replace('a','b') | upper %}aaa{% endset %}{{ x }}{% set x|length %}abc{% endset %}{{ x + 1 }}",
    "{% set x|replace(zzz,'b') %}aaa{% endset %}{{ x }}",
    "{% set ns = namespace(a=1) %}{% for x in l %}{% set ns.a = ns.a + x %}{% endfor %}{{ ns.a }}{{ ns }}{% set ns.b = 'x' %}{{ ns.b }}{{ ns.nope }}",
    "{% set ns = namespace() %}{% set ns._x = 1 %}",
    "{% set d.b = 1 %}",
    "{% set nope.b = 1 %}",
    "{% set ns = namespace() %}{% set ns.a, ns.b = 1, 2 %}{{ ns.a }}{{ ns.b }}{% set ns.c %}x{% endset %}{{ ns.c }}",
    "{% set ns = namespace(l=[]) %}{% for x in l %}{% set ns.l = ns.l + [x] %}{% endfor %}{{ ns.l }}",
    "{% set true = 1 %}",
    "{% set x.y.z = 1 %}",
    "{% set x[0] = 1 %}",
    "{% set 1 = 2 %}",
    "{% macro m(a, b=2, *c) %}{% endmacro %}",
    "{% macro m(a, b=2) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(1,3) }}{{ m(b=5,a=4) }}{{ m() }}|{{ m(1)|upper }}{{ m }}{{ m.name }}{{ m.arguments }}{{ m.caller }}{{ m.catch_kwargs }}{{ m.catch_varargs }}",
    "{% macro m(a) %}{{ a }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1,2,3,x=4) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1,2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}",
    "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, a=2) }}",
    "{% macro m(a, a) %}{% endmacro %}",
    "{% macro m(a=1, b) %}{% endmacro %}",
    "{% macro m(a, b=a) %}{{ a }}{{ b }}{% endmacro %}{{ m(1) }}{{ m(none) }}",
    "{% macro m(a=b, b=1) %}{{ a }}{{ b }}{% endmacro %}{{ m() }}|{{ m(a=2) }}",
    "{% macro m(x) %}{% if x > 0 %}{{ x }}{{ m(x - 1) }}{% endif %}{% endmacro %}{{ m(5) }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% set y = 1 %}{% macro m() %}{{ y }}{{ z }}{% endmacro %}{% set y = 2 %}{% set z = 3 %}{{ m() }}",
    "{% macro m() %}{% set y = 5 %}{{ y }}{% endmacro %}{% set y = 1 %}{{ m() }}{{ y }}",
    "{% for x in l %}{% macro m() %}{{ x }}{% endmacro %}{{ m() }}{% endfor %}{{ m is defined }}",
    "{% set ns = namespace() %}{% for x in l %}{% macro m() %}[{{ x }}]{% endmacro %}{% set ns.m = m %}{% endfor %}{{ ns.m() }}",
    "{% macro m() %}({{ caller() }}){% endmacro %}{% call m() %}in{{ i }}{% endcall %}{{ m() }}",
    "{% macro m() %}({{ caller(1,2) }}){% endmacro %}{% call(a,b=3) m() %}{{ a }}{{ b }}{% endcall %}",
    "{% macro m() %}x{% endmacro %}{% call m() %}y{% endcall %}",
    "{% macro m(caller) %}{{ caller() }}{% endmacro %}{% call m() %}y{% endcall %}",
    "{% macro m(caller=none) %}{{ caller() if caller else 'no' }}{% endmacro %}{% call m() %}y{% endcall %}{{ m() }}",
    "{% call i %}x{% endcall %}",
    "{% call namespace() %}x{% endcall %}",
    "{% filter upper %}a{{ s }}{% endfilter %}|{% filter replace('a','b')|upper %}aa{% endfilter %}|{% filter trim %}  x  {% endfilter %}",
    "{% filter length %}abc{% endfilter %}",
    "{% filter nope %}abc{% endfilter %}",
    "{% with %}{% set x = 1 %}{{ x }}{% endwith %}{{ x }}{% with a=1, b=i %}{{ a }}{{ b }}{% endwith %}{{ a }}{% with i=1 %}{{ i }}{% endwith %}{{ i }}",
    "{% with a=1, b=a %}{{ b }}{% endwith %}",
    "{% with a, b = l[:2] %}{{ a }}{% endwith %}",
    "{% if i > 5 %}a{% elif i > 3 %}b{% else %}c{% endif %}{% if e %}a{% elif t %}b{% else %}c{% endif %}{% if e %}a{% endif %}{% if not e %}x{% endif %}{% if l and d %}y{% endif %}",
    "{% if nope|nofilter %}x{% endif %}",
    "{% if e %}{{ s|nofilter }}{% endif %}ok",
    "{{ s|nofilter if e else 'ok' }}",
    "{{ s|nofilter }}",
    "{% for x in l %}{{ x|nofilter }}{% endfor %}",
    "{% if e %}{% for x in l %}{{ x is notest }}{% endfor %}{% endif %}",
    "{% if e %}{{ x is notest }}{% endif %}ok",
    "{% raw %}{{ x }}{% y %}{# z #}{% endraw %}|{%- raw -%}  {{ x }}  {%- endraw -%}  |  {% raw %}\n  a\n  {% endraw %}\nb",
    "{% raw %}{{",
    "a{# c #}b{#- c -#}  d {#+ x +#} e\n{# y #}\n f{# multi\nline #}g{#-#}h{#--#}i{#+#}j",
    "{# open",
    "a\n  {% if t %}\n  b\n  {% endif %}\nc\n",
    "a\n  {%- if t %}\n  b\n  {%- endif %}\nc",
    "a\n  {% if t -%}\n  b\n  {% endif -%}\nc",
    "a\n  {%+ if t +%}\n  b\n  {%+ endif +%}\nc",
    "a {{- i -}} b {{ i }} \n {{- i }}\n{{ i }}\n\nx",
    "  {% if t %}x{% endif %}\n\t{% if t %}y{% endif %} \n",
    "{% if t %}\n\n  x{% endif %}",
    "x\r\n{% if t %}\r\n y\r\n{% endif %}\r\nz\r\n",
    "x\r{% if t %}\ry\r{% endif %}\r",
    "x\n\n",
    "\n",
    "",
    "x\u2028{% if t %}\u2028y{% endif %}\u0085\n",
    "  \u00a0{% if t %}y{% endif %}\u3000{%- if t %}z{% endif -%}\u2003w\ufeff{%- if t %}{% endif %}",
    "{{ 'a\r\nb' }}|{{ 'a\rb'|length }}",
    "{{ 'a\\\nb' }}",
    "{%if t%}a{%endif%}{{i}}{%-if t-%}b{%-endif-%}",
    "{% if t: %}a{% endif %}{% for x in l: %}{{ x }}{% endfor %}",
    "{% print i, s %}{% print l %}{% print %}",
    "{% do l %}",
    "{% nope %}",
    "{% endif %}",
    "{% if t %}",
    "{% if t %}{% endfor %}",
    "{% for x in l %}{% else %}{% else %}{% endfor %}",
    "{% if %}{% endif %}",
    "{{ }}",
    "{{ i",
    "{{ i }",
    "{{ (i }}",
    "{{ i) }}",
    "{{ [i} }}",
    "{{ i ! }}",
    "{{ 'abc }}",
    "{{ i; }}",
    "{{ i $ }}",
    "{{ {'a':1}}}",
    "{{ {'a':{'b':1}}.a.b }}{{{'a':1}.a}}",
    "}}%}#}{ {% if t %}{ }{% endif %}",
    "{{ 1 if }}",
    "{% set x = %}",
    "{% set = 1 %}",
    "{{ i is }}",
    "{{ i| }}",
    "{{ i.1x }}",
    "{{ d. }}",
    "{{ d['b' }}",
    "{{ i i }}",
    "{{ f(a=1, 2) }}",
    "{{ dict(a=1, a=2) }}",
    "{{ f(**d, *l) }}",
    "{{ f(*l, *l) }}",
    "{% include 'x' %}",
    "{% import 'x' as y %}",
    "{% extends 'x' %}",
    "{% from 'x' import y %}",
    "{% macro 1() %}{% endmacro %}",
    "{% call(a) %}{% endcall %}",
    "{% for x l %}{% endfor %}",
    "{% for x.y in l %}{% endfor %}",
    "{% for true in l %}{% endfor %}",
    "{% generation %}x{{ i }}{% endgeneration %}y{%- generation -%}  z  {%- endgeneration -%} w",
    "{% for m in messages %}{{ m.role }}:{% generation %}{{ m.content }}{% endgeneration %}\n{% endfor %}",
    "{% generation %}{% for x in l %}{% break %}{% endfor %}a{% endgeneration %}",
    "{% for x in l %}{% generation %}{% break %}{% endgeneration %}{% endfor %}",
    "{% set x = 1 %}{% generation %}{% set x = 2 %}{{ x }}{% endgeneration %}{{ x }}",
    "{% generation %}a",
    "{{ 5.real }}",
    "{{ x.__class__.__mro__ }}",
    "{{ ''.__class__ }}|{{ l.__init__ is defined }}|{{ ().__class__.__base__ }}",
    "{{ cycler.__init__.__globals__ }}",
    "{% set r = cycler('a','b') %}{{ r.next() }}{{ r.next() }}{{ r.next() }}{{ r.current }}{{ r.reset() }}{{ r.current }}",
    "{% set j = joiner() %}{% for x in l %}{{ j() }}{{ x }}{% endfor %}",
    "{% set g = l|map('string') %}{{ g|list }}{{ g|list }}{{ g is iterable }}",
    "{% set g = d|items %}{% for k, v in g %}{{ k }}{% break %}{% endfor %}{% for k, v in g %}{{ k }}{% endfor %}",
    "{% for x in [1,2,3]|batch(2) %}{{ x }}{% endfor %}{% for g in rows|groupby('g') %}{{ g.grouper }}:{{ g.list|length }}{% for r in g.list %}{{ r.n }}{% endfor %}{% endfor %}",
    "{%- for m in messages -%}{{ m }}{%- endfor -%}",
    "{%- for m in messages -%}{{ m | tojson }}{%- if m.tool_calls is defined %}{{ m.tool_calls[0].function.arguments | tojson(indent=4) }}{% endif %}{%- endfor -%}",
    "{% for m in messages %}{{ m.role }}{{ m['content'] }}{{ m.get('tool_calls', 'none') is string }}{{ m.nope }}{% endfor %}{{ messages[-1].role }}{{ messages[0]['content'] | length }}",
    "{% for t in tools %}{{ t | tojson }}{{ t.function.parameters.properties.items() | list }}{% endfor %}{{ tools }}",
    "{{ tools | tojson(indent=2) }}{{ tools[0] | string }}{{ tools is none }}{{ tools | selectattr('type', 'equalto', 'function') | list | length }}",
    "{{ messages[1].tool_calls[0].function.arguments.items() | list }}{% for k in messages[1].tool_calls[0].function.arguments %}{{ k }},{% endfor %}{{ messages[1].tool_calls[0].function.arguments }}",
]


# Letters whose case is not one letter, or depends on what stands around them.
CASES = [
    "u", "'ΑΣ ΣΑΣ Σ. ΑΣ\u0301Β ΑΣ\u00ad'", "'İstanbul ıI ﬁx ŉ ǰ ΐ ᾳ ᾼ ῷ ẞß'", "'ǆǅǄ ǉ ᲀ Ꭰꭰ ᏸ ა Ა'", "'ªº ⅷⅧ ⓐⒶ ǅungla'", "'é\u0301ÉA\u0345α\u0345'", "'1st o\u2019neil x-ray'", "'ſtraſse ﬆ Å'",
    "''", "'Σ'", "'aΣ'", "'Σa'", "'𐐀𐐨 𝐀'",
]
CASE_CHANGES = ["swapcase()", "casefold()", "title()", "capitalize()", "lower()", "upper()"]

# The texts of wordwrap, and how they are wrapped.
WRAPPED = [
    "'well-known state-of-the-art x-y --flag a--b foo---bar'", "'e-mail-address_with-under-scores and-more-'", "'-----'", "'a-b-c-d-e-f-g-h'", "'co-op re-1st 1-2-3 --'",
    "'Über-große Wörter-mit-Strichen 😀-😀'", "long", "lines", "'word\u2014dash word -- dash!--x'", "html", "'hyphen- ated -start'", "'supercalifragilistic-expialidocious'",
]
WRAPS = ["", "5", "7,false", "10", "12,true,'|'", "8,true,none,false", "9,false,'~',true", "1", "3"]

# What striptags makes of tags, comments and entities.
TAGGED = [
    "html", "'a &amp; b &lt; &#39; &#x41; &#65 &nbsp;x &copy &notit; &NOTHING &eacute;&Eacute'", "'&#0; &#128; &#x9f; &#xd800; &#1114112; &#11; &#xfffe; &#13;|'", "'<!-- a > b --> c <b'", "'<a <!-- x > --> b>'",
    "'<!--> d --> e'", "'&amp;lt; &amp'", "'& && &; &#; &#x; &a'", "'< p >x</ p >'", "'&hellip;'", "'&#99999999999999999999;'", "'&ampamp; &ltx &gt'", "(html|e)", "i", "l", "nope", "'&sup2x &frac12 &frac13'",
]

LINKED = [
    "'see http://example.com/a?b=c&d, (https://x.org/a_(b)) and www.python.org.'", "'mail me@example.com, mailto:you@x.co.uk! @at @a@b.c x@y'", "'example.com foo.net/x a.b.c.org:80/p no.pe HTTP://UP.COM'", "'<https://a.b> &lt;http://c.d&gt;'",
    "'http://1.2.3.4:5/x http://[::1]/ http://a'", "'ftp://x.y tel:123 http://localhost:1'", "'(((http://x.com)))...'", "html", "(html|e)", "i", "nope", "'https://\u00fcber.de/\u00e4 www.x.y\nnext'", "'http://x.com/a)b)c) (http://x.com/a)b)'", "'www.x.com@y xn--a.com http://xn--ab'",
]
LINKS = ["", "10", "10,true", "rel='a b'", "rel='noopener z',nofollow=true", "target='_blank'", "target='<q>'", "extra_schemes=['ftp://','tel:']", "extra_schemes=['x']", "extra_schemes='ab'", "'x'", "rel=3", "none,false,none,none,()", "-3", "2.5"]

PRINTED = [
    "rows", "messages", "tools", "tools[0]", "d", "mixed", "words * 9", "[words * 4, words * 4]", "[[[long, long], {'k': long}]]", "long * 3", "[long * 3]", "{'b': long, 'a': [long, 1], 3: none}", "{none: 1, 'x': long, 2.5: long}", "(long, long)", "(long * 2,)",
    "lines * 9", "[lines * 9, 1]", "q * 9", "('x' * 90)", "['x' * 90, 'y' * 70, 'z']", "[('x' * 40 + ' ') * 3]", "'a b\\n' * 30", "{'k' * 50: 'v' * 50}", "{'k': {'k': {'k': [long, long]}}}", "messages[1].tool_calls", "rows|groupby('g')", "range(3)", "[1,2,3] * 20", "[[]] * 40",
    "{(1, 'a'): long, (2, 'b'): long}", "{1: long, true: 2, 'a': 3}", "big", "nope", "(html|e)", "[html|e, long, long]", "'\u00fc' * 80", "'😀 ' * 50", "['\\u2028' * 20, 'x ' * 30]",
]

DATES = "%05d %10A %-10A %010a %_5m %-5d %5e %05e %10Y %_10Y %15c %30c %015x %3% %3n %10j %5u %10p %^10a %#10p %^-10a %8F %12F %012F %3C %5G %5y %5V %5k %05k %-_d %_-d %12D %12T %12r %5R %12X %#5a %^#a %-f %_f %5f %500d %-10j %_3d %-g %Ey %5Od %0000d %5q %^f %q %".split(" ")

MORE = [
    "{{ l.__len__ }}|{{ l.__foo__ }}|{{ i.__len__ is defined }}|{{ s.__mod__ }}|{{ d.__getitem__ }}|{{ namespace(a=1).__a }}|{{ s['__len__'] }}",
    "{{ {'__foo__': 1}['__foo__'] }}", "{{ l.__len__() }}", "{{ l.__foo__.x }}", "{{ l|attr('__len__') }}|{{ l|attr('__foo__') }}", "{{ l|map(attribute='__len__')|list }}",
    "{{ f.hex() }} {{ tiny.hex() }} {{ nz.hex() }} {{ huge.hex() }} {{ 5e-324.hex() }} {{ (1/3).hex() }} {{ ('inf'|float).hex() }} {{ (-f).hex() }} {{ i.hex() }}",
    "{% set y = 1 %}{% autoescape false %}{{ html }}{% set y = 2 %}{{ y }}{{ '<'|e }}{% endautoescape %}{{ y }}", "{% autoescape none %}{% for x in l %}{{ x }}{% break %}{% endfor %}{% endautoescape %}", "{% autoescape 0 %}a{% endautoescape %}b",
    "{% autoescape true %}{{ html }}{% endautoescape %}", "{% autoescape e %}a{% endautoescape %}", "{% autoescape %}a{% endautoescape %}", "{% autoescape false %}a", "{% for x in l %}{% autoescape false %}{% break %}{% endautoescape %}{% endfor %}z",
    "{% block a %}x{% endblock %}", "{% extends 'a' %}", "{% include 'a' %}",
    "{{ strftime_now('%d %B') }}", "{{ '%a|%.3a|%-9a|%a' % (u, u, 'é', ['ß', 1]) }}", "{{ '{!a}|{!a:>9}|{0!a}'.format(u) }}", "{{ '{!a:>9}|{!a}'.format('é', ['ß']) }}",
    "{{ '1500'|filesizeformat }} {{ ' 1e3 '|filesizeformat(true) }} {{ '1'|filesizeformat }}", "{{ 'x'|filesizeformat }}", "{{ ('5'|e)|filesizeformat }}", "{{ '-inf'|filesizeformat }}",
]

BLOCKS = [
    "a{% block a %}{{ i }}{% endblock %}b{% block b %}x{% endblock b %}{{ self.a() }}{{ self['b']() }}{{ self.a.name }}|{{ self }}",
    "{% block a %}{% endblock b %}", "{% block a %}{% block a %}{% endblock %}{% endblock %}", "{% block a %}1{% endblock %}{% block a %}2{% endblock %}", "{% block %}{% endblock %}", "{% block a-b %}{% endblock %}", "{% block 1 %}{% endblock %}", "{% block a %}", "{% endblock %}", "{% block true %}x{{ true }}{% endblock %}",
    "{% for x in l %}{% block a %}[{{ x }}{{ loop }}]{% endblock %}{% endfor %}", "{% for x in l %}{% block a scoped %}[{{ x }}{{ loop.index }}{{ loop.last }}]{% endblock %}{% endfor %}{{ self.a() }}|{{ x }}", "{% for x in l %}{% for y in words %}{% block a scoped %}{{ x }}{{ y }}{{ loop.index }} {% endblock %}{% endfor %}{% endfor %}",
    "{% set x = 1 %}{% block a %}{{ x }}{{ y }}{% set x = 2 %}{% set y = 3 %}{{ x }}{{ y }}{% endblock %}{{ x }}{{ y }}{% set x = 4 %}{% set y = 5 %}{{ self.a() }}", "{% block a %}{{ x }}{% endblock %}{% set x = 1 %}{{ self.a() }}{% if t %}{% set x = 2 %}{% endif %}{{ self.a() }}{% if e %}{% set x = 3 %}{% endif %}{{ self.a() }}",
    "{% set _x, (y, z) = 1, (2, 3) %}{% block a %}{{ _x }}{{ y }}{{ z }}{% endblock %}", "{% set x %}abc{% endset %}{% block a %}{{ x }}{% endblock %}{% for x in l %}{% set y = x %}{{ self.a() }}{% endfor %}{% with x = 9 %}{{ self.a() }}{% set x = 8 %}{{ self.a() }}{% endwith %}", "{% with x = 9 %}{% block a scoped %}{{ x }}{% set x = 1 %}{% block b %}{{ x }}{% endblock %}{% block c scoped %}{{ x }}{% endblock %}{% endblock %}{{ x }}{% endwith %}|{{ self.a() }}",
    "{% block a %}1{% block b %}2{{ i }}{% block c %}3{% endblock %}{% endblock %}4{% endblock %}|{{ self.c() }}{{ self.b() }}", "{% for x in l %}{% block a scoped %}{% block b %}{{ x }}{% endblock %}{% block c scoped %}{{ x }}{{ loop.index }}{% endblock %}{% endblock %}{% endfor %}", "{% for x in l %}{% block a %}{% block c scoped %}{{ x }}{% endblock %}{% endblock %}{% endfor %}",
    "{% block a required %} \n {# c #} {% endblock %}", "{% block a required %}x{% endblock %}", "{% block a required %}{{ '' }}{% endblock %}", "{% block a required %}{% if t %}{% endif %}{% endblock %}", "{% if e %}{% block a required %} {% endblock %}{% endif %}[{{ self.a() }}]", "{% block a required scoped %}{% endblock %}", "{% if e %}{% block a scoped required %}{% endblock %}{% endif %}ok",
    "{% block a %}{{ super() }}{% endblock %}", "{% block a %}{{ super }}{{ super is defined }}{{ super is none }}{% endblock %}", "{{ super }}{{ super is defined }}", "{{ super() }}", "{% block a %}{{ self.a.super }}{{ self.a.super() }}{% endblock %}", "{% block a %}x{% endblock %}{{ self.a.super }}|{{ self.a.super is defined }}{{ self.a.depth }}",
    "{% block a %}{{ self }}{{ self.b() }}{% endblock %}{% block b %}!{% endblock %}", "{% block a %}{{ self.a() }}{% endblock %}", "{% set ns = namespace(n=3) %}{% block a %}{{ ns.n }}{% if ns.n %}{% set ns.n = ns.n - 1 %}{{ self.a() }}{% endif %}{% endblock %}", "{% block a %}x{% endblock %}{{ self.a }}", "{% block a %}x{% endblock %}{{ self.a(1) }}", "{% block a %}x{% endblock %}{{ self.a(x=1) }}", "{{ self.a }}|{{ self.a is defined }}", "{{ self.a() }}",
    "{% block a %}x{% endblock %}{{ self.a is callable }}{{ self.a == self.a }}{{ self is iterable }}{{ self is mapping }}{{ self is sequence }}{{ self is string }}{{ self.a is iterable }}{{ self[0] }}{{ self[l] }}{{ self|attr('a') }}{{ self['a']() }}{{ [self]|map(attribute='a.name')|list }}{{ self and 1 }}{{ self.__class__ }}{{ self._x }}", "{% block _a %}x{% endblock %}{{ self._a() }}{{ self['_a']() }}", "{% block items %}x{% endblock %}{{ self.items() }}", "{% block a %}x{% endblock %}{% for q in self %}{% endfor %}", "{% block a %}x{% endblock %}{{ self|length }}", "{% block a %}x{% endblock %}{{ self|tojson }}",
    "{% for x in l %}{% block a %}{% break %}{% endblock %}{% endfor %}", "{% for x in l %}{% block a %}{% for y in l %}{{ y }}{% break %}{% endfor %}{% endblock %}{% continue %}z{% endfor %}", "{% block a %}{% set loop = 1 %}{{ loop }}{% endblock %}", "{% for x in l %}{% block a %}{% set loop = 1 %}{% endblock %}{% endfor %}", "{% for x in el %}{% else %}{% block a scoped %}{{ x }}{{ loop }}e{% endblock %}{% endfor %}", "{% for x in [[1,[2]],[3]] recursive %}{% block a scoped %}{{ loop.depth }}{{ loop(x) if x is iterable else x }}{% endblock %}{% endfor %}",
    "{% macro m(x, y=2) %}<{% block a scoped %}{{ x }}{{ y }}{{ caller }}{{ varargs }}{{ kwargs }}{% endblock %}{% block b %}{{ x }}{% endblock %}>{% endmacro %}{{ m(1) }}{{ m('p', 'q') }}", "{% block a %}{% macro m() %}{{ i }}{{ x }}{% endmacro %}{{ m() }}{% endblock %}{{ m is defined }}", "{% macro m() %}{{ i }}{{ q }}{% endmacro %}{% block a %}{{ m() }}{{ m }}{% endblock %}", "{% if t %}{% macro m() %}k{% endmacro %}{% endif %}{% for x in l %}{% block a %}{{ m() }}{% endblock %}{% endfor %}", "{% macro m() %}({{ caller() }}){% endmacro %}{% block a %}{% call m() %}{% block b %}in{% endblock %}{% endcall %}{% endblock %}",
    "{% set ns = namespace() %}{% for x in l %}{% block a scoped %}{% macro m() %}{{ x }}{{ z }}{% endmacro %}{% set ns.m = m %}{% endblock %}{% endfor %}{% set z = 5 %}{{ ns.m() }}", "{% filter upper %}{% block a %}a{{ s }}{% endblock %}{% endfilter %}{% set v %}{% block b %}b{% endblock %}{% endset %}{{ v }}{{ v }}", "{% autoescape false %}{% block a %}{{ html }}{% endblock %}{% endautoescape %}", "{% block a %}{{ s|nofilter }}{% endblock %}", "{% if e %}{% block a %}{{ s|nofilter }}{% endblock %}{% endif %}ok", "{% if e %}{% block a %}{% if e %}{{ s|nofilter }}{% endif %}{% endblock %}{% endif %}ok",
    "{% generation %}{% block a %}{{ i }}{% endblock %}{% endgeneration %}|{% block b %}p{% generation %}{{ s }}{% endgeneration %}q{% endblock %}", "{{ {('<a'|e): '<', 'b': 1}|xmlattr }}{{ {('a b'|e): 1}|xmlattr }}", "{{ {('<a'|e): '<', 'b'|e: '<'|e}|xmlattr }}", "{% for m in messages %}{% block a scoped %}{{ m.role }}:{% generation %}{{ m.content }}{% endgeneration %}\n{% endblock %}{% endfor %}", "{% block a %}{% for m in messages %}{{ m.role }}{% block b scoped %}{{ m.content }}{{ loop.index }}{% endblock %}{% endfor %}{% endblock %}", "{% set messages = messages[1:] %}{% block a %}{{ messages|length }}{% endblock %}", "{% set i = i + 1 %}{{ i }}{% block a %}{{ i }}{% set i = i + 1 %}{{ i }}{% endblock %}{{ i }}",
    "  {% block a %}\n  x\n  {% endblock %}\ny{%- block b -%}  z  {%- endblock -%}  w", "{% block a: %}x{% endblock %}", "{% block a scoped scoped %}x{% endblock %}", "{% block a scoped: %}x{% endblock %}", "{% block scoped %}x{% endblock %}{{ self.scoped() }}", "{% set self = 3 %}{% block a %}{{ self }}{% endblock %}{{ self }}", "{% block a %}{% set self = 3 %}{{ self }}{% endblock %}{{ self.a() }}", "{% block a %}{% set super = 3 %}{{ super }}{% endblock %}", "{% with super = 1, self = 2 %}{% block a scoped %}{{ super }}{{ self }}{% endblock %}{% endwith %}",
    "{% for x in l if x > 1 %}{% block a scoped %}{{ x }}{{ loop.length }}{% endblock %}{% endfor %}", "{% set x = 7 %}{% for y in l %}{% set x = y %}{% block a scoped %}{{ x }}{% endblock %}{% block b %}{{ x }}{% endblock %}{% endfor %}", "{% for y in l %}{% if y > 1 %}{% set x = y %}{% endif %}{% block a scoped %}{{ x }}{% endblock %}{% endfor %}", "{% block a %}{{ range(3)|list }}{{ namespace(a=1).a }}{% endblock %}",
]


def later():
    """What came behind the others, so that these keep their places in the file."""
    made = list(MORE)
    made += ["{{ (%s).%s }}" % (text, change) for text in CASES for change in CASE_CHANGES]
    made += ["{{ (%s)|%s }}" % (text, change) for text in CASES for change in ("title", "capitalize", "upper", "lower")]
    made += ["{{ (%s)|wordwrap(%s) }}" % (text, given) for text in WRAPPED for given in WRAPS]
    made += ["{{ (%s)|striptags }}" % text for text in TAGGED]
    made += ["{{ (%s)|urlize%s }}" % (text, f"({given})" if given else "") for text in LINKED for given in LINKS]
    made += ["{{ (%s)|pprint }}" % value for value in PRINTED]
    made += ["{{ strftime_now('%s') }}" % form for form in DATES]
    made += BLOCKS
    return made


def expressions(text):
    """Expressions separated by blanks outside of quotes and brackets."""
    found, depth, quote, current = [], 0, None, ""
    at = 0
    while at < len(text):
        character = text[at]
        if quote:
            current += character
            if character == "\\":
                at += 1
                current += text[at]
            elif character == quote:
                quote = None
        elif character in "'\"":
            quote = character
            current += character
        elif character in "([{":
            depth += 1
            current += character
        elif character in ")]}":
            depth -= 1
            current += character
        elif character.isspace() and depth == 0:
            if current:
                found.append(current)
            current = ""
        else:
            current += character
        at += 1
    if current:
        found.append(current)
    return found


WORDS = {"and", "or", "not", "in", "is", "if", "else", "==", "!=", "<", ">", "<=", ">=", "%", "+", "-", "~", "*", "/", "**", "|"}
TEST_WORDS = set(TESTS) | {"eq", "ne", "gt", "ge", "lt", "le", "lessthan", "greaterthan", "equalto", "divisibleby", "sameas", "nope", "in", "not"}


def joined(tokens):
    """Puts operators written with blanks, and their operands, back together."""
    result = []
    for token in tokens:
        previous = result[-1].split(" ")[-1] if result else ""
        first = result[-1].split(" ")[0] if result else ""
        binds = token in WORDS and result
        after_test = previous in TEST_WORDS and " is " in f" {result[-1]} " if result else False
        takes_argument = previous in {"eq", "ne", "gt", "ge", "lt", "le", "lessthan", "greaterthan", "equalto", "divisibleby", "sameas", "in"}
        if result and (binds or (previous in WORDS) or (after_test and takes_argument) or first == "not" and result[-1] == "not"):
            result[-1] += " " + token
        elif result and previous == "is":
            result[-1] += " " + token
        else:
            result.append(token)
    return result


def build():
    made = list(STATEMENTS)
    for text in (FILTERS, METHODS, OPERATORS, TESTS_WITH):
        for expression in joined(expressions(text)):
            made.append("{{ " + expression + " }}")
    for value in expressions(TOJSON):
        made.append("{{ (" + value + ")|tojson }}")
    for arguments in expressions(TOJSON_ARGS):
        for value in ("d", "rows", "u", "[1,{'b':[],'a':{}}]"):
            made.append("{{ " + value + "|tojson(" + arguments + ") }}")
    for test in TESTS:
        made.append("".join("{{ " + value + " is " + test + " }} " for value in TESTED))
        for value in TESTED:
            made.append("{{ " + value + " is " + test + " }}")
    # One value in every place where a text is made of it.
    for value in expressions(TOJSON):
        made.append("{{ " + value + " }}|{{ [" + value + "] }}|{{ '' ~ " + value + " }}")
    return list(dict.fromkeys(made + later()))


SNIPPETS = build()
