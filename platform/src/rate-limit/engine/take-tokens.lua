-- Takes tokens of a key, all or nothing.
-- KEYS  1 text "<tokens> <time of it in ms>"; a bucket that is full has no key
-- ARGV  1 time in ms, empty for the engine's own  2 tokens per ms  3 burst  4 cost
-- Reply "ok", or tokens that there are

local now, rate, burst, cost = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000 + tonumber(time[2]) / 1000
end

local function keep(tokens)
  local full_in = math.ceil((burst - tokens) / rate) + 1
  redis.call('SET', KEYS[1], string.format('%.9f %.3f', tokens, now), 'PX', string.format('%.0f', full_in))
end

local tokens = burst
local bucket = redis.call('GET', KEYS[1])
if bucket then
  local left, since = string.match(bucket, '^(%S+) (%S+)$')
  left, since = tonumber(left), tonumber(since)
  tokens = math.min(burst, left + math.max(0, now - since) * rate)
  -- A clock that was set back takes nothing and gives nothing; the bucket goes on from the time it shows now.
  if now < since then
    keep(tokens)
  end
end
-- Within rounding: whoever waited as told gets it.
if tokens + 1e-6 < cost then
  return string.format('%.9f', tokens)
end
keep(math.max(0, tokens - cost))
return 'ok'
