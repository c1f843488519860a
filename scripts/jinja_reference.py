"""Renders chat templates with Python's jinja2, set up as the transformers library sets it up.

For scripts/make_jinja_fixtures.py and scripts/check_chat_templates.py. Needs the package jinja2 (3.1).
"""

import copy
import datetime
import functools
import json

import jinja2
from jinja2 import nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment

NOW = 1_700_000_000  # 2023-11-14 22:13:20


class Generation(Extension):
    """{% generation %}text{% endgeneration %}: text with a scope of its own."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return nodes.CallBlock(self.call_method("_pass_on"), [], [], body).set_lineno(line)

    def _pass_on(self, caller):
        return caller()


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment():
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    env.globals["strftime_now"] = lambda f: datetime.datetime.utcfromtimestamp(NOW).strftime(f)
    return env


ENVIRONMENT = environment()
PARSED = functools.lru_cache(16)(ENVIRONMENT.from_string)


def render(template, variables):
    """{"text": ...} or {"error": message}; the message is empty unless the template raised it itself."""
    # A copy of the variables: in jinja2 `some_list|indent` appends to the list.
    try:
        return {"text": PARSED(template).render(**copy.deepcopy(variables))}
    except jinja2.exceptions.TemplateError as error:
        own = type(error) is jinja2.exceptions.TemplateError
        return {"error": str(error) if own else ""}
    except (TypeError, ValueError, ArithmeticError, LookupError, AssertionError, RecursionError, AttributeError, SyntaxError):
        return {"error": ""}
