-- wrk's side of a load: posts the body given after `--`, every `@n` its own number, with an id per request
-- when asked; prints the summary as JSON.
local threads = 0

function setup(thread)
  thread:set("mine", threads)
  threads = threads + 1
end

function init(args)
  before, after = args[1]:match("^(.-)@n(.*)$")
  before = before or args[1]
  prefix = args[2] .. mine .. "-"
  with_id = args[3] == "id"
  count = 0
  math.randomseed(tonumber(args[4]) + mine)
  wrk.method = "POST"
end

function request()
  count = count + 1
  local body = before
  if after then
    body = before .. prefix .. count .. after
  end
  if with_id then
    wrk.headers["Idempotency-Key"] = string.format(
      "%08x-%08x-%08x", math.random(0, 0x7fffffff), math.random(0, 0x7fffffff), math.random(0, 0x7fffffff))
  end
  return wrk.format(nil, nil, nil, body)
end

function done(summary, latency)
  local failed = summary.errors.status
  io.write(string.format(
    '\n{"ok": %d, "refused": %d, "broken": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f}\n',
    summary.requests - failed, failed,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    summary.duration / 1e6, latency:percentile(50) / 1000, latency:percentile(99) / 1000))
end
