# The tutorial with the remedies of `softstop check`: readiness, a lame duck, Connection: close, a wait for the threads,
# time-outs of idle connections, SIGINT and SIGHUP, and a longer accept queue.
import http.server, os, signal, threading, time

stopping = threading.Event()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # The time-out of a read, so that an idle connection holds the stop for at most a second.
    timeout = 1

    def do_GET(self):
        status = 503 if self.path == "/readyz" and stopping.is_set() else 200
        if self.path == "/slow":
            time.sleep(0.7)
        if self.path == "/stuck":
            threading.Event().wait()
        self.send_response(status)
        self.send_header("Content-Length", "5")
        if stopping.is_set():
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(b"hello")

    def log_message(self, *arguments):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 128


def stop(*_):
    if stopping.is_set():
        os._exit(1)
    stopping.set()
    threading.Timer(1, server.shutdown).start()
    # The bound: server_close waits for the threads of the handlers.
    bound = threading.Timer(6, os._exit, [0])
    bound.daemon = True
    bound.start()


server = Server(("127.0.0.1", int(os.environ["PORT"])), Handler)
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, stop)
server.serve_forever(poll_interval=0.05)
server.server_close()
