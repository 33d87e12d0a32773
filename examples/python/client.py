"""An interactive client in a few lines: `python client.py [PORT]`."""

import sys

import daytime

with daytime.connect(port=int(sys.argv[1]) if len(sys.argv) > 1 else daytime.DEFAULT_PORT) as client:
    print(client.greeting)
    while (command := input("Enter the command for Day -> day |Date -> date |Time -> time: ")) not in ("quit", "exit"):
        try:
            print(client.request(command))
        except daytime.CommandError as error:
            print(error.reply)  # the server's error line
