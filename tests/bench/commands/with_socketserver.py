"""A server with the command `echo TEXT` alone, with a thread for each client, for benchmarks.

Its argument is the port on 127.0.0.1.
"""

import socketserver
import sys


class Handler(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self) -> None:
        try:
            self.wfile.write(b"Welcome to the server\n")
            for line in self.rfile:
                self.wfile.write(line[5:])
        except OSError:
            pass  # the client has left


class Server(socketserver.ThreadingTCPServer):
    request_queue_size = 1024
    daemon_threads = True


Server(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
