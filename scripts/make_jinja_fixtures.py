#!/usr/bin/env python3
"""Makes tests/fixtures/jinja/{cases,generated}.jsonl: templates, what they see, and what Python's jinja2 makes of them.

Usage: make_jinja_fixtures.py [OUTPUT_FOLDER]                   (needs the package jinja2)
       make_jinja_fixtures.py --compare RENDER_TEMPLATE [--seed N] [--count N]

The first line has the variables and the time; each other line a template, then text, or error: a
message that the template raised itself, else "". --compare generates new templates and reports where the program
render_template differs, without writing anything.
"""

import argparse
import json
import pathlib
import random
import re
import subprocess

from jinja_reference import NOW, render

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Zwölf Boxkämpfer?\n"},
    {"role": "assistant", "content": "<think>hm</think>Yes.", "tool_calls": [
        {"type": "function", "function": {"name": "f", "arguments": {"x": 1, "y": [1.5, None, True]}}}]},
    {"role": "tool", "content": "42", "name": "f"},
    {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image"}, {"type": "text", "text": "b"}]},
]
TOOLS = [{"type": "function", "function": {"name": "f", "description": "It's \"f\" <&> é", "parameters": {
    "type": "object", "properties": {"x": {"type": "integer", "enum": [1, 2]}, "y": {"type": ["array", "null"]}}, "required": ["x"]}}}]
VARIABLES = {
    "messages": MESSAGES, "tools": TOOLS, "bos_token": "<s>", "eos_token": "</s>", "add_generation_prompt": True,
    "i": 3, "j": -7, "z": 0, "f": 2.5, "g": -0.125, "t": True, "n": None, "s": "Hello, World", "u": "grüße ÄÖ 中文 🙂",
    "w": "  two  words \t\n", "e": "", "l": [3, 1, 2], "m": ["b", "A", "c", "a"], "p": [[1, "x"], [2, "y"]],
    "d": {"b": 1, "a": 2, "items": 3, "c": {"k": [1, 2]}}, "h": [], "k": {},
}

