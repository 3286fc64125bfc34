// The tutorial with the remedies of `softstop check`: readiness, a lame duck, an end for streams, Connection: close, a
// bound, SIGINT and SIGHUP.
const http = require('node:http')

let stopping = false
const streams = new Set()
const server = http.createServer((request, response) => {
  if (stopping) response.setHeader('Connection', 'close')
  if (request.url === '/slow') setTimeout(() => {
    if (stopping) response.setHeader('Connection', 'close')
    response.end('slow')
  }, 700)
  else if (request.url === '/readyz') {
    response.statusCode = stopping ? 503 : 200
    response.end()
  } else if (request.url === '/stream') {
    const timer = setInterval(() => response.write('tick\n'), 50)
    streams.add(response)
    response.on('close', () => { clearInterval(timer); streams.delete(response) })
  } else if (request.url !== '/stuck') response.end('hello')
})
// The accept key belongs to the key of RFC 6455 section 1.3.
const upgraded = new Set()
server.on('upgrade', (request, socket) => {
  socket.on('error', () => {})
  socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
    'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n')
  upgraded.add(socket)
  socket.resume()
  socket.on('close', () => upgraded.delete(socket))
})
server.headersTimeout = 2000
server.listen(process.env.PORT, '127.0.0.1')
let pressed
function stop() {
  if (stopping) { if (Date.now() - pressed > 500) process.exit(1); return }
  stopping = true
  pressed = Date.now()
  setTimeout(() => {
    server.close()
    for (const stream of streams) stream.end()
    // A Close frame with code 1001.
    for (const socket of upgraded) socket.end(Buffer.from([0x88, 2, 0x03, 0xe9]))
    setTimeout(() => server.closeAllConnections(), 3000).unref()
  }, 1000)
}
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, stop)
