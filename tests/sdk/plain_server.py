"""A proxy that makes a Hostler server look like one that is not: no extension, no conditional pop, no endpoint that is
newer than the oldest servers that people run. Usage: plain_server.py API_URL; prints its own URL."""
import json
import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TARGET = sys.argv[1]
OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
NEWER = ("hostler.", "tasks.edit_runtime")


class Proxy(BaseHTTPRequestHandler):
    """Forwards every call, less what an older server does not know."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Stays silent."""

    def answer(self, status, body):
        """Sends an answer."""
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def forward(self):
        """One call."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        endpoint = self.path.rsplit("/", 1)[-1].split("?")[0]
        if endpoint.startswith(NEWER):
            meta = {"result_code": 400, "result_subcode": 0, "result_msg": "Unable to find endpoint for name " + endpoint}
            return self.answer(400, json.dumps({"meta": meta, "data": {}}).encode())
        if endpoint in ("queues.get_next_task", "tasks.started") and body:
            known = json.loads(body)
            for field in ("task" if endpoint.startswith("queues") else None, "expected_status"):
                known.pop(field, None)
            body = json.dumps(known).encode()
        headers = {name: value for name, value in self.headers.items()
                   if name.lower() not in ("host", "content-length", "connection", "accept-encoding")}
        request = urllib.request.Request(TARGET + self.path, data=body or None, headers=headers, method="POST")
        try:
            with OPENER.open(request, timeout=60) as reply:
                status, body = reply.status, reply.read()
        except urllib.error.HTTPError as error:
            status, body = error.code, error.read()
        if endpoint == "server.info" and status == 200:
            info = json.loads(body)
            info["data"].pop("extensions", None)
            body = json.dumps(info).encode()
        return self.answer(status, body)

    do_GET = do_POST = do_PUT = forward


server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
server.daemon_threads = True
print(json.dumps({"url": "http://127.0.0.1:%d" % server.server_address[1]}), flush=True)
server.serve_forever()
