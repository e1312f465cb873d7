"""`make serve`: show the built book on localhost, on port 8000 or on a free one."""

import functools
import http.server
import sys

import build
import console

HOST = "127.0.0.1"


def listen(handler):
    """Return a server on port 8000, or on a free port that the system chooses."""
    try:
        return http.server.ThreadingHTTPServer((HOST, 8000), handler)
    except OSError:
        return http.server.ThreadingHTTPServer((HOST, 0), handler)


def main():
    """Serve until Ctrl-C."""
    if not build.BUILT.exists():
        return "There is no built book to show: run make book first."
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=build.SITE)
    with listen(handler) as server:
        print(f"http://{HOST}:{server.server_port}/ shows the book; Ctrl-C ends it.", flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            print()
    return None


if __name__ == "__main__":
    console.survive_any_encoding()
    sys.exit(main())
