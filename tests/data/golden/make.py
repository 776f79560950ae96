"""Writes records.jsonl beside this file: entries and hashes as the record's format defines them, made by another
program than Countersign's so that the two can disagree. Standard library only; the output is committed and final."""

import hashlib
import json
import pathlib
from datetime import datetime, timedelta, timezone

SALT = '"salt":"000102030405060708090a0b0c0d0e0f"'
PERSON = "0190cafe-0000-7000-8000-000000000001"
DECISION = "0190cafe-0000-7000-8000-000000000002"
APPROVAL = "0190cafe-0000-7000-8000-000000000003"


def payload(members=""):
    return "{" + SALT + ("," + members if members else "") + "}"


def fill(text, size=16384):
    """A payload of exactly `size` bytes made of `text`, topped up with x."""
    room = size - len(payload('"text":""').encode())
    body = text * (room // len(text.encode()))
    body += "x" * (room - len(body.encode()))
    return payload('"text":"' + body + '"')


CASES = [
    ("decision.intended", PERSON, payload()),
    ("decision.intended", PERSON, payload('"summary":""')),
    ("decision.intended", PERSON, payload('"summary":"ship it 🚀👩‍💻"')),
    ("decision.intended", PERSON, payload('"summary":"line\u2028separator\u2029and\u0085next"')),
    ("decision.accepted", "system", fill("x")),
    ("decision.accepted", "system", fill("🚀")),
    ("approval.opened", "system", payload('"comment":"\\u0001\\t\\n\\r\\"\\\\\\/"')),
    ("approval.opened", "system", payload('"comment":"<script>alert(1)</script>&amp;"')),
    ("approval.opened", "system", payload('"comment":"\u202egnp.exe\u202c \u200b\ufeff"')),
    ("approval.opened", "system", payload('"comment":"e\u0301 \u00e9 \u1e9b\u0323 \ufb01"')),
    ("approval.closed", "system", payload('"least":-9007199254740992,"most":9007199254740992,"none":null')),
    ("settings.changed", "a b!~{}", payload('"deep":[[[{"a":[true,false,null,{}]}]]]')),
    ("session.started", "~" * 128, payload('"address":"2001:db8::1"')),
    ("a" * 64, "!", payload('"kind":"not the column"')),
    ("0._-", " ", payload('"empty":{}')),
    ("decision.intended", PERSON, payload(
        '"source":"prod","pipeline":"orders","stage":"Deploy","action":"Release-Gate","execution":'
        f'"7f3c3a0e-1111-4222-8333-444455556666","approval":"{APPROVAL}","decision":"{DECISION}",'
        f'"person":"{PERSON}","verdict":"approved","outcome":"accepted"')),
    ("decision.intended", PERSON, payload(
        '"source":null,"pipeline":null,"stage":null,"action":null,"execution":null,"approval":null,'
        '"decision":null,"person":null,"verdict":null,"outcome":null')),
    ("approval.decided_elsewhere", "system", payload('"pipeline":"zahlungs-läufe","stage":"\\u00dcbergabe"')),
    ("decision.refused", "system", payload('"pipeline":"' + "p" * 512 + '"')),
    ("decision.unsure", "system", payload('"summary":"' + "'; drop table audit.record; --" + '"')),
    ("strangers.counted", "system", '{"text":"the salt need not come first",' + SALT + "}"),
    ("sign_in.failed", "system", "{ " + SALT + ' , "spaced" : [ 1 , 2 ] }'),
    ("account.created", PERSON, payload('"name":"李小龍","roles":["approver","auditor"]')),
    ("decision.lapsed", "system", payload('"percent":"%s %I %L %1$s %%"')),
]

START = datetime(2126, 2, 28, 23, 59, 59, 999999, tzinfo=timezone.utc)
STEPS = [timedelta(microseconds=1), timedelta(seconds=1), timedelta(days=1), timedelta(microseconds=999999)]


def main():
    at, prev, lines = START, bytes(32), []
    for number, (kind, actor, text) in enumerate(CASES, start=1):
        digest = hashlib.sha256(text.encode()).hexdigest()
        stamp = at.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        entry = "\n".join(["countersign-record/v1", str(number), stamp, prev.hex(), kind, actor, digest]) + "\n"
        leaf = hashlib.sha256(b"\0" + entry.encode()).digest()
        lines.append({"seq": number, "at": stamp, "prev": prev.hex(), "kind": kind, "actor": actor, "payload": text,
                      "payload_hash": digest, "entry": entry, "hash": leaf.hex()})
        prev = leaf
        at += STEPS[number % len(STEPS)]
    out = "".join(json.dumps(line, ensure_ascii=True) + "\n" for line in lines)
    pathlib.Path(__file__).with_name("records.jsonl").write_text(out)


main()
