#!/usr/bin/env python3
"""Checks generated documents against their schemas with the jsonschema package.

Usage: validate_samples.py FILE, one {"schema": ..., "text": ...} a line. Exits 77 if jsonschema is missing, 1 if a
document is not JSON or not valid. Formats are checked by the standard library, not by jsonschema's optional parts.
"""
import datetime
import ipaddress
import json
import sys
import uuid

try:
    import jsonschema
except ImportError:
    sys.exit(77)


def checker():
    formats = jsonschema.FormatChecker(formats=())

    def add(name, parse):
        formats.checks(name, raises=ValueError)(lambda v: not isinstance(v, str) or (parse(v), True)[1])

    add("date", datetime.date.fromisoformat)
    add("time", lambda v: datetime.time.fromisoformat(v.replace("Z", "+00:00")))
    add("date-time", lambda v: datetime.datetime.fromisoformat(v.replace("Z", "+00:00")))
    add("uuid", uuid.UUID)
    add("ipv4", ipaddress.IPv4Address)
    add("ipv6", ipaddress.IPv6Address)

    def email(v):
        if v.count("@") != 1 or v.startswith("@") or "." not in v.split("@")[1]:
            raise ValueError(v)

    add("email", email)
    return formats


def main():
    formats = checker()
    bad = count = 0
    with open(sys.argv[1], encoding="utf-8") as lines:
        for line in lines:
            sample = json.loads(line)
            count += 1
            try:
                document = json.loads(sample["text"])
                jsonschema.Draft202012Validator(sample["schema"], format_checker=formats).validate(document)
            except (ValueError, jsonschema.ValidationError) as error:
                bad += 1
                if bad <= 3:
                    print(f"{error}\n  text: {sample['text']}\n  schema: {json.dumps(sample['schema'])}", file=sys.stderr)
    print(f"{count} documents, {bad} not valid")
    sys.exit(1 if bad or count == 0 else 0)


main()