CASES = r'''
plain text, no tags
%%
{{ bos_token }}{% for m in messages %}{{ m.role }}|{% endfor %}
%%
{% for m in messages %}
    {% if m.role == 'user' %}
U
    {% elif m['role'] == "assistant" -%}
        A
    {%- else +%}
    O
    {% endif %}
{% endfor %}
end
%%
  {#- comment -#}   x   {# another #}
y {# #}
  {# alone #}
z
%%
a {%- if t -%} b {%- endif -%} c
%%
a
  {%+ if t %}
b
  {%+ endif +%}
c
%%
{% raw %}{{ not }} {% tags %}{% endraw %}|{%- raw -%}  x  {%- endraw -%}  y
%%
a   
  {% raw %}
 b
  {% endraw %}
c
%%
{{- '' }} x {{ "y" -}}   z
%%
one\r\ntwo\n\n
%%
{% set x = 1 %}{% set x = x + 1 %}{{ x }}
%%
{% set a, b = p[0] %}{{ a }}-{{ b }}{% set (c, d2), e2 = (1, 2), 3 %}{{ c }}{{ d2 }}{{ e2 }}
%%
{% set a, b = 1 %}
%%
{% set a, b = [1, 2, 3] %}
%%
{% set x %}
  block {{ i }}
{% endset %}[{{ x }}]
%%
{% set x | upper | trim %}  block {% endset %}[{{ x }}]
%%
{% set ns = namespace(n=0, found=false) %}{% for x in l %}{% set ns.n = ns.n + x %}{% if x == 1 %}{% set ns.found = true %}{% endif %}{% endfor %}{{ ns.n }} {{ ns.found }} {{ ns.other is defined }} {{ ns['n'] }}
%%
{% set x = 1 %}{% set x.y = 2 %}
%%
{% set ns = namespace({'a': 1}, b=2) %}{{ ns.a }}{{ ns.b }}{{ ns }}
%%
{% set x = 0 %}{% for y in l %}{% set x = x + y %}{{ x }},{% endfor %}{{ x }}
%%
{% if t %}{% set x = 5 %}{% endif %}{{ x }}
%%
{% for x in l %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }} {{ loop.previtem }} {{ loop.nextitem }}{{ loop.depth }}{{ loop.depth0 }}{{ loop.cycle('o', 'e') }};{% endfor %}
%%
{% for x in [1, 1, 2] %}{{ loop.changed(x) }} {% endfor %}
%%
{% for x in h %}x{% else %}none{% endfor %}{% for x in l %}{% else %}none{% endfor %}
%%
{% for x in l if x > 1 %}{{ loop.index }}:{{ x }}/{{ loop.length }} {% else %}no{% endfor %}
%%
{% for x in l if x > 9 %}y{% else %}no{% endfor %}
%%
{% for k2, v in d.items() %}{{ k2 }}={{ v }};{% endfor %}
%%
{% for k2, v in d|items %}{{ k2 }}={{ v }};{% endfor %}
%%
{% for k2 in d %}{{ k2 }}{% endfor %}{% for c in u %}{{ c }}.{% endfor %}
%%
{% for a, b in p %}{{ a }}{{ b }}{% endfor %}{% for (a, b) in p %}{{ b }}{% endfor %}
%%
{% for a, b in l %}{% endfor %}
%%
{% for x in n %}{% endfor %}
%%
{% for x in i %}{% endfor %}
%%
{% for x in missing %}x{% else %}empty{% endfor %}
%%
{% for x in range(10) %}{% if x == 2 %}{% continue %}{% elif x == 5 %}{% break %}{% endif %}{{ x }}{% endfor %}
%%
{% break %}
%%
{% for x in [[1, [2, 3]], 4] recursive %}{{ loop.depth }}{% if x is iterable %}[{{ loop(x) }}]{% else %}{{ x }}{% endif %}{% endfor %}
%%
{% for x in l %}{% for y in m %}{{ loop.index }}{{ x }}{{ y }}{% endfor %}{{ loop.index }} {% endfor %}
%%
{% for x in l %}{{ loop(x) }}{% endfor %}
%%
{% macro greet(name, greeting='Hi', n=2) %}{{ greeting }} {{ name }}{{ '!' * n }}{% endmacro %}{{ greet('Ann') }} {{ greet('Bob', n=1) }} {{ greet(greeting='Yo', name='Cy') }} {{ greet() }} {{ greet.name }}
%%
{% macro f2(a) %}{{ a }}{% endmacro %}{{ f2(1, 2) }}
%%
{% macro f2(a) %}{{ a }}{% endmacro %}{{ f2(b=2) }}
%%
{% macro f2(a, b=a) %}{{ a }}{{ b }}{{ varargs }}{{ kwargs }}{% endmacro %}{{ f2(1) }} {{ f2(1, 2, 3, 4, c=5) }}
%%
{% macro outer(x) %}<{{ caller(x, 2) }}>{% endmacro %}{% call(a, b=0) outer(7) %}{{ a }}+{{ b }} {{ i }}{% endcall %}
%%
{% macro plain() %}x{% endmacro %}{% call plain() %}y{% endcall %}
%%
{% macro count(n) %}{{ n }}{% if n > 0 %} {{ count(n - 1) }}{% endif %}{% endmacro %}{{ count(4) }}
%%
{% macro late() %}{{ v }}{% endmacro %}{% set v = 1 %}{{ late() }}{% set v = 2 %}{{ late() }}
%%
{% for x in l %}{% macro inner() %}{{ x }}{% endmacro %}{{ inner() }}{% endfor %}
%%
{% macro s2() %}{% set i = 99 %}{{ i }}{% endmacro %}{{ s2() }}{{ i }}
%%
{% filter upper %}abc {{ s }}{% endfilter %}{% filter replace('a', 'b') | title %}aa ca{% endfilter %}
%%
{% with a = 1, b = i %}{{ a }}{{ b }}{% endwith %}{{ a is defined }}{% with %}x{% endwith %}
%%
{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{% set q = 1 %}{% endgeneration %}{% endif %}{% endfor %}{{ q is defined }}
%%
{{ raise_exception('Roles must alternate: ' ~ i) }}
%%
{% if messages[0].role != 'user' %}{{ raise_exception("first é") }}{% endif %}
%%
{{ strftime_now('%d %b %Y|%Y-%m-%d|%B %A %a %j %H:%M:%S %I %p %y %%|%e') }}
%%
{{ missing }}|{{ missing is defined }}|{{ missing|default('d') }}|{{ missing or 'x' }}|{{ missing ~ 'y' }}|{{ missing|length }}|{{ missing == missing2 }}|{{ 'a' in missing }}
%%
{{ missing.x }}
%%
{{ missing['x'] }}
%%
{{ missing() }}
%%
{{ missing + 1 }}
%%
{{ 'a' + missing }}
%%
{{ missing < 1 }}
%%
{{ d.missing }}|{{ d.missing is none }}|{{ d['x'] }}|{{ l[9] }}|{{ n.x }}|{{ s.nope }}|{{ i.x }}|{{ i[0] }}
%%
{{ d.missing.x }}
%%
{{ d.items is callable }} {{ d['items'] }} {{ d.get('items') }} {{ d.get('no') }} {{ d.get('no', 5) }} {{ d.keys() }} {{ d.values()|list }} {{ d['b'] }} {{ d.b }}
%%
{{ [1, 'a', none, true, 1.0, {'k': 'v'}, (1,), (), [[]], "it's", 'q"', 'b\\\n\t\x00é\u200b'] }}
%%
{{ 1.0 }} {{ 1e16 }} {{ 1e15 }} {{ 0.1 + 0.2 }} {{ 1e-5 }} {{ 0.0001 }} {{ 100 / 3 }} {{ 1e300 * 1e10 }} {{ -0.0 }} {{ 2 ** 0.5 }} {{ 10.0 ** 20 }} {{ 1.5e-7 }}
%%
{{ true }} {{ none }} {{ True }} {{ None }} {{ false and missing.x }} {{ not none }}
%%
{{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ -7.5 // 2 }} {{ -7.5 % 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 6 / 2 }} {{ 1_000 }} {{ 0x1F }} {{ 0b101 }} {{ 0o17 }} {{ true + 1 }}
%%
{{ 1 / 0 }}
%%
{{ 1 // 0 }}
%%
{{ -2 ** 2 }} {{ 2 ** 3 ** 2 }} {{ 1 - 2 - 3 }} {{ 2 + 3 * 4 }} {{ (2 + 3) * 4 }} {{ -i|abs }} {{ 1 ~ 2 * 3 }} {{ 'a' ~ 1 ~ none ~ 1.5 ~ [1] }}
%%
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 1 == 1.0 }} {{ true == 1 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ 'a' == 1 }} {{ none == none }} {{ {'a': 1} == {'a': 1.0} }} {{ (1, 2) == [1, 2] }} {{ 1 in [1.0] }} {{ 'ell' in s }} {{ 'b' in d }} {{ 4 not in l }} {{ not 4 in l }}
%%
{{ 'a' < 1 }}
%%
{{ 1 in 'a' }}
%%
{{ 1 in n }}
%%
{{ 'a' + 1 }}
%%
{{ 'ab' * 3 }} {{ 2 * [1, 2] }} {{ [1] + [2] }} {{ (1,) + (2, 3) }} {{ 'x' * -1 }}|
%%
{{ 'y' if z else 'n' }} {{ 'y' if i }} {{ 'y' if z }}| {{ (1 if t else 2) + 1 }} {{ 1 if z else 2 if z else 3 }}
%%
{{ l[0] }}{{ l[-1] }}{{ l[1:] }}{{ l[:-1] }}{{ l[::-1] }}{{ l[::2] }}{{ l[5:] }}{{ l[-9:2] }}{{ s[0] }}{{ s[-1] }}{{ s[1:4] }}{{ u[::-1] }}{{ u[2:5] }}{{ s[::-3] }}{{ l[2:0:-1] }}{{ (1, 2, 3)[1:] }}
%%
{{ s.upper() }}{{ s.lower() }}{{ u.upper() }}{{ u.title() }}{{ s.swapcase() }}{{ 'hELLO wORLD'.capitalize() }}{{ "they're bill's".title() }}
%%
[{{ w.strip() }}][{{ w.lstrip() }}][{{ w.rstrip() }}][{{ 'xxaxbxx'.strip('x') }}][{{ 'abcba'.lstrip('ab') }}][{{ 'abcba'.rstrip('ab') }}]
%%
{{ w.split() }}{{ 'a,b,,c'.split(',') }}{{ 'a,b,c'.split(',', 1) }}{{ 'a,b,c'.rsplit(',', 1) }}{{ ' a b c '.split(none, 1) }}{{ ' a b  c '.rsplit(none, 1) }}{{ ''.split() }}{{ ''.split(',') }}{{ 'a\nb\r\nc\n'.splitlines() }}{{ 'a\nb'.splitlines(true) }}
%%
{{ 'a'.split('') }}
%%
{{ s.startswith('He') }}{{ s.endswith('x') }}{{ s.startswith(('x', 'H')) }}{{ s.find('o') }}{{ s.rfind('o') }}{{ s.find('q') }}{{ u.find('Ä') }}{{ s.count('l') }}{{ s.index('W') }}{{ s.replace('l', 'L') }}{{ s.replace('l', 'L', 1) }}{{ 'ab'.replace('', '-') }}{{ s.find('o', 5) }}{{ s.startswith('W', 7) }}
%%
{{ s.index('q') }}
%%
{{ ', '.join(m) }}{{ 'a-b-c'.partition('-') }}{{ 'a-b-c'.rpartition('-') }}{{ 'ab'.center(7, '*') }}{{ 'abc'.center(6) }}|{{ 'a'.ljust(3) }}|{{ 'a'.rjust(3, '0') }}{{ '-5'.zfill(4) }}{{ 'abc'.removeprefix('a') }}{{ 'abc'.removesuffix('bc') }}{{ 'a\tb'.expandtabs(4) }}
%%
{{ '12'.isdigit() }}{{ 'ab'.isalpha() }}{{ 'a1'.isalnum() }}{{ ' '.isspace() }}{{ 'AB'.isupper() }}{{ 'a b'.islower() }}{{ ''.isdigit() }}{{ 'Ab Cd'.istitle() }}{{ 'a'.isascii() }}
%%
{{ ', '.join([1]) }}
%%
{{ '%s is %d and %.2f, %5s|%-5s|%05d %x %r %%' % ('a', 3, 2.5, 'b', 'c', 42, 255, 'q') }} {{ '%s' % 5 }} {{ '%(a)s' % {'a': 1} }} {{ "%s-%s"|format('x', 1) }}
%%
{{ '%d' % 'x' }}
%%
{{ '%s %s' % ('a',) }}
%%
{{ '{} {} {}'.format(1, 'a', [1]) }} {{ '{0}{1}{0}'.format('x', 'y') }} {{ '{a}-{b:>5}|{c:.2f}|{d:05d}|{e:,}|{{}}'.format(a=1, b='r', c=3.14159, d=42, e=1234567) }} {{ '{:<4}|{:^5}|{:*>4}'.format('a', 'b', 'c') }} {{ '{!r}'.format('q') }}
%%
{{ '{} {}'.format(1) }}
%%
{{ l.append(4) }}
%%
{{ d.update({'x': 1}) }}
%%
{% set x = l.append %}{{ x is defined }}{{ l.sort is defined }}
%%
{{ l.index(1) }}{{ l.count(3) }}{{ [1, 1, 2].count(1) }}{{ (1, 2).index(2) }}{{ d.copy() }}{{ dict(a=1, b=2) }}{{ dict([('x', 1)], y=2) }}{{ {'a': 1, 'a': 2} }}{{ {1: 'x', 1.0: 'y', true: 'z'} }}
%%
{{ {[1]: 2} }}
%%
{{ range(5)|list }}{{ range(2, 8, 3)|list }}{{ range(5, 0, -2)|list }}{{ range(3)|length }}{{ range(3) }}{{ range(0)|list }}
%%
{{ range(1000000) }}
%%
{{ tools|tojson }} {{ d|tojson(indent=2) }} {{ [1, [], {}, {'a': []}]|tojson(indent=4) }} {{ u|tojson }} {{ u|tojson(ensure_ascii=true) }} {{ d|tojson(separators=(',', ':')) }} {{ d|tojson(sort_keys=true) }} {{ {1: none, true: 1.5, none: (1, 2)}|tojson }} {{ 'a"\\\n\t\x01/'|tojson }} {{ 1e400|tojson }}
%%
{{ missing|tojson }}
%%
{{ m|join(', ') }} {{ l|join }} {{ messages[:2]|join('|', attribute='role') }} {{ s|join('.') }}
%%
{{ w|trim }}|{{ 'xax'|trim('x') }}|{{ s|length }} {{ u|length }} {{ d|length }} {{ l|count }}
%%
{{ i|length }}
%%
{{ n|default('d') }} {{ n|default('d', true) }} {{ e|d('x', boolean=true) }} {{ missing|default }}|
%%
{{ s|upper }} {{ s|lower }} {{ 'hELLO wORLD'|capitalize }} {{ 'hello-world (foo) bar_baz'|title }} {{ 5|string + 'x' }} {{ '<a href="x">&\'</a>'|escape }} {{ '<b>'|e }} {{ '<b>'|safe }}
%%
{{ messages|selectattr('role', 'equalto', 'user')|list|length }} {{ messages|selectattr('tool_calls')|map(attribute='role')|join }} {{ messages|rejectattr('role', 'in', ['user', 'tool'])|map(attribute='role')|list }} {{ l|select('gt', 1)|list }} {{ l|reject('odd')|list }} {{ [0, 1, '', 'a']|select|list }} {{ messages|selectattr('name', 'defined')|list|length }}
%%
{{ m|map('upper')|join(',') }} {{ messages|map(attribute='name', default='-')|join(',') }} {{ p|map(attribute=1)|list }} {{ p|map('first')|list }} {{ tools|map(attribute='function.name')|list }}
%%
{{ (messages|selectattr('role', 'equalto', 'user'))[0] }}|{{ 'y' if h|select else 'n' }}
%%
{{ l|map('string')|length }}
%%
{% set x = l|map('string') %}{{ x|join }}{{ x|join }}|{% for c in x %}{{ c }}{% else %}used{% endfor %}
%%
{{ d|dictsort }} {{ {'B': 1, 'a': 2}|dictsort }} {{ {'B': 1, 'a': 2}|dictsort(true) }} {{ {'x': 2, 'y': 1}|dictsort(by='value') }} {{ {'x': 2, 'y': 1}|dictsort(reverse=true) }}
%%
{{ l|first }}{{ l|last }}{{ h|first }}|{{ h|last }}|{{ s|first }}{{ s|last }}{{ d|first }}
%%
{{ l|sort }} {{ l|sort(reverse=true) }} {{ m|sort }} {{ m|sort(case_sensitive=true) }} {{ messages[:4]|sort(attribute='role')|map(attribute='role')|join(',') }} {{ p|sort(attribute='1,0', reverse=true) }}
%%
{{ [1, 'a']|sort }}
%%
{{ l|sum }} {{ p|sum(attribute=0) }} {{ l|sum(start=10) }} {{ l|min }} {{ l|max }} {{ m|min }} {{ m|max }} {{ h|max }}| {{ p|max(attribute=0) }}
%%
{{ ['a', 'A', 'b']|unique|list }} {{ ['a', 'A', 'b']|unique(true)|list }} {{ [1, 1.0, true, 2]|unique|list }} {{ p|unique(attribute=0)|list }}
%%
{{ l|reverse|list }} {{ s|reverse }} {{ range(7)|batch(3)|list }} {{ range(7)|batch(3, 'x')|list }} {{ range(7)|slice(3)|list }} {{ range(7)|slice(3, 'x')|list }}
%%
{% for g, items in messages|groupby('role') %}{{ g }}={{ items|length }};{% endfor %}{% for x in messages|groupby('role') %}{{ x.grouper }}{{ x.list|length }}{% endfor %}
%%
{{ 'a\nb\n\nc'|indent }}|{{ 'a\nb'|indent(2, true) }}|{{ 'a\n\nb'|indent(2, blank=true) }}|{{ 'a\nb'|indent('> ', first=true) }}|{{ ''|indent }}
%%
{{ '42'|int }} {{ '4.7'|int }} {{ 'x'|int }} {{ 'x'|int(7) }} {{ 'ff'|int(base=16) }} {{ 3.9|int }} {{ -3.9|int }} {{ none|int }} {{ true|int }} {{ '2.5'|float }} {{ 'x'|float }} {{ 3|float }} {{ ' 12 '|int }} {{ '1_000'|int }}
%%
{{ 2.5|round }} {{ 3.5|round }} {{ 2.675|round(2) }} {{ 42.55|round(1, 'floor') }} {{ 42.51|round(1, method='ceil') }} {{ 42|round }} {{ -1.5|round }} {{ 1234|round(-2) }} {{ 2.5|round|int }}
%%
{{ -3|abs }} {{ f|abs }} {{ g|abs }} {{ s|replace('l', 'L', 2) }} {{ 5|replace(5, 6) }} {{ 'x y'|wordcount }} {{ 'a b/c?&ü'|urlencode }} {{ {'a': 'b c', 'd': 1}|urlencode }} {{ '<b>x</b>  y &amp; z'|striptags }} {{ 'abc'|center(9) }}|{{ 1500|filesizeformat }} {{ 1500|filesizeformat(true) }} {{ 'foo bar baz qux'|truncate(9) }} {{ 'foo bar baz qux'|truncate(9, true, leeway=0) }} {{ s|attr('upper') is callable }}
%%
{{ i is defined }}{{ n is none }}{{ n is not none }}{{ s is string }}{{ d is mapping }}{{ l is iterable }}{{ s is iterable }}{{ i is iterable }}{{ l is sequence }}{{ d is sequence }}{{ i is number }}{{ t is number }}{{ i is integer }}{{ t is integer }}{{ f is float }}{{ t is boolean }}{{ t is true }}{{ z is false }}{{ 1 is in [1] }}{{ 3 is divisibleby 3 }}{{ 3 is odd }}{{ 4 is even }}{{ 'a' is equalto 'a' }}{{ 1 is eq(1) }}{{ 1 is ne 2 }}{{ 1 is lt 2 }}{{ 2 is ge(2) }}{{ 'a' is lower }}{{ 'A' is upper }}{{ missing is undefined }}{{ missing is none }}{{ missing is string }}{{ missing is iterable }}{{ 1 is sameas 1 }}{{ t is sameas true }}{{ 1 is sameas true }}{{ raise_exception is callable }}{{ 'upper' is filter }}{{ 'nope' is filter }}{{ 'odd' is test }}
%%
{{ 1 is nope }}
%%
{{ 1|nope }}
%%
{% if z %}{{ 1|nope }}{% endif %}x
%%
{{ 'a' 'b' "c" }}{{ 'esc: \n \t \\ \' \" \x41 \u00e9 \U0001F600 \q' }}
%%
{{ (1, 2, 3) }}{{ 1, 2 }}{{ () }}{{ (1) }}{{ {} }}{{ [] }}{{ {'a': {'b': [1]}}.a.b[0] }}
%%
{{ p.0.1 }}{{ d['c'].k[1] }}{{ d.c['k'][0] }}{{ 'abc'['upper']() }}
%%
{% set q = [1, 2] %}{{ '%s %s' % (q[0], q[1]) }}{% macro v(a, b) %}{{ a }}{{ b }}{% endmacro %}{{ v(*q) }}{{ v(**{'a': 3, 'b': 4}) }}
%%
{% for m in messages %}{% if m.content is string %}{{ m.content|trim }}{% else %}{% for part in m.content %}{% if part.type == 'text' %}{{ part['text'] }}{% else %}<{{ part.type }}>{% endif %}{% endfor %}{% endif %}
{% endfor %}
%%
{%- for m in messages -%}
  {%- if m.tool_calls -%}
    {%- for c in m.tool_calls %}
{{ '{"name": "' + c.function.name + '", "arguments": ' + c.function.arguments|tojson + '}' }}
    {%- endfor %}
  {%- endif %}
{%- endfor %}
%%
{{ messages[2].content.split('</think>')[-1].lstrip('\n') }} {{ messages[2]['content'].split('</think>')[0].split('<think>')[-1] }}
%%
{% set loop_messages = messages[1:] if messages[0]['role'] == 'system' else messages %}{{ loop_messages|length }}{{ messages[::-1][0].role }}
%%
{{ 'unclosed
%%
{{ 1 + }}
%%
{% if t %}x
%%
{% endfor %}
%%
{% for x l %}{% endfor %}
%%
{% nope %}
%%
{{ (1 }}
%%
{{ 1 2 }}
%%
{{ @ }}
%%
{% set 1 = 2 %}
%%
{% set none = 2 %}
%%
{# never closed
%%
{% macro m2(a=1, b) %}{% endmacro %}
%%
{{ f2(a=1, 2) }}
%%
{% if t %}{% else %}{% elif t %}{% endif %}
%%
{{ {'a' 1} }}
%%
{{ l[] }}
'''


