"""A student's client for the original classroom program: `python classroom_client.py [HOST [PORT]]`.

It sends each command without a line end, and takes the bytes of each recv() as one whole reply. A server that waits
for lines would never answer it. Ours answers at once, by rule 3 of src/protocol/protocol.md. The standard library is
enough: this client does not import `daytime`.
"""

import socket
import sys

PROMPT = "Enter the command for Day -> day |Date -> date |Time -> time and Exit -> quit or exit: "


def main(host: str = "localhost", port: str = "9990") -> None:
    with socket.create_connection((host, int(port))) as connection:
        print(connection.recv(1024).decode())  # the greeting
        while True:
            command = input(PROMPT)
            if not command:
                continue  # sendall() would send nothing, and recv() would wait without a limit
            connection.sendall(command.encode())
            if command.lower() in ("quit", "exit"):
                break  # the server sends no reply: it closes the connection
            print(connection.recv(1024).decode())


if __name__ == "__main__":
    main(*sys.argv[1:3])
