"""
A slow link to a server on this machine: `link.py PORT TARGET-PORT ROUND-TRIP-SECONDS`. What passes is held back for
half a round trip in either direction, whatever its size; connections do not wait for each other. A new connection costs
a round trip, as it does over a real link: here the kernel accepts it at once.
"""

import asyncio
import sys
from typing import TypeAlias

Held: TypeAlias = asyncio.Queue[tuple[float, bytes]]
PIECE = 1 << 18


async def carry(source: asyncio.StreamReader, sink: asyncio.StreamWriter, delay: float) -> None:
    """From one end to the other, in order, each piece after its delay: held back side by side, not one by one."""
    held: Held = asyncio.Queue()
    filling = asyncio.create_task(_fill(held, source, delay))
    loop = asyncio.get_running_loop()
    try:
        while True:
            due, piece = await held.get()
            if (early := due - loop.time()) > 0:
                await asyncio.sleep(early)
            if not piece:
                break
            sink.write(piece)
            await sink.drain()
        if sink.can_write_eof():
            sink.write_eof()
    except ConnectionError:
        pass
    finally:
        filling.cancel()


async def _fill(held: Held, source: asyncio.StreamReader, delay: float) -> None:
    loop = asyncio.get_running_loop()
    piece = b"-"
    while piece:
        try:
            piece = await source.read(PIECE)
        except ConnectionError:
            piece = b""
        held.put_nowait((loop.time() + delay, piece))


async def serve(port: int, target: int, round_trip: float) -> None:
    async def joined(near: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        far, forth = await asyncio.open_connection("127.0.0.1", target, limit=PIECE)
        await asyncio.sleep(round_trip)
        try:
            await asyncio.gather(carry(near, forth, round_trip / 2), carry(far, back, round_trip / 2))
        finally:
            forth.close()
            back.close()

    server = await asyncio.start_server(joined, "127.0.0.1", port, limit=PIECE)
    async with server:
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