def hand_written():
    for template in CASES.strip("\n").split("\n%%\n"):
        yield template.replace("\\r\\n", "\r\n") if template.startswith("one\\r") else template


class Generator:
    """Random expressions and statements over VARIABLES, of any type: half of the point is where they fail."""

    def __init__(self, seed):
        self.r = random.Random(seed)

    def pick(self, *choices):
        return self.r.choice(choices)

    def atom(self):
        r = self.r
        return self.pick(
            lambda: r.choice(list(VARIABLES)), lambda: r.choice("ijzftnsuwelmpdhk"), lambda: r.choice("lmpdswu"), lambda: str(r.randint(-3, 12)),
            lambda: r.choice(["1.5", "0.25", "1e3", "true", "none", "missing", "false"]),
            lambda: repr(r.choice(["", "a", "b", "l", ", ", " x y ", "role", "é", "\n", "1", "A-b c"])),
            lambda: r.choice(["messages[0]", "messages[2].content", "tools[0].function", "d.c.k", "d.a", "p[1]", "range(4)", "namespace(q=1).q"]),
        )()

    def expr(self, depth):
        if depth <= 0:
            return self.atom()
        sub = lambda: self.expr(depth - 1 - self.r.randrange(2))
        r = self.r
        kind = r.randrange(16)
        if kind < 2:
            return f"({sub()} {r.choice(['+', '-', '*', '/', '//', '%', '~', '+', '~'])} {sub()})"
        if kind == 2:
            return f"({sub()} {r.choice(['==', '!=', '<', '<=', '>', '>=', 'in', 'not in', 'and', 'or', 'and', 'or'])} {sub()})"
        if kind == 3:
            return f"({sub()} if {sub()} else {sub()})"
        if kind == 4:
            return r.choice(["[{}, {}]", "({}, {})", "{{'a': {}, 'b': {}}}", "[{}] + [{}]"]).format(sub(), sub())
        if kind == 5:
            return f"{sub()}[{r.choice(['0', '-1', '1', ':2', '1:', '::-1', '::2', '-3:-1', '2:0:-1', sub()])}]"
        if kind == 6:
            return f"{r.choice(['not ', '-', '+'])}{sub()}"
        if kind == 7:
            test = r.choice(["defined", "none", "string", "mapping", "iterable", "sequence", "number", "integer", "float", "boolean", "true", "odd", "lower",
                             "upper", f"in({sub()})", f"eq({sub()})", f"divisibleby({r.randint(1, 4)})", "undefined", f"sameas({self.atom()})"])
            return f"({sub()} is {r.choice(['', 'not '])}{test})"
        if kind == 8:
            method = r.choice(["upper()", "lower()", "strip()", "split()", f"split({sub()})", "title()", f"startswith({sub()})", f"find({sub()})",
                               f"replace({sub()}, {sub()})", "rsplit(' ', 1)", "splitlines()", f"count({sub()})", f"index({sub()})", "items()", "keys()|list",
                               "values()|list", f"get({sub()})", f"get({sub()}, {sub()})", f"join({sub()})", "strip('lo')", "capitalize()", "isdigit()",
                               f"center({r.randint(0, 9)})", "zfill(4)", f"endswith({sub()})", "partition(' ')", "swapcase()", f"rfind({sub()})"])
            return f"{sub()}.{method}"
        f = r.choice(["trim", "length", "upper", "lower", "title", "capitalize", "list", "first", "last", "join", f"join({sub()})", "sort", "string", "tojson",
                      "tojson(indent=1)", f"default({sub()})", f"default({sub()}, true)", "int", "float", "abs", "round", "sum", "min", "max", "reverse|list",
                      "unique|list", "select|list", "map('string')|list", "map('upper')|list", "batch(2)|list", "indent(2)", f"replace({sub()}, {sub()})",
                      "items|list", "dictsort", "escape|string", "selectattr('role')|list", "map(attribute=0)|list", "map('length')|list", "reject('none')|list",
                      "sort(reverse=true)", "slice(2)|list", "wordcount", "count", "selectattr('role', 'eq', 'user')|list|length", "truncate(6)", "groupby(0)|list|length",
                      "int(5)", "round(1)", "round(1, 'floor')", "urlencode", "trim(' x')", "format(1)", "center(6)", "sort(case_sensitive=true)"])
        return f"{sub()}|{f}" if r.randrange(2) else f"({sub()})|{f}"

    def space(self):
        return self.r.choice(["", "", " ", "\n", "  ", "\n  ", " \n", "\t", "\n\n ", "x", "y\n", " z "])

    def tag(self, inner):
        return "{%" + self.r.choice(["", "", "-", "+"]) + " " + inner + " " + self.r.choice(["", "", "-", "+"]) + "%}"

    def output(self):
        return "{{" + self.r.choice(["", "-"]) + " " + self.expr(1) + " " + self.r.choice(["", "-"]) + "}}"

    def block(self, depth):
        out = []
        for _ in range(self.r.randint(1, 3)):
            out.append(self.space())
            kind = self.r.randrange(12 if depth > 0 else 4)
            body = lambda: self.block(depth - 1)
            if kind < 2:
                out.append(self.output())
            elif kind == 2:
                out.append(self.tag(f"set {self.r.choice('ijsvq')} = {self.expr(1)}"))
            elif kind == 3:
                out.append("{#" + self.r.choice(["", "-"]) + " c " + self.r.choice(["", "-"]) + "#}")
            elif kind < 6:
                out.append(self.tag(f"if {self.expr(1)}") + body() + self.tag("else") + body() + self.tag("endif"))
            elif kind < 9:
                out.append(self.tag(f"for v in {self.r.choice(['l', 'm', 'p', 'd', 'h', 's[:3]', 'range(3)', 'missing'])}") + "{{ v }}{{ loop.index }}" + body()
                           + (self.tag("else") + body() if self.r.randrange(3) == 0 else "") + self.tag("endfor"))
            elif kind == 9:
                out.append(self.tag("set q") + body() + self.tag("endset") + "[{{ q }}]")
            elif kind == 10:
                out.append(self.tag("macro mc(a, b=i)") + body() + "{{ a }}{{ b }}" + self.tag("endmacro") + "{{ mc(" + self.atom() + ") }}")
            else:
                out.append(self.tag("filter " + self.r.choice(["upper", "trim", "length", "indent(1)"])) + body() + self.tag("endfilter"))
        return "".join(out) + self.space()

    def template(self, i):
        return "{{ " + self.expr(self.r.randint(1, 3)) + " }}" if i % 3 else self.block(2)


