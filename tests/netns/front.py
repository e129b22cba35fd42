"""TLS in front of a service, as a proxy would be: what arrives at one address is passed on to a port of this machine.

Started as ``python -m tests.netns.front ADDRESS CERTIFICATE KEY PORT``. It listens on port 443, and says so.
"""

import asyncio
import ssl
import sys
from contextlib import suppress


async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass bytes on, one way, until their end."""
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


async def main(address: str, certificate: str, key: str, port: str) -> None:
    """Serve until this process is ended."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            back, onward = await asyncio.open_connection("127.0.0.1", int(port))
        except OSError:
            writer.close()
            return
        await asyncio.gather(pass_on(reader, onward), pass_on(back, writer))

    async with await asyncio.start_server(serve, address, 443, ssl=context) as server:
        sys.stdout.write("listening\n")
        sys.stdout.flush()
        await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
