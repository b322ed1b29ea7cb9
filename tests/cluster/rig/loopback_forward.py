"""Forwards 127.0.0.1:LISTEN of this network namespace to 127.0.0.1:TO of another one.

A socket keeps the namespace it was made in. So the listening socket is made first, then the process moves, and every
connection that it opens starts in the other one: nothing has to be routed between the two.
"""

from __future__ import annotations

import argparse
import asyncio
import socket

from tests.cluster.rig import network


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy one direction until it ends, then pass the end on."""
    try:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.close()


async def _serve(listener: socket.socket, port: int) -> None:
    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        far_writer.close()
        writer.close()

    server = await asyncio.start_server(handle, sock=listener)
    async with server:
        await server.serve_forever()


def main() -> None:
    """Accept until ended by a signal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", type=int, required=True)
    parser.add_argument("--netns", required=True)
    parser.add_argument("--to", type=int, required=True)
    options = parser.parse_args()
    listener = socket.create_server(("127.0.0.1", options.listen))
    network.enter(options.netns)
    asyncio.run(_serve(listener, options.to))


if __name__ == "__main__":
    main()
