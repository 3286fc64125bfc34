-- The requests that wrk sends, and the format of its results: wrk -s wrk.lua URL -- DEPTH BYTES
--
-- Each connection sends DEPTH requests at once. A request is a POST of BYTES bytes, or a GET if BYTES is 0.
function init(arguments)
   local depth, bytes = tonumber(arguments[1]), tonumber(arguments[2])
   if bytes > 0 then
      wrk.method = "POST"
      wrk.body = string.rep("p", bytes)
   end
   if depth > 1 then
      local requests = string.rep(wrk.format(), depth)
      -- The function exists only for DEPTH > 1, because wrk calls such a function for every request.
      request = function() return requests end
   end
end

function done(summary, latency)
   local errors = summary.errors
   io.write(string.format("measured %d %d %d %d %d %d\n",
      summary.requests, summary.duration,
      errors.connect + errors.read + errors.write + errors.status + errors.timeout,
      latency:percentile(50), latency:percentile(99), latency:percentile(99.9)))
end
