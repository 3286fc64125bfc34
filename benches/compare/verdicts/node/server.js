// The usual tutorial of a graceful shutdown in Node: server.close on SIGTERM, and process.exit in its callback.
const http = require('node:http')

const server = http.createServer((request, response) => {
  if (request.url === '/slow') setTimeout(() => response.end('slow'), 700)
  else if (request.url === '/stream') {
    const timer = setInterval(() => response.write('tick\n'), 50)
    response.on('close', () => clearInterval(timer))
  } else response.end('hello')
})
server.listen(process.env.PORT, '127.0.0.1')
process.on('SIGTERM', () => server.close(() => process.exit(0)))
