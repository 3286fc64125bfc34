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
  } else response.end('hello')
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
    setTimeout(() => server.closeAllConnections(), 3000).unref()
  }, 1000)
}
for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP']) process.on(signal, stop)
