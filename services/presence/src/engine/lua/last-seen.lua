-- Puts last-seen times on record; a time only replaces an earlier one.
-- KEYS  one per person of one shard
-- ARGV  1 life of a key in ms  2… time of each, in ms

for index, key in ipairs(KEYS) do
  local before = tonumber(redis.call('GET', key) or nil)
  if not before or before < tonumber(ARGV[index + 1]) then
    redis.call('SET', key, ARGV[index + 1], 'PX', ARGV[1])
  end
end
return 0
