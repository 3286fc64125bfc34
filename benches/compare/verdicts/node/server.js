// The usual tutorial of a graceful shutdown in Node: server.close on SIGTERM, and process.exit in its callback.
const http = require('node:http')

const server = http.createServer((request, response) => {
  if (request.url === '/slow') setTimeout(() => response.end('slow'), 700)
  else if (request.url === '/stream') {
    const timer = setInterval(() => response.write('tick\n'), 50)
    response.on('close', () => clearInterval(timer))
  } else if (request.url !== '/stuck') response.end('hello')
})
// The accept key belongs to the key of RFC 6455 section 1.3.
server.on('upgrade', (request, socket) => {
  socket.on('error', () => {})
  socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n' +
    'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n')
})
server.listen(process.env.PORT, '127.0.0.1')
process.on('SIGTERM', () => server.close(() => process.exit(0)))
