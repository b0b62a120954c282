-- Arguments: method, body, mean pause in ms of a connection between its requests (0 for none), and for
-- one prepared header value per request: header name, file of values.
local threads = {}

function setup(thread)
  table.insert(threads, thread)
end

function init(args)
  wrk.method = args[1]
  if args[2] ~= '' then wrk.body = args[2] end
  exhausted = 0
  local pause = tonumber(args[3])
  if pause > 0 then
    delay = function() return math.random(0, 2 * pause) end
  end
  if args[4] == nil then return end
  local values, at, name = {}, 0, args[4]
  for line in io.lines(args[5]) do values[#values + 1] = line end
  request = function()
    at = at + 1
    if at > #values then
      exhausted = 1
      at = 1
    end
    wrk.headers[name] = values[at]
    return wrk.format()
  end
end

function done(summary, latency)
  local spent = 0
  for _, thread in ipairs(threads) do spent = spent + thread:get('exhausted') end
  local errors = summary.errors
  io.write(string.format(
    '{"requests":%d,"seconds":%f,"p50Ms":%f,"p99Ms":%f,"refused":%d,"failures":%d,"exhausted":%d}\n',
    summary.requests, summary.duration / 1e6, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3,
    errors.status, errors.connect + errors.read + errors.write + errors.timeout, spent))
end
