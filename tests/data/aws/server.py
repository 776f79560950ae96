# SNS and SQS for the event tests: the real `moto`, on loopback.
#
#   python server.py
#
# Prints "Ready: PORT" once it listens. Ends when its standard input does.
import logging
import sys
import threading

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

# Or each answer waits for the acknowledgement of its head.
WSGIRequestHandler.disable_nagle_algorithm = True
WSGIRequestHandler.protocol_version = "HTTP/1.1"
logging.getLogger("werkzeug").setLevel(logging.ERROR)

server = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
threading.Thread(target=server.serve_forever, daemon=True).start()
print(f"Ready: {server.server_port}", flush=True)
sys.stdin.read()
