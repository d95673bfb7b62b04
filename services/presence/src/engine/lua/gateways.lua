-- Counts gateways.
-- KEYS  1 sorted set of gateways by the time until which they count
-- ARGV  1 time in ms, empty for the engine's own  2 OFFLINE_AFTER_MS  3 gateway that was heard from, or empty
--       4 gateway that has ended, or empty
-- Reply how many there are

local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end
if ARGV[3] ~= '' then
  redis.call('ZADD', KEYS[1], string.format('%.0f', now + tonumber(ARGV[2])), ARGV[3])
  redis.call('PEXPIRE', KEYS[1], 2 * tonumber(ARGV[2]))
end
if ARGV[4] ~= '' then
  redis.call('ZREM', KEYS[1], ARGV[4])
end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now))
return redis.call('ZCARD', KEYS[1])
