-- What wrk sends, and how it says what it has measured: wrk -s wrk.lua URL -- DEPTH BYTES
-- DEPTH requests at once on each connection; a POST of BYTES bytes, or a GET if that is 0.
function init(arguments)
   local depth, bytes = tonumber(arguments[1]), tonumber(arguments[2])
   if bytes > 0 then
      wrk.method = "POST"
      wrk.body = string.rep("p", bytes)
   end
   if depth > 1 then
      local requests = string.rep(wrk.format(), depth)
      -- Only then: wrk asks for each request anew if there is such a function.
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
