"""A server in a few lines: `python server.py [PORT]`. Ctrl-C stops it."""

import sys

import daytime

with daytime.Server(port=int(sys.argv[1]) if len(sys.argv) > 1 else daytime.DEFAULT_PORT) as server:
    print(f"Server is listening on IP: {server.host} and Port: {server.port}")
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        pass
