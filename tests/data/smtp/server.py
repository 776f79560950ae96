# The mail server of the browser tests: the real `aiosmtpd`, which takes every mail and says it on its standard output.
#
#   python server.py
#
# Prints "Ready: PORT" once it listens, then each mail as a line of JSON, {"from", "to", "raw"}, before its client is told
# that it was taken. Ends when its standard input does.
import asyncio
import json
import sys

from aiosmtpd.smtp import SMTP


class Telling:
    async def handle_DATA(self, server, session, envelope):
        raw = envelope.original_content.decode("utf-8")
        mail = {"from": envelope.mail_from, "to": envelope.rcpt_tos, "raw": raw}
        print(json.dumps(mail), flush=True)
        return "250 2.0.0 taken"


async def serve():
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: SMTP(Telling(), enable_SMTPUTF8=False), "127.0.0.1", 0)
    print(f"Ready: {server.sockets[0].getsockname()[1]}", flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


asyncio.run(serve())