# Outside of the contract: addresses of objects, names of Python's types, integers beyond 64 bits, text marked safe.
OUTSIDE = re.compile(r"0x[0-9a-f]{6}|<generator|<bound|<function|\d{19}|\bUndefined\b|<built-in|itertools|reversed object|Cycler|<Macro|Markup|<class")


# jinja2 slices constants while it compiles, by other rules than when it renders.
FOLDED = re.compile(r"\b(\d[\w.]*|true|false|none)\)*\[[^\]]*:")


def generated(seed, count):
    generator = Generator(seed)
    i = 0
    while i < count:
        template = generator.template(i)
        if len(template) > 600 or FOLDED.search(template):
            continue
        expected = render(template, VARIABLES)
        text = expected.get("text", "")
        if OUTSIDE.search(text) or len(text) > 1500 or ("error" in expected and generator.r.randrange(4)):
            continue
        i += 1
        yield {"template": template, **expected}


def compare(program, seed, count):
    rows = [{"template": t, **render(t, VARIABLES)} for t in hand_written()] + list(generated(seed, count))
    lines = "".join(json.dumps({"template": r["template"], "variables": VARIABLES, "now": NOW}) + "\n" for r in rows)
    answers = subprocess.run([program], input=lines, capture_output=True, text=True, check=True).stdout.split("\n")[:-1]
    bad = 0
    for row, answer in zip(rows, map(json.loads, answers), strict=True):
        same = row["text"] == answer.get("text") if "text" in row else "error" in answer and row["error"] in answer["error"]
        if not same:
            bad += 1
            print(f"--- {row['template']!r}\n  expected {row.get('text', 'an error: ' + row.get('error', ''))!r}\n  found    {answer.get('text', answer.get('error'))!r}")
    print(f"{len(rows)} templates, {bad} differences")
    return bad != 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", nargs="?", type=pathlib.Path, default=pathlib.Path(__file__).parent.parent / "tests/fixtures/jinja")
    parser.add_argument("--compare", metavar="RENDER_TEMPLATE")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--count", type=int, default=500)
    args = parser.parse_args()
    if args.compare:
        raise SystemExit(compare(args.compare, args.seed, args.count))
    args.output.mkdir(parents=True, exist_ok=True)
    dump = lambda row: json.dumps(row, ensure_ascii=False, separators=(",", ":")) + "\n"
    with (args.output / "cases.jsonl").open("w", encoding="utf-8") as out:
        out.write(dump({"variables": VARIABLES, "now": NOW}))
        cases = [{"template": t, **render(t, VARIABLES)} for t in hand_written()]
        out.writelines(map(dump, cases))
    with (args.output / "generated.jsonl").open("w", encoding="utf-8") as out:
        out.write(dump({"variables": VARIABLES, "now": NOW}))
        out.writelines(map(dump, generated(args.seed, args.count)))
    print(f"{len(cases)} cases, {args.count} generated")


if __name__ == "__main__":
    main()
